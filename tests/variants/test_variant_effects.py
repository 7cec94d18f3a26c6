"""Effects of alleles against windows made by hand."""

import numpy as np
import pytest
import torch
from support.variant import haplotype, logits, random_alleles, window

from tcnfast.base.errors import TcnfastError
from tcnfast.base.options import STRANDS
from tcnfast.engines.backend import VARIANTS, why_not
from tcnfast.variants import cone_scorer as tiles
from tcnfast.variants import cone_windows, engine_steps
from tcnfast.variants.effects import EffectScorer
from tcnfast.variants.engine_windows import EngineWindows


def centre_by_hand(model, letters, alleles, strand):
    field = model.receptive_field
    ref = [window(letters[a.chrom], a.pos, field) for a in alleles]
    alt = [window(haplotype(letters[a.chrom], a), a.pos, field) for a in alleles]
    return {"ref_logit": logits(model, ref, strand), "alt_logit": logits(model, alt, strand)}


def steps_by_hand(model, text, allele, stride):
    """Logits (steps, labels) of both alleles at every step whose window holds a base of REF."""
    field, half = model.receptive_field, model.receptive_field // 2
    last = allele.pos + len(allele.ref) - 1
    ref, alt = [], []
    for centre in range(stride // 2, len(text) + stride // 2, stride):
        # the last step may be partial, its centre beyond the contig
        if centre - stride // 2 < len(text) and allele.pos - half <= centre <= last + half:
            moved = len(allele.alt) - len(allele.ref) if centre > last else 0
            ref.append(window(text, centre, field))
            alt.append(window(haplotype(text, allele), centre + moved, field))
    return logits(model, ref), logits(model, alt)


@pytest.mark.parametrize("strand", STRANDS)
@pytest.mark.parametrize("way", ["pairs", (256, 1024), ()], ids=["pairs", "tiles", "windows"])
def test_centre(model, letters, genome, strand, way, monkeypatch):
    """By the engine's pairs, by tiles that variants share and by windows of their own."""
    if way == "pairs":
        monkeypatch.setenv("TCNFAST_BACKEND", "cpu")
        if reason := why_not(VARIANTS, torch.device("cpu"), "fp32"):
            pytest.skip(reason)
    else:
        monkeypatch.setenv("TCNFAST_BACKEND", "reference")
        monkeypatch.setattr(cone_windows, "CORES", way)
    alleles = random_alleles(letters, 60)
    scorer = EffectScorer(model, "centre", strand=strand, device="cpu")
    assert isinstance(scorer.single, EngineWindows) == (way == "pairs")
    got = scorer(genome, alleles)
    for name, want in centre_by_hand(model, letters, alleles, strand).items():
        np.testing.assert_allclose(got[name], want, atol=1e-4)


def test_a_backend_asked_for_by_name_scores_windows(model, monkeypatch):
    monkeypatch.setenv("TCNFAST_BACKEND", "reference")
    scorer = EffectScorer(model, device="cpu")
    assert not isinstance(scorer.single, EngineWindows) and scorer.backend == "reference"


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("stride", [1, 4, 16])
def test_full(model, letters, genome, stride, backend, monkeypatch):
    """By runs of the engine, by cones; both in several batches."""
    monkeypatch.setenv("TCNFAST_BACKEND", backend)
    if reason := why_not(VARIANTS, torch.device("cpu"), "fp32"):
        pytest.skip(reason)
    monkeypatch.setattr(engine_steps, "WINDOWS_AT_ONCE", 100)
    monkeypatch.setattr(tiles, "TILE_BYTES", 2**20)  # several batches of tiles
    alleles = random_alleles(letters, 40, seed=1)
    got = EffectScorer(model, "full", stride, device="cpu")(genome, alleles)
    for index, allele in enumerate(alleles):
        ref, alt = steps_by_hand(model, letters[allele.chrom], allele, stride)
        delta = alt - ref
        largest = np.abs(delta).max(0)
        at = {name: column[index] for name, column in got.items()}
        np.testing.assert_allclose(at["ref_logit"], ref.max(0), atol=1e-4)
        np.testing.assert_allclose(at["alt_logit"], alt.max(0), atol=1e-4)
        np.testing.assert_allclose(at["sum_delta_logit"], delta.sum(0), atol=1e-3)
        np.testing.assert_allclose(np.abs(at["max_delta_logit"]), largest, atol=1e-4)
        clear = np.abs(delta.max(0) + delta.min(0)) > 1e-3  # of two alike, either is the largest
        signed = np.where(delta.max(0) > -delta.min(0), delta.max(0), delta.min(0))
        np.testing.assert_allclose(at["max_delta_logit"][clear], signed[clear], atol=1e-4)


@pytest.mark.parametrize("mode", ["centre", "full"])
def test_order_does_not_matter(model, letters, genome, mode):
    alleles = random_alleles(letters, 30, seed=2)
    scorer = EffectScorer(model, mode, 16, device="cpu")
    got = scorer(genome, alleles)
    order = np.random.default_rng(0).permutation(len(alleles))
    mixed = scorer(genome, [alleles[index] for index in order])
    for name, values in got.items():
        np.testing.assert_array_equal(mixed[name], values[order])


def test_no_alleles(model, genome):
    columns = EffectScorer(model, device="cpu")(genome, [])
    assert columns["alt_logit"].shape == (0, 3)


def test_an_ensemble_is_the_mean_of_its_members(letters, genome):
    from support.models import random_model

    from tcnfast.model.ensemble import Ensemble

    torch.manual_seed(5)
    members = [random_model(first_kernel=7) for _ in range(2)]
    alleles = random_alleles(letters, 20, seed=3)
    got = EffectScorer(Ensemble(members), device="cpu")(genome, alleles)
    each = [EffectScorer(member, device="cpu")(genome, alleles) for member in members]
    for name, values in got.items():
        mean = (each[0][name] + each[1][name]) / 2
        np.testing.assert_allclose(values, mean, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mode": "both"}, "must be centre or full"),
        ({"strand": "min"}, "must be one of"),
        ({"mode": "full", "stride": 32}, "at most 16"),
        ({"mode": "full", "stride": 3}, "power of two"),
    ],
)
def test_bad_options(model, options, words):
    with pytest.raises(TcnfastError, match=words):
        EffectScorer(model, device="cpu", **options)
