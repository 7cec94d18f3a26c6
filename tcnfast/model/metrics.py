"""Scores of a multi-label classifier: one policy for labels and masks.

A label without positives (or without negatives) has no AP and no AUROC: NaN, listed, and left out
of every mean. Means are over labels with at least ``min_positives`` positive windows.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from ..genome.label_values import AMBIGUOUS, BOUND
from .ranking import ap_and_auroc

MIN_POSITIVES = 20  # bound windows from which a label enters the means


@dataclass(frozen=True)
class LabelScores:
    """Arrays (labels,). ``chance`` is the AP of random scores: the share of positives."""

    labels: list[str]
    ap: np.ndarray
    auroc: np.ndarray
    positives: np.ndarray
    windows: np.ndarray

    @property
    def chance(self) -> np.ndarray:
        return self.positives / np.maximum(self.windows, 1)

    def counted(self, min_positives: int = MIN_POSITIVES) -> np.ndarray:
        """Which labels enter the means: bool (labels,)."""
        return (self.positives >= min_positives) & ~np.isnan(self.ap)

    def macro(self, name: str, min_positives: int = MIN_POSITIVES) -> float:
        """Mean of ``ap`` or ``auroc`` over the counted labels; NaN if there is none."""
        values = getattr(self, name)[self.counted(min_positives)]
        return float(values.mean()) if len(values) else float("nan")


def score_labels(labels: list[str], scores: np.ndarray, targets: np.ndarray) -> LabelScores:
    """``scores`` float (n, labels), any monotone of probability; ``targets`` uint8 (n, labels).

    Ambiguous windows of a label are left out for that label.
    """
    n_labels = len(labels)
    ap, auroc = np.empty(n_labels), np.empty(n_labels)
    positives, windows = np.zeros(n_labels, np.int64), np.zeros(n_labels, np.int64)

    def score(index: int) -> None:
        known = targets[:, index] != AMBIGUOUS
        truth = targets[known, index] == BOUND
        positives[index], windows[index] = truth.sum(), truth.size
        ap[index], auroc[index] = ap_and_auroc(scores[known, index], truth)

    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        list(pool.map(score, range(n_labels)))
    return LabelScores(list(labels), ap, auroc, positives, windows)
