"""Scores, parts, replicates and calibration of a model against their definitions."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from tcnfast.base.errors import TcnfastError
from tcnfast.evaluate.assessment import (
    EDGES,
    WITH_REPLICATES,
    Windows,
    assess,
    calibration_errors,
    compare,
    left_out,
)
from tcnfast.evaluate.bootstrap import draw_blocks
from tcnfast.genome.labels import AMBIGUOUS, BOUND, UNBOUND

LABELS = ["a", "b", "c"]


def sigmoid(x):
    return 1 / (1 + np.exp(-np.asarray(x, np.float64)))


def random_windows(seed=0, n=3_000, blocks=8, rates=(0.1, 0.05, 0.02)):
    """Windows in blocks, and calibrated logits: a window is bound as likely as they say."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(np.log(rates), 1.5, (n, len(rates))).astype(np.float32)
    targets = (rng.random(logits.shape) < sigmoid(logits)).astype(np.uint8)
    targets[rng.random(targets.shape) < 0.1] = AMBIGUOUS
    block = np.sort(rng.integers(0, blocks, n)).astype(np.int32)
    return Windows(LABELS[: len(rates)], targets, block, rng.random(n) < 0.3), logits


def known(windows, logits, index):
    keep = windows.targets[:, index] != AMBIGUOUS
    return keep, windows.targets[keep, index] == BOUND, logits[keep, index]


def test_scores_of_all_windows_and_of_islands():
    windows, logits = random_windows()
    got = assess(windows, logits, np.array([-1.0, np.nan, 50]), resamples=10)
    for index in range(3):
        keep, truth, score = known(windows, logits, index)
        inside = windows.island[keep]
        assert got.values["ap"][index] == pytest.approx(average_precision_score(truth, score))
        assert got.values["auroc"][index] == pytest.approx(roc_auc_score(truth, score))
        for name, part in (("ap_island", inside), ("ap_elsewhere", ~inside)):
            want = average_precision_score(truth[part], score[part])
            assert got.values[name][index] == pytest.approx(want)
        assert got.positives[index] == truth.sum() and got.windows[index] == truth.size
        assert got.positives_island[index] == (truth & inside).sum()
    _, truth, score = known(windows, logits, 0)
    called = score >= -1
    assert got.values["precision"][0] == pytest.approx(truth[called].mean())
    assert got.values["recall"][0] == pytest.approx(truth[called].sum() / truth.sum())
    # b has no cutoff; c calls nothing at its own
    assert np.isnan(got.values["precision"][1:]).all() and np.isnan(got.values["recall"][1])
    assert got.values["recall"][2] == 0
    assert got.macro("precision") == got.values["precision"][0]


def test_replicates_are_scores_of_the_blocks_drawn():
    windows, logits = random_windows()
    got = assess(windows, logits, np.zeros(3), resamples=12, seed=4)
    drawn = draw_blocks(8, 12, seed=4)
    assert all(got.replicates[name].shape == (3, 12) for name in WITH_REPLICATES)
    for index in range(3):
        keep, truth, score = known(windows, logits, index)
        for j in range(12):
            weight = drawn[windows.block[keep], j]
            want = average_precision_score(truth, score, sample_weight=weight)
            assert got.replicates["ap"][index, j] == pytest.approx(want)
            called = (score >= 0) * weight
            want = (called * truth).sum() / called.sum()
            assert got.replicates["precision"][index, j] == pytest.approx(want)
    want = np.quantile(got.replicates["ap"].mean(0), [0.025, 0.975])
    np.testing.assert_allclose(got.macro_interval("ap"), want)
    low, high = got.interval("auroc")
    assert (low < got.values["auroc"]).all() and (got.values["auroc"] < high).all()


def test_few_blocks_make_no_intervals():
    windows, logits = random_windows(blocks=4)
    got = assess(windows, logits, np.zeros(3))
    assert got.replicates["ap"].shape == (3, 0)
    assert np.isnan(got.interval("ap")).all() and np.isnan(got.macro_interval("ap")).all()
    assert np.isfinite(got.macro("ap"))


def test_labels_without_enough_positives_are_named_and_left_out():
    windows, logits = random_windows()
    windows.targets[:, 1] = np.where(windows.targets[:, 1] == BOUND, UNBOUND, windows.targets[:, 1])
    rare = np.flatnonzero(windows.targets[:, 2] == BOUND)[7:]
    windows.targets[rare, 2] = UNBOUND
    got = assess(windows, logits, np.zeros(3), resamples=50)
    assert left_out(got) == ["b (no bound window)", "c (7 bound windows)"]
    for name in ("ap", "auroc", "f1", "recall_fdr10", "recall_fdr50", "recall", "predicted"):
        assert np.isnan(got.values[name][1]), name
        assert got.macro(name) == got.values[name][0]
    assert np.isnan(got.interval("ap")[0][1])
    # all seven bound windows lie in one block or two: replicates without them are left out
    assert np.isnan(got.replicates["ap"][2]).any() and np.isfinite(got.interval("ap")[0][2])


def test_a_label_without_a_known_window():
    windows, logits = random_windows()
    windows.targets[:, 0] = AMBIGUOUS
    got = assess(windows, logits, np.zeros(3), resamples=5)
    assert got.windows[0] == 0 and all(np.isnan(column[0]) for column in got.values.values())
    assert left_out(got) == ["a (no bound window)"] and np.isfinite(got.macro("ece"))


def test_reliability_counts_windows_by_probability():
    windows, logits = random_windows(n=20_000)
    got = assess(windows, logits, np.zeros(3), resamples=0)
    for index in range(3):
        _, truth, score = known(windows, logits, index)
        p = sigmoid(score)
        place = np.digitize(p, EDGES) - 1
        for b in range(len(EDGES) - 1):
            here = place == b
            want = here.sum(), p[here].sum(), truth[here].sum()
            np.testing.assert_allclose(got.reliability[index, b], want, atol=1e-6)
        want = sum(
            abs(p[place == b].sum() - truth[place == b].sum()) for b in range(len(EDGES) - 1)
        )
        assert got.values["ece"][index] == pytest.approx(want / truth.size)
        assert got.values["predicted"][index] == pytest.approx(p.sum() / truth.sum())
    assert (np.abs(got.values["predicted"] - 1) < 0.15).all()
    wrong = assess(windows, logits + 1, np.zeros(3), resamples=0)
    assert (wrong.values["ece"] > 3 * got.values["ece"]).all()
    assert (wrong.values["predicted"] > 1.5).all()


def test_probabilities_of_0_and_1_have_a_bin():
    windows = Windows(
        ["a"], np.array([[BOUND], [UNBOUND]], np.uint8), np.zeros(2, np.int32), np.zeros(2, bool)
    )
    got = assess(windows, np.array([[200.0], [-200.0]], np.float32), np.zeros(1))
    assert got.reliability[0].sum(0).tolist() == [2, 1, 1]
    assert got.values["ece"][0] == 0 and got.values["predicted"][0] == 1
    empty = calibration_errors(np.zeros((1, 3, 3)))
    assert np.isnan(empty["ece"]).all() and np.isnan(empty["predicted"]).all()


def test_a_model_against_itself_and_against_a_worse_one():
    windows, logits = random_windows(n=6_000, blocks=12)
    noise = np.random.default_rng(1).normal(0, 2, logits.shape).astype(np.float32)
    ours, worse = (assess(windows, x, np.zeros(3), resamples=300) for x in (logits, logits + noise))
    for name in ("ap", "auroc"):
        same = compare(ours, ours, name)
        assert (same.value == 0).all() and (same.p == 1).all() and same.macro_p == 1
        got = compare(ours, worse, name)
        np.testing.assert_allclose(got.value, ours.values[name] - worse.values[name])
        assert got.macro == pytest.approx(got.value.mean()) and got.macro_low > 0
        assert got.macro_low < got.macro < got.macro_high and got.macro_p < 0.02
        back = compare(worse, ours, name)
        assert back.macro == -got.macro and back.macro_p == got.macro_p
        paired = ours.replicates[name] - worse.replicates[name]
        for part, want in (
            ((got.low, got.high), paired),
            ((got.macro_low, got.macro_high), paired.mean(0)),
        ):
            np.testing.assert_allclose(part, np.quantile(want, [0.025, 0.975], axis=-1))
        # paired: far narrower than the two intervals taken apart
        apart = np.subtract(*ours.macro_interval(name)) + np.subtract(*worse.macro_interval(name))
        assert got.macro_high - got.macro_low < -apart
    with pytest.raises(TcnfastError, match="same labels and windows"):
        compare(ours, ours.take([0, 1]), "ap")
    part = ours.take([2, 0])
    assert part.labels == ["c", "a"] and part.macro("ap") == ours.values["ap"][[2, 0]].mean()


def test_models_that_are_equally_good_seldom_differ_significantly():
    rejected = 0
    for seed in range(60):
        windows, logits = random_windows(seed, n=1_500, blocks=20, rates=(0.2,))
        rng = np.random.default_rng(seed + 1000)
        noisy = [logits + rng.normal(0, 1, logits.shape).astype(np.float32) for _ in range(2)]
        a, b = (assess(windows, x, np.zeros(1), resamples=200, seed=seed) for x in noisy)
        rejected += compare(a, b, "ap").macro_p < 0.05
    assert rejected <= 9  # 3 expected


def test_logits_of_other_windows_raise():
    windows, logits = random_windows()
    with pytest.raises(TcnfastError, match="must agree"):
        assess(windows, logits[1:], np.zeros(3))
