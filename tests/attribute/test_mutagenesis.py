"""Substitutions by their cones against every substituted sequence, scored whole in float64."""

import numpy as np
import pytest
import torch
from numerics import assert_close
from support.models import random_model

from tcnfast.attribute.mutagenesis import Mutagenesis
from tcnfast.attribute.networks import Networks
from tcnfast.base.errors import TcnfastError
from tcnfast.engines import reference
from tcnfast.engines.cone import Cone
from tcnfast.model.ensemble import Ensemble

SHAPES = {
    "window": (dict(channels=17, first_kernel=7), 16, 0),
    "more-than-a-tile": (dict(channels=70, blocks=2), 4, 0),
    "identity-residual-causal": (dict(channels=4, kernel_size=2, alignment="causal"), 16, 0),
    "wide-kernels": (dict(channels=6, kernel_size=5, first_kernel=9, blocks=3), 8, 0),
    "one-block": (dict(channels=5, blocks=1), 2, 0),
    "scores-at-a-stride": (dict(channels=6, first_kernel=5), 4, 45),
    "dense": (dict(channels=6, blocks=3, kernel_size=2), 1, 6),
}


@pytest.mark.parametrize("strand", ["+", "-"])
@pytest.mark.parametrize(("config", "stride", "more"), SHAPES.values(), ids=SHAPES.keys())
def test_every_substitution_is_as_if_scored_whole(config, stride, more, strand, make_codes):
    model = random_model(**config)
    grid = model.config.grid(stride)
    weights = model.folded() if strand == "+" else model.folded().mirrored(grid)
    codes = make_codes(2, model.receptive_field + more).numpy()
    place, base = (values.ravel() for values in np.mgrid[: codes.shape[1], :5])
    window = np.arange(2).repeat(len(place))
    place, base = np.tile(place, 2), np.tile(base, 2).astype(np.uint8)
    cone = Cone(weights, grid, codes.shape[1])
    kept = cone.keep(codes)
    moved = cone.moved(kept, window, place, base)
    changed = codes[window]
    changed[np.arange(len(place)), place] = base
    got = kept.logits[window]
    for row, (score, logits) in enumerate(zip(*moved, strict=True)):
        inside = logits[: max(0, got.shape[1] - score)]
        got[row, score : score + len(inside)] += inside
        assert not logits[len(inside) :].any()
    ref, pt = (
        reference.stack(torch.from_numpy(changed), weights.to("cpu", dtype), grid)
        for dtype in (torch.float64, torch.float32)
    )
    assert_close(torch.from_numpy(got), ref, pt)
    untouched = changed[np.arange(len(place)), place] == codes[window, place]
    assert not moved.logits[untouched].any() and np.abs(moved.logits).max() > 0.1


def test_threads_and_company_change_nothing(make_codes, monkeypatch):
    from tcnfast.engines import cone as module

    model = random_model(first_kernel=7)
    grid = model.config.grid(16)
    codes = make_codes(3, model.receptive_field).numpy()
    cone = Cone(model.folded(), grid, codes.shape[1])
    kept = cone.keep(codes)
    changes = np.array([2, 0, 1, 1]), np.array([0, 30, 31, 60]), np.array([1, 2, 3, 0], np.uint8)
    together = cone.moved(kept, *changes).logits
    monkeypatch.setattr(module, "CHUNK", 1)
    torch.set_num_threads(2)
    apart = cone.moved(kept, *changes, labels=[2, 0]).logits
    torch.set_num_threads(1)
    assert np.array_equal(apart, together[..., [2, 0]])


def test_what_a_cone_cannot_do():
    model = random_model()
    with pytest.raises(TcnfastError, match="60 bases are under the receptive field"):
        Cone(model.folded(), model.config.grid(4), 60)
    with pytest.raises(TcnfastError, match="stride 32 is above"):
        Cone(model.folded(), model.config.grid(32), 200)


def test_an_ensemble_on_both_strands(make_codes):
    members = [random_model(first_kernel=7), random_model(first_kernel=7, channels=6)]
    networks = Networks(Ensemble(members), device="cpu")
    codes = make_codes(2, networks.receptive_field).numpy()
    logits, effects = Mutagenesis(networks).effects(codes, [1])
    codes_there = torch.from_numpy(codes)
    other_strand = torch.from_numpy(
        np.where(codes < 4, 3 - codes, 4).astype(np.uint8)[:, ::-1].copy()
    )
    wanted = Ensemble(members)(codes_there) / 2 + Ensemble(members)(other_strand) / 2
    np.testing.assert_allclose(logits[:, 0], wanted[:, 1].detach().numpy(), atol=1e-5)
    changed = codes[:1].copy()
    changed[0, 33] = (changed[0, 33] + 1) % 4
    after, _ = Mutagenesis(networks).effects(changed, [1])
    gained = effects[0, 0, changed[0, 33], 33]
    np.testing.assert_allclose(gained, after[0, 0] - logits[0, 0], atol=1e-5)


def test_explained_is_less_the_mean_of_the_four_bases(make_codes):
    model = random_model()
    codes = make_codes(1, model.receptive_field).numpy()
    codes[0, 20] = 4
    mutagenesis = Mutagenesis(Networks(model, device="cpu"))
    _, effects = mutagenesis.effects(codes, [0, 2])
    explained = mutagenesis.explain(codes, [0, 2])
    for label in range(2):
        hypothetical = explained[label].hypothetical[0]
        np.testing.assert_allclose(hypothetical.mean(0), 0, atol=1e-6)
        np.testing.assert_allclose(
            hypothetical[1] - hypothetical[2],
            effects[0, label, 1] - effects[0, label, 2],
            atol=1e-6,
        )
    assert np.isnan(explained[0].gap).all()


def test_tangermeme_gives_the_same(make_codes):
    tangermeme = pytest.importorskip("tangermeme.saturation_mutagenesis")
    model = random_model(first_kernel=7)
    codes = np.random.default_rng(0).integers(0, 4, (2, model.receptive_field), np.uint8)
    x = reference.one_hot(torch.from_numpy(codes), torch.float32).squeeze(2).contiguous()
    mutagenesis = Mutagenesis(Networks(model, strand="+", device="cpu"))
    explained = mutagenesis.explain(codes, [1])[0]
    theirs = tangermeme.saturation_mutagenesis(
        model, x, target=1, hypothetical=True, device="cpu", fast=False
    )
    np.testing.assert_allclose(explained.hypothetical, theirs.numpy(), atol=1e-4)
