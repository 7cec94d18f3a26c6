"""Variants by symmetric networks: one pass, whatever the strand, in every strategy."""

import json
import logging

import numpy as np
import pytest
from support.models import random_model, untied
from support.scan import calling_model
from support.variant import random_alleles

from tcnfast.base.options import STRANDS
from tcnfast.engines.backend import VARIABLE
from tcnfast.engines.cone import Cone
from tcnfast.engines.cpu_engine import Substitutions
from tcnfast.model.ensemble import Ensemble
from tcnfast.variants import cone_windows, effects
from tcnfast.variants.effects import EffectScorer

SHAPE = dict(symmetric=True, channels=6, first_kernel=7)


@pytest.fixture(name="symmetric", scope="module")
def fixture_symmetric():
    return calling_model(**SHAPE)


def count_calls(monkeypatch, *names):
    """How many networks the strategies were made with."""
    made = []
    for name in names:
        real = getattr(effects, name)

        def counted(*given, real=real, **more):
            made.append(1)
            return real(*given, **more)

        monkeypatch.setattr(effects, name, counted)
    return made


@pytest.mark.parametrize("mode", ["centre", "full"])
@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("cores", [(256, 1024), ()], ids=["tiles", "windows"])
def test_one_pass_gives_what_both_strands_give(
    symmetric, letters, genome, mode, backend, cores, monkeypatch
):
    monkeypatch.setenv(VARIABLE, backend)
    if cores == () and mode == "centre":
        monkeypatch.setattr(cone_windows, "CORES", cores)
    alleles = random_alleles(letters, 40)
    wanted = {}
    for strand in STRANDS:
        want = EffectScorer(untied(symmetric), mode, 4, strand, "cpu")(genome, alleles)
        scorer = EffectScorer(symmetric, mode, 4, strand, "cpu")
        assert scorer.symmetric
        got = scorer(genome, alleles)
        for name, values in want.items():
            if name == "max_delta_logit":  # of two alike, either is the largest
                values, got[name] = np.abs(values), np.abs(got[name])
            np.testing.assert_allclose(got[name], values, atol=1e-3)
        wanted[strand] = got
    for strand in STRANDS:
        for name, values in wanted["+"].items():
            if mode == "centre" and strand != "-":
                np.testing.assert_array_equal(wanted[strand][name], values)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("strand", STRANDS)
def test_networks_are_made_ready_once(symmetric, strand, backend, monkeypatch):
    monkeypatch.setenv(VARIABLE, backend)
    made = count_calls(monkeypatch, "Cone", "Plan")
    kinds = symmetric, untied(symmetric)
    # one for single bases, one for all else; a plan of both strands is one
    for model, most in zip(kinds, (2, {"both": 3, "max": 4}.get(strand, 2)), strict=True):
        made.clear()
        scorer = EffectScorer(model, "full", 4, strand, "cpu")
        ready = [*made, *(members for members in getattr(scorer.single, "runs", []))]
        assert len(ready) == most
    engine = EffectScorer(symmetric, "centre", 4, strand, "cpu").single
    if hasattr(engine, "runs"):
        assert [len(members) for members in engine.runs] == [1]


@pytest.mark.parametrize("strand", STRANDS)
def test_an_ensemble_of_both_kinds_is_the_mean_of_its_members(letters, genome, strand):
    members = [random_model(**SHAPE), random_model(**SHAPE | dict(symmetric=False))]
    alleles = random_alleles(letters, 20, seed=3)
    got = EffectScorer(Ensemble(members), strand=strand, device="cpu")(genome, alleles)
    if strand == "max":
        plain = Ensemble([untied(members[0]), members[1]])
        want = EffectScorer(plain, strand=strand, device="cpu")(genome, alleles)
    else:
        each = [EffectScorer(x, strand=strand, device="cpu")(genome, alleles) for x in members]
        want = {name: (each[0][name] + each[1][name]) / 2 for name in got}
    for name, values in got.items():
        np.testing.assert_allclose(values, want[name], atol=1e-4)


@pytest.mark.parametrize("mode", ["centre", "full"])
@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_the_symmetric_members_of_an_ensemble_run_once(letters, genome, mode, backend, monkeypatch):
    monkeypatch.setenv(VARIABLE, backend)
    members = [random_model(**SHAPE), random_model(**SHAPE | dict(symmetric=False))]
    ran = []
    for kind, name in ((Cone, "logits"), (Substitutions, "pairs")):
        real = getattr(kind, name)

        def counted(self, *given, real=real, **more):
            ran.append(self)
            return real(self, *given, **more)

        monkeypatch.setattr(kind, name, counted)
    alleles = [allele for allele in random_alleles(letters, 40, seed=3) if allele.is_snv][:1]
    EffectScorer(Ensemble(members), mode, 4, "both", "cpu")(genome, alleles)
    assert len(ran) == len(set(map(id, ran))) == 3  # the plain member on both strands


def test_the_command_says_so(run, symmetric, letters, fasta, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    symmetric.save(tmp_path / "m")
    base = letters["chr1"][999]
    other = "A" if base != "A" else "C"
    lines = ["##fileformat=VCFv4.2", "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"]
    lines.append(f"chr1\t1000\t.\t{base}\t{other}\t.\t.\t.")
    (tmp_path / "v.vcf").write_text("\n".join(lines) + "\n")
    code, _, err = run("variants", "v.vcf", "-g", fasta, "-m", "m", "-o", "out")
    assert code == 0, err
    assert "both strands are the same, scored in one pass" in err + caplog.text
    assert json.loads((tmp_path / "out" / "run.json").read_text())["one_pass"] is True
