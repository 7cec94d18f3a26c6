"""Substitutions by their differences against every substituted sequence, scored whole."""

import inspect

import numpy as np
import pytest
import torch
from numerics import assert_close
from support.engine import needs_engine
from support.models import random_model

from tcnfast.attribute.mutagenesis import Mutagenesis, WholeWindows
from tcnfast.attribute.networks import Networks
from tcnfast.engines import cpu_engine, reference
from tcnfast.model.ensemble import Ensemble

SHAPES = {
    "window": dict(channels=17, first_kernel=7),
    "more-than-four-vectors": dict(channels=70, blocks=2),
    "identity-residual-causal": dict(channels=4, kernel_size=2, alignment="causal"),
    "wide-kernels": dict(channels=6, kernel_size=5, first_kernel=9, blocks=3),
    "one-block": dict(channels=5, blocks=1),
    "two-taps": dict(channels=6, blocks=3, kernel_size=2),
}


@pytest.fixture(name="scorer", params=["cpu", "reference"])
def fixture_scorer(request):
    """What scores the changes of a window."""
    if request.param == "reference":
        return WholeWindows
    if reason := cpu_engine.why_not("fp32"):
        pytest.skip(reason)
    return cpu_engine.Substitutions


@pytest.mark.parametrize("strand", ["+", "-"])
@pytest.mark.parametrize("config", SHAPES.values(), ids=SHAPES.keys())
def test_every_substitution_is_as_if_scored_whole(config, strand, scorer, make_codes):
    model = random_model(**config)
    grid = model.config.grid(2**model.config.blocks)
    weights = model.folded() if strand == "+" else model.folded().mirrored(grid)
    codes = make_codes(1, model.receptive_field).numpy()[0]
    place, base = (values.ravel() for values in np.mgrid[: len(codes), :5])
    base = base.astype(np.uint8)
    logits, gained = scorer(weights, grid).changes(codes, np.arange(len(place) + 1), place, base)
    changed = np.tile(codes, (len(place), 1))
    changed[np.arange(len(place)), place] = base
    ref, pt = as_if_whole(weights, grid, changed)
    assert_close((logits + gained)[:, None], ref, pt)
    untouched = base == codes[place]
    assert not gained[untouched].any() and gained.abs().max() > 0.1


@pytest.mark.parametrize("config", SHAPES.values(), ids=SHAPES.keys())
def test_several_bases_at_once(config, scorer, make_codes):
    """Side by side and far apart; none at all is a change too."""
    model = random_model(**config)
    grid, field = model.config.grid(2**model.config.blocks), model.receptive_field
    codes = make_codes(1, field).numpy()[0]
    rng = np.random.default_rng(0)
    sets = [[], [0, field - 1], list(range(field)), list(range(field // 2, field))]
    sets += [sorted(rng.choice(field, size, replace=False)) for size in (2, 3, field // 2)]
    offsets = np.cumsum([0, *(len(places) for places in sets)])
    places = np.concatenate(sets).astype(np.int64)
    bases = rng.integers(0, 5, len(places)).astype(np.uint8)
    logits, gained = scorer(model.folded(), grid).changes(codes, offsets, places, bases)
    changed = np.tile(codes, (len(sets), 1))
    changed[np.repeat(np.arange(len(sets)), np.diff(offsets)), places] = bases
    assert_close((logits + gained)[:, None], *as_if_whole(model.folded(), grid, changed))
    assert not gained[0].any()


def as_if_whole(weights, grid, windows):
    """Logits of whole windows, in float64 and in float32."""
    return [
        reference.stack(torch.from_numpy(windows), weights.to("cpu", dtype), grid)
        for dtype in (torch.float64, torch.float32)
    ]


@needs_engine
def test_threads_and_company_change_nothing(make_codes):
    model = random_model(first_kernel=7)
    codes = make_codes(1, model.receptive_field).numpy()[0]
    run = cpu_engine.Substitutions(model.folded(), model.config.grid(16)).changes
    place, base = np.nonzero(np.arange(4) != codes[:, None])
    base = base.astype(np.uint8)
    _, together = run(codes, np.arange(len(place) + 1), place, base)
    torch.set_num_threads(2)
    _, apart = run(codes, np.arange(len(place) + 1), place, base)
    torch.set_num_threads(1)
    assert torch.equal(apart, together)
    for i in (0, 31, 32, len(place) - 1):
        _, alone = run(codes, np.arange(2), place[i : i + 1], base[i : i + 1])
        assert torch.equal(alone[0], together[i])


@needs_engine
@pytest.mark.parametrize("wrong", ["order", "place", "base", "code", "window"])
def test_changes_that_cannot_be_are_refused(wrong, make_codes):
    model = random_model()
    codes = make_codes(1, model.receptive_field).numpy()[0]
    places, bases = np.array([3, 5]), np.array([1, 2], np.uint8)
    if wrong == "order":
        places = places[::-1]
    elif wrong == "place":
        places[1] = len(codes)
    elif wrong == "base":
        bases[0] = 5
    elif wrong == "code":
        codes[0] = 5
    else:
        codes = codes[1:]
    words = {"code": "coded by more", "window": "a window of"}.get(wrong, "no such place")
    run = cpu_engine.Substitutions(model.folded(), model.config.grid(16)).changes
    with pytest.raises(ValueError, match=words):
        run(codes, np.array([0, 2]), places, bases)


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
    function = tangermeme.saturation_mutagenesis
    # 1.4 has no other way than this one
    slow = {"fast": False} if "fast" in inspect.signature(function).parameters else {}
    theirs = function(model, x, target=1, hypothetical=True, device="cpu", **slow)
    np.testing.assert_allclose(explained.hypothetical, theirs.numpy(), atol=1e-4)
