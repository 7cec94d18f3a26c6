"""Metrics and paired tests of a study, against scikit-learn and by hand."""

import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    f1_score,
    hamming_loss,
    matthews_corrcoef,
    precision_score,
    recall_score,
    roc_auc_score,
)
from support.study import planted_set

from tcnfast.windows.statistics import holm, replicates, score_rows, window_blocks
from tcnfast.windows.window_metrics import (
    best_mcc_cutoff,
    calibration_error,
    cell_scores,
    counted_labels,
    f1_cutoffs,
)


def scored(windows, skill, seed=0):
    """Logits float32 that know the truth as well as ``skill`` says."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=windows.labels.shape)
    return (skill * (windows.labels == 1) + noise).astype(np.float32)


def test_scores_are_those_of_scikit_learn():
    windows = planted_set()
    valid, test = windows.select("valid"), windows.select("test")
    tuned, logits = scored(valid, 1.0), scored(test, 1.0, 1)
    cutoffs = f1_cutoffs(tuned, valid.labels)
    found = {
        row[:2]: row[2]
        for row in cell_scores(windows.names, (tuned, valid.labels), (logits, test.labels))
    }
    for i, label in enumerate(windows.names):
        known = test.labels[:, i] < 2
        truth, score = test.labels[known, i] == 1, logits[known, i]
        seen = valid.labels[:, i] < 2
        mcc_cutoff = best_mcc_cutoff(tuned[seen, i], valid.labels[seen, i] == 1)
        want = {
            "ap": average_precision_score(truth, score),
            "auroc": roc_auc_score(truth, score),
            "f1": f1_score(truth, score >= cutoffs[i]),
            "accuracy": np.mean(truth == (score >= cutoffs[i])),
            "mcc": matthews_corrcoef(truth, score >= mcc_cutoff),
        }
        for metric, value in want.items():
            assert found[label, metric] == pytest.approx(value), (label, metric)
    known = test.labels < 2
    called = (logits >= cutoffs)[known]
    assert found["all", "hamming_loss"] == pytest.approx(hamming_loss(test.labels[known], called))
    pooled = test.labels[known] == 1
    assert found["micro", "ap"] == pytest.approx(average_precision_score(pooled, logits[known]))
    assert found["micro", "f1"] == pytest.approx(f1_score(pooled, called))
    macro = np.mean([found[label, "f1"] for label in windows.names])
    assert found["macro", "f1"] == pytest.approx(macro)


def test_rare_labels_are_left_out_of_means():
    windows = planted_set()
    labels = windows.labels.copy()
    labels[np.flatnonzero(labels[:, 1] == 1)[19:], 1] = 0
    labels[:, 2] = np.where(labels[:, 2] == 1, 1, 2)  # bound or masked: nothing to tell apart
    assert counted_labels(labels).tolist() == [True, False, False]
    logits = np.random.default_rng(0).normal(size=labels.shape).astype(np.float32)
    found = {r[:2]: r[2] for r in cell_scores(windows.names, (logits, labels), (logits, labels))}
    assert found["macro", "ap"] == found["ONE@x", "ap"] != found["TWO@x", "ap"]
    assert np.isnan(found["THREE@y", "auroc"])


def test_the_best_mcc_cutoff_is_the_best_of_all():
    rng = np.random.default_rng(5)
    truth = rng.random(300) < 0.3
    logits = np.round(truth + rng.normal(size=300), 1).astype(np.float32)
    every = [matthews_corrcoef(truth, logits >= cutoff) for cutoff in np.unique(logits)]
    best = best_mcc_cutoff(logits, truth)
    assert matthews_corrcoef(truth, logits >= best) == pytest.approx(max(every))
    assert best_mcc_cutoff(logits, np.zeros(300, bool)) == np.inf


def test_calibration_error():
    rng = np.random.default_rng(6)
    p = rng.uniform(0.05, 0.95, 200_000)
    logits, truth = np.log(p / (1 - p)), rng.random(p.size) < p
    assert calibration_error(logits, truth) < 0.005
    assert calibration_error(np.full(1000, np.log(4.0)), np.arange(1000) < 500) == pytest.approx(
        0.3
    )


def test_blocks_are_megabases_and_windows_without_place_are_their_own():
    test = planted_set().select("test")
    block = window_blocks(test)
    want = (test.start + test.length // 2) // 1_000_000
    assert np.array_equal(np.unique(want, return_inverse=True)[1], block)
    test.chrom[::2] = -1
    mixed = window_blocks(test)
    assert len(set(mixed[::2])) == 200 and not set(mixed[::2]) & set(mixed[1::2])
    assert np.array_equal(np.unique(want[1::2], return_inverse=True)[1], mixed[1::2])


def test_replicates_are_scores_of_resampled_blocks():
    test = planted_set(masked=0.1).select("test")
    logits = [scored(test, 1.0, seed) for seed in (1, 2)]
    cutoffs = [f1_cutoffs(x, test.labels) for x in logits]
    found = replicates(test, logits, cutoffs, resamples=5, seed=3)
    assert found.value.shape == (6, 3) and found.draws.shape == (6, 3, 5)
    from tcnfast.evaluate.bootstrap import draw_blocks

    block = window_blocks(test)
    weight = draw_blocks(block.max() + 1, 5, 3)[:, 4][block]
    for i in range(3):
        known = (test.labels[:, i] < 2) & (weight > 0)
        truth, w = test.labels[known, i] == 1, weight[known]
        by_seed = [
            (
                average_precision_score(truth, x[known, i], sample_weight=w),
                roc_auc_score(truth, x[known, i], sample_weight=w),
                *(
                    score(truth, x[known, i] >= c[i], sample_weight=w)
                    for score in (f1_score, accuracy_score, precision_score, recall_score)
                ),
            )
            for x, c in zip(logits, cutoffs, strict=True)
        ]
        np.testing.assert_allclose(found.draws[:, i, 4], np.mean(by_seed, 0))


def test_a_real_difference_is_found_and_none_is_not():
    test = planted_set(sizes={"train": 10, "valid": 10, "test": 1500}).select("test")
    cut = np.zeros(3)
    good, poor = (replicates(test, [scored(test, s, 1)], [cut], resamples=400) for s in (1.5, 1.0))
    same = replicates(test, [scored(test, 1.0, 2)], [cut], resamples=400)
    rows = score_rows("planted", "a", test.names, good, "b", poor)
    macro = next(r for r in rows if r["label"] == "macro" and r["metric"] == "ap")
    assert macro["p"] < 0.01 and 0 < macro["low"] < macro["value"] < macro["high"]
    rows = score_rows("planted", "a", test.names, poor, "b", same)
    macro = next(r for r in rows if r["label"] == "macro" and r["metric"] == "ap")
    assert macro["p"] > 0.05 and macro["low"] < 0 < macro["high"]
    own = score_rows("planted", "a", test.names, good)
    assert len(own) == 6 * (1 + 3) and all(r["low"] < r["value"] < r["high"] for r in own)


def test_few_blocks_give_no_intervals():
    test = planted_set(sizes={"train": 5, "valid": 5, "test": 120}).select("test")
    found = replicates(test, [scored(test, 1.0)], [np.zeros(3)])
    assert found.draws.shape == (6, 3, 0)
    rows = score_rows("planted", "a", test.names, found, "b", found)
    assert all(np.isnan(row["p"]) and np.isnan(row["low"]) for row in rows)


def test_holm():
    np.testing.assert_allclose(
        holm(np.array([0.01, 0.04, np.nan, 0.03, 0.005])), [0.03, 0.06, np.nan, 0.06, 0.02]
    )
    assert holm(np.array([0.9, 0.8])).max() == 1.0
