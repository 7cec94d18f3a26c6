"""From logits to probabilities and calls."""

import numpy as np
import pytest
import torch

from tcnfast.genome.labels import AMBIGUOUS, BOUND, UNBOUND
from tcnfast.model.calibrate import (
    best_f1_cutoff,
    cutoff_at_precision,
    fit_scaling,
    make_thresholds,
    scale_head,
)
from tcnfast.model.load_model import load_model


def sigmoid(x):
    return 1 / (1 + np.exp(-np.asarray(x, np.float64)))


def column(values):
    return np.asarray(values)[:, None]


# scaling


@pytest.mark.parametrize("slope, intercept", [(1.0, 0.0), (0.5, -2.0), (2.0, 1.0), (0.8, -4.0)])
def test_planted_scaling_is_found(slope, intercept):
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (20_000, 2)).astype(np.float32)
    targets = (rng.random(logits.shape) < sigmoid(slope * logits + intercept)).astype(np.uint8)
    # what is ambiguous does not count, however it looks
    hidden = rng.random(logits.shape) < 0.3
    logits[hidden], targets[hidden] = 50, AMBIGUOUS
    slopes, intercepts = fit_scaling(logits, targets)
    np.testing.assert_allclose(slopes, slope, rtol=0.15)
    np.testing.assert_allclose(intercepts, intercept, atol=0.2)


def test_labels_are_scaled_each_on_its_own():
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 2, (20_000, 1)).repeat(2, 1).astype(np.float32)
    planted = np.array([0.5, 2.0]), np.array([-1.0, 1.0])
    targets = (rng.random(logits.shape) < sigmoid(logits * planted[0] + planted[1])).astype(
        np.uint8
    )
    slopes, intercepts = fit_scaling(logits, targets)
    np.testing.assert_allclose(slopes, planted[0], rtol=0.1)
    np.testing.assert_allclose(intercepts, planted[1], atol=0.15)


@pytest.mark.parametrize(
    "positives, reason",
    [(19, "rare"), (0, "never-bound"), (3000, "always-bound"), (1500, "worse-than-chance")],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_a_label_that_cannot_be_fitted_is_only_shifted_to_its_rate(positives, reason):
    rng = np.random.default_rng(2)
    logits = rng.normal(2, 1, 3_000).astype(np.float32)
    order = np.argsort(logits)
    targets = np.full(3_000, UNBOUND, np.uint8)
    # bound windows at the bottom: whatever is fitted would turn the scores over
    targets[order[:positives]] = BOUND
    slopes, intercepts = fit_scaling(column(logits), column(targets))
    assert slopes[0] == 1
    want = (positives + 0.5) / 3_001
    assert sigmoid(logits + intercepts[0]).mean() == pytest.approx(want, rel=1e-3)


def test_twenty_positives_are_enough_for_a_slope():
    rng = np.random.default_rng(3)
    targets = np.repeat([BOUND, UNBOUND], [20, 2000]).astype(np.uint8)
    logits = (rng.normal(size=2020) + 2 * (targets == BOUND)).astype(np.float32)
    slopes, _ = fit_scaling(column(logits), column(targets))
    assert slopes[0] > 1.2


def test_a_perfectly_separated_label_stays_finite():
    targets = np.repeat([BOUND, UNBOUND], [100, 1000]).astype(np.uint8)
    logits = np.where(targets == BOUND, 3, -3) + np.linspace(0, 1, 1100)
    slopes, intercepts = fit_scaling(column(logits.astype(np.float32)), column(targets))
    assert slopes[0] > 0 and np.isfinite([slopes[0], intercepts[0]]).all()


def test_a_label_without_a_known_window_is_left_alone():
    slopes, intercepts = fit_scaling(np.ones((50, 1), np.float32), np.full((50, 1), AMBIGUOUS))
    assert (slopes[0], intercepts[0]) == (1, pytest.approx(0, abs=1e-6))


@torch.no_grad()
def test_scaled_head_gives_the_calibrated_probability(make_model, make_codes):
    model, codes = make_model(), make_codes(4, 100)
    slopes, intercepts = np.array([0.5, 2.0, 1.0]), np.array([-3.0, 0.25, 0.0])
    before = model(codes).numpy()
    scale_head(model, slopes, intercepts)
    want = sigmoid(slopes * before + intercepts)
    np.testing.assert_allclose(model(codes).sigmoid().numpy(), want, rtol=1e-4, atol=1e-6)
    assert model.head.weight.dtype == torch.float32


# thresholds


def f1(called, truth):
    return 2 * (called & truth).sum() / max(1, called.sum() + truth.sum())


@pytest.mark.parametrize("ties", [False, True], ids=["distinct", "ties"])
@pytest.mark.parametrize("seed", range(8))
def test_best_f1_by_brute_force(seed, ties):
    rng = np.random.default_rng(seed)
    truth = rng.random(200) < 0.1
    logits = (rng.normal(size=200) + truth).astype(np.float32)
    logits = (2 * logits).round() if ties else logits
    cutoff = best_f1_cutoff(logits, truth)
    best = max(f1(logits >= c, truth) for c in logits)
    assert cutoff in logits and f1(logits >= cutoff, truth) == pytest.approx(best, abs=1e-12)


@pytest.mark.parametrize(
    "logits, truth, cutoff",
    [
        ([3, 2, 1, 0], [1, 1, 0, 0], 2),
        ([0, 1, 2, 3], [1, 0, 0, 0], 0),
        ([1, 1, 1, 1], [1, 0, 1, 0], 1),
        ([5, 5, 1, 0], [1, 0, 1, 0], 1),
        ([2], [1], 2),
        ([1, 2], [0, 0], np.inf),
        ([], [], np.inf),
    ],
    ids=["separated", "last", "all-tied", "tie-at-the-top", "single", "none-bound", "empty"],
)
def test_best_f1_by_hand(logits, truth, cutoff):
    logits = np.array(logits, np.float32)
    assert best_f1_cutoff(logits, np.array(truth, bool)) == cutoff
    assert logits.tolist() == list(logits)


@pytest.mark.parametrize("ties", [False, True], ids=["distinct", "ties"])
@pytest.mark.parametrize("seed", range(4))
def test_cutoff_at_a_precision_by_brute_force(seed, ties):
    rng = np.random.default_rng(seed)
    truth = rng.random(400) < 0.3
    logits = (rng.normal(size=400) + 1.5 * truth).astype(np.float32)
    logits = (3 * logits).round() if ties else logits
    for precision in (0.3, 0.5, 0.8, 0.9):
        fit = []
        for cutoff in set(logits.tolist()):
            called = logits >= cutoff
            hits = (called & truth).sum()
            if hits >= 20 and hits >= precision * called.sum():
                fit.append(cutoff)
        assert cutoff_at_precision(logits, truth, precision) == min(fit, default=np.inf)


def test_a_precision_that_few_windows_reach_is_out_of_reach():
    truth = np.repeat([True, False, True], [19, 100, 1])
    logits = -np.arange(120.0)
    assert cutoff_at_precision(logits, truth, 0.5) == np.inf
    assert cutoff_at_precision(logits, truth, 0.5, min_hits=19) == -37
    assert cutoff_at_precision(np.array([]), np.array([], bool), 0.5) == np.inf


def test_thresholds_at_a_precision_are_chosen_on_validation_and_measured_on_test():
    rng = np.random.default_rng(7)
    parts = []
    for shift in (0.0, -1.0):  # test is harder
        truth = rng.random(4_000) < 0.2
        logits = (rng.normal(size=4_000) + (3 + shift) * truth - 2).astype(np.float32)
        parts.append((column(logits), column(truth.astype(np.uint8))))
    (valid, chosen), (test, seen) = parts
    row = make_thresholds(["a"], *parts)["a"]
    assert list(row.at_precision) == [0.5, 0.9]
    for precision, cutoff in row.at_precision.items():
        called = sigmoid(valid) >= cutoff.threshold
        assert chosen[called].mean() == pytest.approx(precision, abs=0.01)
        called = sigmoid(test) >= cutoff.threshold
        assert cutoff.precision == pytest.approx(seen[called].mean())
        assert cutoff.recall == pytest.approx(seen[called].sum() / seen.sum())
        assert cutoff.precision < precision
    assert row.at_precision[0.9].threshold > row.at_precision[0.5].threshold


def test_without_test_thresholds_are_the_same_and_nothing_is_known_of_them():
    logits = column(np.linspace(-1, 1, 200).astype(np.float32))
    both = logits, column((np.arange(200) > 120).astype(np.uint8))
    row, blind = (make_thresholds(["a"], both, test)["a"] for test in (both, None))
    assert blind.threshold == row.threshold and blind.positives == 0
    assert np.isnan([blind.precision, blind.recall]).all()
    for precision, cutoff in row.at_precision.items():
        assert blind.at_precision[precision].threshold == cutoff.threshold
        assert np.isnan(blind.at_precision[precision].recall)


def test_a_precision_out_of_reach_has_no_threshold():
    logits = column(np.linspace(-1, 1, 200).astype(np.float32))
    targets = column((np.arange(200) % 4 == 0).astype(np.uint8))  # the logits say nothing
    assert make_thresholds(["a"], (logits, targets), (logits, targets))["a"].at_precision == {
        0.5: None,
        0.9: None,
    }


def test_thresholds_by_hand():
    valid = np.array([2, 1, 0, -1, 9.0]), [BOUND, BOUND, UNBOUND, UNBOUND, AMBIGUOUS]
    # at logit 1 and above: two hits and one false call of three bound windows; one is ambiguous
    test = np.array([3, 1.5, 2, 0.5, -4, 8.0]), [BOUND, BOUND, UNBOUND, BOUND, UNBOUND, AMBIGUOUS]
    parts = [(column(x), column(np.array(y, np.uint8))) for x, y in (valid, test)]
    row = make_thresholds(["a"], *parts)["a"]
    assert row.label == "a" and row.positives == 3
    assert row.threshold == pytest.approx(sigmoid(1.0), abs=1e-6)
    assert row.precision == pytest.approx(2 / 3) and row.recall == pytest.approx(2 / 3)


def test_thresholds_of_labels_with_nothing_to_go_by():
    logits = np.array([[-1.0, -1, 1], [-2, -2, 2]])
    valid = logits, np.array([[UNBOUND, BOUND, UNBOUND]] * 2, np.uint8)
    test = logits, np.array([[UNBOUND, UNBOUND, BOUND], [UNBOUND, AMBIGUOUS, UNBOUND]], np.uint8)
    rows = make_thresholds(["silent", "b", "c"], valid, test)
    assert rows["silent"].threshold == 0.5 and rows["c"].threshold == 0.5
    assert np.isnan(rows["silent"].precision), "nothing was called"
    assert np.isnan(rows["silent"].recall) and rows["silent"].positives == 0
    assert rows["b"].precision == 0 and np.isnan(rows["b"].recall)
    assert (rows["c"].precision, rows["c"].recall, rows["c"].positives) == (0.5, 1.0, 1)


@pytest.mark.parametrize("seed", range(6))
def test_the_threshold_as_written_still_makes_the_calls_of_best_f1(seed):
    rng = np.random.default_rng(seed)
    truth = np.arange(3_000) < 12
    logits = (rng.normal(-6, 1, 3_000) + 4 * truth).astype(np.float32)
    both = column(logits), column(truth.astype(np.uint8))
    row = make_thresholds(["a"], both, both)["a"]
    assert row.threshold == float(f"{row.threshold:.6g}"), "more digits than the file holds"
    called = sigmoid(logits) >= row.threshold
    best = max(f1(logits >= c, truth) for c in logits[truth])
    assert f1(called, truth) == pytest.approx(best)
    assert row.precision == pytest.approx((called & truth).sum() / called.sum())
    assert row.recall == pytest.approx((called & truth).sum() / 12)


@pytest.mark.parametrize("scale", [0.01, 1, 20, 200])
def test_thresholds_of_a_very_sure_model_are_probabilities(make_model, tmp_path, scale):
    model = make_model(labels=["a"])
    logits, targets = column([1.0, 1.0, -1.0, -1.0]) * scale, column([1, 1, 0, 0]).astype(np.uint8)
    model.thresholds = make_thresholds(["a"], (logits, targets), (logits, targets))
    row = model.thresholds["a"]
    assert 0 < row.threshold < 1 and (row.precision, row.recall) == (1, 1)
    model.save(tmp_path)
    assert load_model(tmp_path).thresholds == model.thresholds
