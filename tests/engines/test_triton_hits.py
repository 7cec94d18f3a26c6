"""Hits that are found without logits are those of the logits that plans give, to the bit."""

import numpy as np
import pytest
import torch
from support.models import random_model
from support.triton import DEVICE, PRECISIONS, needs_triton

from tcnfast.engines import triton_engine, triton_head
from tcnfast.engines.hit_finder import HitFinder
from tcnfast.engines.plan import Plan
from tcnfast.model.ensemble import Ensemble

pytestmark = [needs_triton, pytest.mark.usefixtures("kernels")]

ROWS = triton_head.ROWS


@pytest.fixture(autouse=True)
def features(monkeypatch):
    """Stacks give made-up features, the same at every call, for heads are what is tested here.
    ``features["spoil"](made)`` may change them."""
    known, changes = {}, {"spoil": lambda made: None}

    def rows(stack, codes):
        head, steps = stack.head, stack.grid.n_scores(codes.shape[1])
        seed = known.setdefault(id(stack), len(known))
        width = len(head.matrix) * (2 if head.pairs else 1)
        size = len(codes), (steps - 1) * head.sample + 1 + seed, width
        made = torch.randn(size, generator=torch.Generator().manual_seed(seed)).relu_()
        changes["spoil"](made)
        return made.to(head.matrix.dtype).to(codes.device)

    monkeypatch.setattr(triton_engine.Stack, "rows", rows)
    monkeypatch.setattr(triton_head, "WALKED", 2)
    return changes


def labels_of(number):
    return [f"label{i}" for i in range(number)]


def small_model(labels=("a", "b", "c"), **config):
    return random_model(labels, **{"blocks": 2, "first_kernel": 3, "kernel_size": 3} | config)


def plans_of(model, strand, precision):
    """As a scan of ``strand`` makes them."""
    first, *other = "+-" if strand == "max" else [strand]
    options = dict(device=str(DEVICE), precision=precision, stride=4, backend="triton")
    plans = [Plan(model, strand=first, **options)]
    if not plans[0].symmetric:
        plans += [Plan(model, strand=one, **options) for one in other]
    return plans


def logits_of(plans, codes):
    logits = plans[0](codes)
    for plan in plans[1:]:
        logits = torch.maximum(logits, plan(codes))
    return logits


def compare(plans, codes, unknown, cutoffs, columns=(), cuts=(0,)):
    """Hits and tracks of ``codes`` (N, T), against those of the logits; gives the logits."""
    assert HitFinder.why_not(plans) is None
    logits = logits_of(plans, codes).masked_fill(unknown[..., None], torch.nan).cpu().numpy()
    finder = HitFinder(plans, np.float32(cutoffs), np.array(columns, np.int64))
    counted = finder.score(codes, unknown)
    steps = logits.shape[1]
    for n, one in enumerate(logits):
        bounds = [*cuts, steps]
        parts = [finder.write(counted, n, *pair) for pair in zip(bounds, bounds[1:], strict=False)]
        places, values = (torch.cat(part).cpu().numpy() for part in zip(*parts, strict=True))
        with np.errstate(invalid="ignore"):
            want = np.flatnonzero(one >= np.float32(cutoffs))
        np.testing.assert_array_equal(places, want)
        np.testing.assert_array_equal(values.view("u4"), one.ravel()[want].view("u4"))
        assert (places.dtype, values.dtype) == (np.int64, np.float32)
    if len(columns):
        tracks = counted.tracks.cpu().numpy()
        np.testing.assert_array_equal(tracks, logits[..., list(columns)])
    else:
        assert counted.tracks is None
    return logits


def batch_of(plans, make_codes, sequences, steps):
    """Codes (N, T) and steps without a score: a gap, both ends, and single ones."""
    length = plans[0].receptive_field + 4 * (steps - 1)
    codes = make_codes(sequences, length)
    codes[0, length // 3 : length // 3 + 4 * 70] = 4
    unknown = torch.zeros(sequences, steps, dtype=torch.bool)
    unknown[0, steps // 3 : steps // 3 + 70] = True
    unknown[0, 0] = unknown[-1, -1] = unknown[-1, ::37] = True
    return codes.to(DEVICE), unknown.to(DEVICE)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(
    "labels, strand, symmetric, steps",
    [
        (1, "both", False, 200),
        (3, "+", False, 63),
        (3, "max", False, 129),
        (33, "both", True, 65),
        (112, "both", False, 140),
        (257, "max", False, 70),
    ],
)
def test_hits_are_those_of_the_logits(
    nan_filled_memory, make_codes, precision, labels, strand, symmetric, steps
):
    """With cutoffs that are logits themselves, and their neighbours among float32."""
    channels = 6 if symmetric else 5
    model = small_model(labels_of(labels), channels=channels, symmetric=symmetric)
    plans = plans_of(model, strand, precision)
    codes, unknown = batch_of(plans, make_codes, 2, steps)
    logits = logits_of(plans, codes).cpu().numpy()
    cutoffs = np.sort(logits.reshape(-1, labels), 0)[2 * steps * 4 // 5]  # ties
    cutoffs[1::4] = np.nextafter(cutoffs[1::4], np.float32(np.inf))
    cutoffs[2::4] = np.nextafter(cutoffs[2::4], np.float32(-np.inf))
    cutoffs[3::4] = np.nan
    columns = [labels - 1, 0] if labels > 1 else []
    compare(plans, codes, unknown, cutoffs, columns)


def test_all_logits_may_be_hits_and_none(make_codes):
    """There is room for all of them: what is written was counted before."""
    plans = plans_of(small_model(labels_of(70)), "both", "fp32")
    codes, unknown = batch_of(plans, make_codes, 2, 150)
    compare(plans, codes, unknown, [-np.inf] * 70, [69])
    compare(plans, codes, unknown, [np.inf] * 70)
    compare(plans, codes, unknown, [np.nan] * 70)
    compare(plans, codes, torch.ones_like(unknown), [-np.inf] * 70)
    compare(plans, codes, unknown, [np.nan] * 69 + [-np.inf])


@pytest.mark.parametrize("strand", ["+", "both", "max"])
def test_infinite_logits_are_hits_and_nan_are_not(make_codes, strand):
    """As with stored logits; a track shows all three."""
    model = small_model(labels_of(5))
    with torch.no_grad():
        model.head.bias[:3] = torch.tensor([np.inf, -np.inf, np.nan])
    plans = plans_of(model, strand, "fp32")
    codes, unknown = batch_of(plans, make_codes, 1, 70)
    cutoffs = [np.inf, -np.inf, -np.inf, 0.0, np.nan]
    logits = compare(plans, codes, unknown, cutoffs, [0, 1, 2, 3])[0]
    known = ~unknown[0].cpu().numpy()
    assert (logits[known, 0] == np.inf).all() and (logits[known, 1] == -np.inf).all()
    assert np.isnan(logits[:, 2]).all() and np.isnan(logits[~known]).all()


def test_nan_among_features_reaches_tracks(make_codes, features):
    plans = plans_of(small_model(labels_of(2)), "both", "fp32")
    codes, unknown = batch_of(plans, make_codes, 1, 70)
    features["spoil"] = lambda made: made[:, 40:50, 1].fill_(np.nan)
    logits = compare(plans, codes, unknown, [-np.inf] * 2, [0, 1])
    assert np.isnan(logits[0, 40:50]).all() and np.isfinite(logits[0, 10:20]).all()


def test_steps_may_be_written_in_parts(make_codes):
    plans = plans_of(small_model(labels_of(3)), "both", "fp32")
    codes, unknown = batch_of(plans, make_codes, 2, 4 * ROWS + 7)
    compare(plans, codes, unknown, [0.0, 0.3, np.nan], [1], cuts=(0, ROWS, 3 * ROWS, 4 * ROWS))
    finder = HitFinder(plans, np.zeros(3, np.float32), np.array([], np.int64))
    counted = finder.score(codes, unknown)
    with pytest.raises(ValueError, match="hits from step 63 on: must be a multiple of 64"):
        finder.write(counted, 0, 63, 100)


def test_two_networks_are_put_together_too(make_codes):
    """Whose heads differ."""
    members = [small_model(), small_model(channels=7)]
    plans = plans_of(Ensemble(members).eval(), "+", "fp32")
    codes, unknown = batch_of(plans, make_codes, 1, 70)
    compare(plans, codes, unknown, [0.0, 0.3, -0.3], [2])


def test_what_cannot_be_found_without_logits():
    wide = Ensemble([small_model(), small_model(channels=20)]).eval()
    assert HitFinder.why_not(plans_of(wide, "+", "fp32")) == (
        "the heads of its two stacks differ in shape"
    )
    assert HitFinder.why_not(plans_of(wide, "both", "fp32")) == (
        "hits are found of two stacks at most, not of 4"
    )
    plain = [Plan(small_model(), device="cpu", precision="fp32", backend="reference")]
    assert HitFinder.why_not(plain) == "backend reference gives logits"
