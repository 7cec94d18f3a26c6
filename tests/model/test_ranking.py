"""Scores of one ranking under many weightings, against scikit-learn and against brute force."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

from tcnfast.model import ranking
from tcnfast.model.ranking import FDRS, METRICS, Ranking


def random_case(seed, n=600, cells=7, ties=False):
    rng = np.random.default_rng(seed)
    truth = rng.random(n) < 0.15
    score = (rng.normal(size=n) + 1.5 * truth).astype(np.float32)
    score = (2 * score).round() if ties else score
    weights = rng.integers(0, 4, (cells, 9)).astype(np.int32)
    weights[:, 0] = 1
    return score, truth, rng.integers(0, cells, n).astype(np.int32), weights


def repeated(score, truth, counts):
    return np.repeat(score, counts), np.repeat(truth, counts)


def brute(score, truth):
    """Best F1, and recall at each FDR, by trying every cutoff."""
    f1, recall = 0.0, dict.fromkeys(FDRS, 0.0)
    for cutoff in set(score.tolist()):
        called = score >= cutoff
        hits = (called & truth).sum()
        f1 = max(f1, 2 * hits / (called.sum() + truth.sum()))
        for fdr in FDRS:
            if called.sum() - hits <= fdr * called.sum():
                recall[fdr] = max(recall[fdr], hits / truth.sum())
    return [f1, *recall.values()]


@pytest.mark.parametrize("ties", [False, True], ids=["distinct", "ties"])
@pytest.mark.parametrize("seed", range(4))
def test_every_weighting_scores_as_scikit_learn_does(seed, ties, monkeypatch):
    monkeypatch.setattr(ranking, "TILE", 4)  # three walks, the last of one column
    score, truth, cell, weights = random_case(seed, ties=ties)
    got = Ranking.of(score, truth, cell).scores(weights)
    assert list(got) == list(METRICS)
    for column in range(weights.shape[1]):
        counts = weights[cell, column]
        options = dict(sample_weight=counts)
        want = (
            average_precision_score(truth, score, **options),
            roc_auc_score(truth, score, **options),
        )
        assert [got[x][column] for x in ("ap", "auroc")] == pytest.approx(want, rel=1e-12)
        # a weight is so many copies of a window
        want = brute(*repeated(score, truth, counts))
        assert [got[x][column] for x in METRICS[2:]] == pytest.approx(want, rel=1e-12)


def test_weightings_without_both_classes_have_no_score():
    truth = np.array([True, True, False, False])
    cell = np.array([0, 0, 1, 1], np.int32)
    weights = np.array([[1, 1, 0, 0], [1, 0, 1, 0]], np.int32)
    got = Ranking.of(np.arange(4, dtype=np.float32), truth, cell).scores(weights)
    for name in METRICS:
        assert np.isnan(got[name][1:]).all() and not np.isnan(got[name][0])


def test_no_window_at_all():
    empty = Ranking.of(np.zeros(0, np.float32), np.zeros(0, bool), np.zeros(0, np.int32))
    weights = np.ones((1, 2), np.int32)
    assert all(np.isnan(column).all() for column in empty.scores(weights).values())
    assert all(np.isnan(column).all() for column in empty.calls(0.0, weights).values())
    assert np.isnan(empty.precision_at(np.array([0, 1.0]))).all()


@pytest.mark.parametrize("cutoff", [-9.0, 0.0, 1.0, 9.0])
def test_calls_at_a_cutoff_by_counting(cutoff):
    score, truth, cell, weights = random_case(5, ties=True)
    got = Ranking.of(score, truth, cell).calls(cutoff, weights)
    for column in range(weights.shape[1]):
        scores, truths = repeated(score, truth, weights[cell, column])
        called = scores >= cutoff
        hits = (called & truths).sum()
        want = hits / called.sum() if called.any() else np.nan, hits / truths.sum()
        np.testing.assert_allclose([got["precision"][column], got["recall"][column]], want)


def test_the_precision_recall_curve_is_the_envelope_of_scikit_learns():
    score, truth, cell, _ = random_case(6, ties=True)
    recalls = np.linspace(0, 1, 23)
    precision, recall, _ = precision_recall_curve(truth, score)
    # its last point, recall 0 and precision 1, is of no cutoff
    want = [precision[:-1][recall[:-1] >= level - 1e-12].max() for level in recalls]
    np.testing.assert_allclose(Ranking.of(score, truth, cell).precision_at(recalls), want)
