"""From logits to probabilities and calls: calibration per label on validation, a threshold, and
what to expect of it elsewhere."""

from __future__ import annotations

import numpy as np
import torch

from ..genome.labels import AMBIGUOUS, BOUND
from .ensemble import Ensemble
from .metrics import MIN_POSITIVES
from .paired import set_parameter
from .tcn import TCN
from .thresholds import PRECISIONS, Cutoff, Threshold


def fit_scaling(logits: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Platt scaling (Platt 1999): slope and intercept (labels,) such that
    sigmoid(slope * logit + intercept) is the probability of a bound window.

    Training draws bound windows far more often than a genome has them, so raw logits are high.
    ``logits`` (n, labels) float32, ``targets`` (n, labels) uint8. A label keeps slope 1
    if it has fewer than ``MIN_POSITIVES`` bound windows or its fitted slope is not positive; then
    the intercept alone is fitted, so that its mean probability is its share of bound windows.
    """
    from sklearn.linear_model import LogisticRegression

    slopes, intercepts = np.ones(logits.shape[1]), np.zeros(logits.shape[1])
    for index in range(logits.shape[1]):
        known = targets[:, index] != AMBIGUOUS
        truth = targets[known, index] == BOUND
        x = logits[known, index].astype(np.float64)
        if MIN_POSITIVES <= truth.sum() < truth.size:
            fit = LogisticRegression(C=np.inf).fit(x[:, None], truth)
            slopes[index], intercepts[index] = fit.coef_[0, 0], fit.intercept_[0]
        if not MIN_POSITIVES <= truth.sum() < truth.size or slopes[index] <= 0:
            slopes[index], intercepts[index] = 1.0, _shift_to_rate(x, truth)
    return slopes, intercepts


def _shift_to_rate(x: np.ndarray, truth: np.ndarray) -> float:
    """The shift that makes the mean probability the rate of bound windows, by bisection."""
    if not len(x):
        return 0.0
    rate = (truth.sum() + 0.5) / (truth.size + 1.0)
    low, high = -50.0, 50.0
    for _ in range(60):
        middle = (low + high) / 2
        mean = (1 / (1 + np.exp(-(x + middle)))).mean()
        low, high = (middle, high) if mean < rate else (low, middle)
    return (low + high) / 2


@torch.no_grad()
def scale_head(model: TCN | Ensemble, slopes: np.ndarray, intercepts: np.ndarray) -> None:
    """Put the scaling into the model's head, so that sigmoid(logit) is the probability itself."""
    for member in model.members:  # the mean of scaled logits is the scaled mean
        head = member.head
        slope, intercept = (torch.as_tensor(x).to(head.bias) for x in (slopes, intercepts))
        set_parameter(head, "weight", head.weight * slope[:, None])
        head.bias.mul_(slope).add_(intercept)


def best_f1_cutoff(logits: np.ndarray, truth: np.ndarray) -> float:
    """The logit at or above which calling windows gives the best F1; +inf if none is bound."""
    if not truth.any():
        return float("inf")
    cutoffs, hits, calls = ranked_cutoffs(logits, truth)
    return float(cutoffs[np.argmax(2 * hits / (calls + hits[-1]))])


def cutoff_at_precision(
    logits: np.ndarray, truth: np.ndarray, precision: float, min_hits: int = MIN_POSITIVES
) -> float:
    """The lowest logit at or above which at least ``precision`` of the windows are bound, so that
    as many as possible are found; +inf if there is none.

    At least ``min_hits`` bound windows must lie there: a few at the very top say nothing.
    """
    cutoffs, hits, calls = ranked_cutoffs(logits, truth)
    fit = np.flatnonzero((hits >= precision * calls) & (hits >= min_hits))
    return float(cutoffs[fit[-1]]) if len(fit) else float("inf")


def ranked_cutoffs(
    logits: np.ndarray, truth: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The distinct logits, falling, with the bound windows and all windows at or above each."""
    order = np.argsort(-logits, kind="stable")
    ranked = logits[order]
    # a cutoff takes all windows of one score or none
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)[: len(ranked)])
    return ranked[ends], np.cumsum(truth[order])[ends], ends + 1


def rounded_down(probability: float) -> float:
    """A probability as thresholds.tsv holds it: six digits, strictly within 0 and 1, and not above
    ``probability``, so that the window it came from is still called."""
    probability = min(max(probability, 1e-12), 1 - 1e-6)
    unit = 10.0 ** (np.floor(np.log10(probability)) - 5)
    digits = np.floor(probability / unit)
    rounded = float(f"{digits * unit:.6g}")
    return rounded if rounded <= probability else float(f"{(digits - 1) * unit:.6g}")


def make_thresholds(
    labels: list[str],
    valid: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray] | None,
) -> dict[str, Threshold]:
    """Thresholds chosen on ``valid``, their precision and recall measured on ``test``: that of the
    best F1, and those that reach each of PRECISIONS.

    Both are (logits, targets) of calibrated logits; without ``test``, precision and recall are NaN.
    A label without a bound validation window gets the threshold 0.5.
    """
    test = test or tuple(x[:0] for x in valid)
    thresholds = {}
    for index, label in enumerate(labels):
        columns = []
        for logits, targets in (valid, test):
            known = targets[:, index] != AMBIGUOUS
            columns += [logits[known, index], targets[known, index] == BOUND]
        chosen, seen = columns[:2], columns[2:]
        cutoff = best_f1_cutoff(*chosen)
        best = _measured(cutoff if np.isfinite(cutoff) else 0.0, *seen)
        at_precision = {}
        for precision in PRECISIONS:
            cutoff = cutoff_at_precision(*chosen, precision)
            at_precision[precision] = _measured(cutoff, *seen) if np.isfinite(cutoff) else None
        thresholds[label] = Threshold(
            label, best.threshold, best.precision, best.recall, int(seen[1].sum()), at_precision
        )
    return thresholds


def _measured(cutoff: float, logits: np.ndarray, truth: np.ndarray) -> Cutoff:
    """The probability of the logit ``cutoff``, and what calling at it gives on these windows."""
    threshold = rounded_down(1 / (1 + np.exp(-cutoff)))
    called = logits >= np.log(threshold / (1 - threshold))
    hits = float((called & truth).sum())
    return Cutoff(
        threshold,
        hits / called.sum() if called.any() else float("nan"),
        hits / truth.sum() if truth.any() else float("nan"),
    )
