"""Scores of a model on windows: of every label, and of all together."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..evaluate.assessment import EDGES, calibration_errors
from ..genome.labels import AMBIGUOUS, BOUND
from ..model.calibrate import best_f1_cutoff, ranked_cutoffs
from ..model.metrics import MIN_POSITIVES
from ..model.ranking import ap_and_auroc

LABEL_METRICS = ("ap", "auroc", "f1", "mcc", "accuracy", "precision", "recall", "ece")
MACRO, MICRO, ALL = "macro", "micro", "all"


def best_mcc_cutoff(logits: np.ndarray, truth: np.ndarray) -> float:
    """The logit at or above which calling windows gives the best Matthews correlation; +inf where
    either class is missing."""
    bound = int(truth.sum())
    if not 0 < bound < truth.size:
        return float("inf")
    cutoffs, hits, calls = ranked_cutoffs(logits, truth)
    return float(cutoffs[np.argmax(_mcc(hits, calls, bound, truth.size))])


def _mcc(hits, calls, bound: int, total: int):
    """Matthews correlation of ``calls`` windows called, ``hits`` of them bound; 0 where nothing, or
    everything, is called."""
    below = np.sqrt(np.float64(calls) * (total - calls) * bound * (total - bound))
    above = hits * np.float64(total) - np.float64(calls) * bound
    return np.where(below > 0, above / np.maximum(below, 1e-12), 0.0)


def counted_labels(targets: np.ndarray) -> np.ndarray:
    """Labels that enter means: with enough bound windows in ``targets`` uint8 (n, labels), and an
    unbound one."""
    return ((targets == BOUND).sum(0) >= MIN_POSITIVES) & (targets == 0).any(0)


def f1_cutoffs(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """The logit of each label that gives the best F1 on these windows: float64 (labels,)."""
    found = []
    for score, target in zip(logits.T, targets.T, strict=True):
        known = target != AMBIGUOUS
        found.append(best_f1_cutoff(score[known], target[known] == BOUND))
    return np.array(found)


def cell_scores(
    names: list[str],
    valid: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
) -> Iterator[tuple[str, str, float]]:
    """(label, metric, value) of ``test``; both are logits float32 and targets uint8 (n, labels).

    Cutoffs of F1, accuracy, precision and recall (best F1) and of MCC (best MCC) are those of
    ``valid``. Means are over labels with at least 20 bound windows in ``test``; "micro" takes
    windows x labels as one list, "all" is of the whole matrix: Hamming loss is the share of its
    known entries that are called wrongly. The calibration error is of raw probabilities.
    """
    logits, targets = test
    cutoffs = f1_cutoffs(*valid)
    rows = np.full((len(names), len(LABEL_METRICS)), np.nan)
    for i, name in enumerate(names):
        known, tuned = targets[:, i] != AMBIGUOUS, valid[1][:, i] != AMBIGUOUS
        truth = targets[known, i] == BOUND
        mcc_cutoff = best_mcc_cutoff(valid[0][tuned, i], valid[1][tuned, i] == BOUND)
        rows[i] = _label_scores(logits[known, i], truth, cutoffs[i], mcc_cutoff)
        yield from zip([name] * len(LABEL_METRICS), LABEL_METRICS, rows[i], strict=True)
    counted = counted_labels(targets)
    if counted.any():
        macro = np.nanmean(rows[counted], 0)
        yield from zip([MACRO] * len(LABEL_METRICS), LABEL_METRICS, macro, strict=True)
    yield from _pooled(logits[:, counted], targets[:, counted], cutoffs[counted])


def _label_scores(logits, truth, cutoff: float, mcc_cutoff: float) -> tuple[float, ...]:
    """LABEL_METRICS of one label."""
    called, mcc_called, bound = logits >= cutoff, logits >= mcc_cutoff, int(truth.sum())
    hits, calls = int((truth & called).sum()), int(called.sum())
    mcc = float(_mcc((truth & mcc_called).sum(), mcc_called.sum(), bound, truth.size))
    return (
        *ap_and_auroc(logits, truth),
        _f1(called, truth),
        mcc if 0 < bound < truth.size else np.nan,
        float((called == truth).sum() / max(1, truth.size)),
        hits / calls if calls else np.nan,
        hits / bound if bound else np.nan,
        calibration_error(logits, truth),
    )


def _f1(called: np.ndarray, truth: np.ndarray) -> float:
    """NaN without a bound window."""
    bound = truth.sum()
    return float(2 * (called & truth).sum() / (called.sum() + bound)) if bound else np.nan


def calibration_error(logits: np.ndarray, truth: np.ndarray) -> float:
    """Expected calibration error of sigmoid(logits), in the bins of an evaluation."""
    probability = 1 / (1 + np.exp(-logits.astype(np.float64)))
    place = np.clip(np.searchsorted(EDGES, probability, side="right") - 1, 0, len(EDGES) - 2)
    sums = [np.bincount(place, weights, len(EDGES) - 1) for weights in (None, probability, truth)]
    return float(calibration_errors(np.column_stack(sums))["ece"])


def _pooled(logits, targets, cutoffs) -> Iterator[tuple[str, str, float]]:
    known = targets != AMBIGUOUS
    truth, score = (targets == BOUND)[known], logits[known]
    if not 0 < truth.sum() < truth.size:
        return
    called = (logits >= cutoffs)[known]
    for name, value in zip(("ap", "auroc"), ap_and_auroc(score, truth), strict=True):
        yield MICRO, name, value
    yield MICRO, "f1", _f1(called, truth)
    yield ALL, "hamming_loss", float((called != truth).mean())
