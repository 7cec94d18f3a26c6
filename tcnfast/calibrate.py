"""From logits to probabilities and calls: calibration per label on validation, a threshold, and
what to expect of it elsewhere."""

from __future__ import annotations

import numpy as np
import torch

from .labels import AMBIGUOUS, BOUND
from .metrics import MIN_POSITIVES
from .model import TCN
from .store import Threshold


def fit_scaling(logits: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Platt scaling (Platt 1999): slope and intercept (labels,) such that
    sigmoid(slope * logit + intercept) is the probability of a bound window.

    Training draws bound windows far more often than a genome has them, so raw logits are high.
    ``logits`` (n, labels) float32, ``targets`` (n, labels) uint8. A label with fewer than
    ``MIN_POSITIVES`` bound windows, or whose fitted slope is not positive, keeps slope 1 and is
    only shifted, so that its mean probability is its rate.
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
def scale_head(model: TCN, slopes: np.ndarray, intercepts: np.ndarray) -> None:
    """Put the scaling into the model's head, so that sigmoid(logit) is the probability itself."""
    slope = torch.as_tensor(slopes, dtype=model.head.weight.dtype)
    model.head.weight.mul_(slope[:, None])
    model.head.bias.mul_(slope).add_(torch.as_tensor(intercepts, dtype=slope.dtype))


def best_f1_cutoff(logits: np.ndarray, truth: np.ndarray) -> float:
    """The logit at or above which calling windows gives the best F1; +inf if none is bound."""
    if not truth.any():
        return float("inf")
    order = np.argsort(-logits, kind="stable")
    ranked = logits[order]
    hits = np.cumsum(truth[order])
    f1 = 2 * hits / (np.arange(1, len(hits) + 1) + hits[-1])
    f1[:-1][ranked[:-1] == ranked[1:]] = -1  # a cutoff takes all windows of one score or none
    return float(ranked[np.argmax(f1)])


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
    test: tuple[np.ndarray, np.ndarray],
) -> dict[str, Threshold]:
    """Thresholds chosen on ``valid`` (best F1), precision and recall measured on ``test``.

    Both are (logits, targets) of calibrated logits. A label without a bound validation window gets
    the threshold 0.5.
    """
    thresholds = {}
    for index, label in enumerate(labels):
        known = valid[1][:, index] != AMBIGUOUS
        cutoff = best_f1_cutoff(valid[0][known, index], valid[1][known, index] == BOUND)
        cutoff = cutoff if np.isfinite(cutoff) else 0.0
        threshold = rounded_down(1 / (1 + np.exp(-cutoff)))
        known = test[1][:, index] != AMBIGUOUS
        truth = test[1][known, index] == BOUND
        called = test[0][known, index] >= np.log(threshold / (1 - threshold))
        hits = float((called & truth).sum())
        thresholds[label] = Threshold(
            label,
            threshold,
            hits / called.sum() if called.any() else float("nan"),
            hits / truth.sum() if truth.any() else float("nan"),
            int(truth.sum()),
        )
    return thresholds
