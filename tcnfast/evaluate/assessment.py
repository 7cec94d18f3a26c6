"""How good a model is on windows with known binding: every label, means, intervals, calibration."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from ..base.errors import TcnfastError
from ..genome.labels import AMBIGUOUS, BOUND
from ..model.metrics import LabelScores
from ..model.ranking import METRICS, Ranking
from .bootstrap import MIN_BLOCKS, draw_blocks, interval, p_value

WITH_REPLICATES = (*METRICS, "precision", "recall")
# of predicted probability. Binding is rare, so most windows lie far below 0.1: bins of equal width
# would hold nearly all of them in one, bins of equal count would never come near a threshold
_FINE = (0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05)
EDGES = np.array([*_FINE, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1])
RECALLS = np.linspace(0, 1, 101)  # of precision-recall curves


@dataclass(frozen=True)
class Windows:
    """What a model is assessed on: ``targets`` uint8 (n, labels), ``block`` int32 (n,) of the
    genome, and ``island`` bool (n,): whether the centre lies in a CpG island."""

    labels: list[str]
    targets: np.ndarray
    block: np.ndarray
    island: np.ndarray

    @property
    def n_blocks(self) -> int:
        return int(self.block.max(initial=-1)) + 1


@dataclass(frozen=True)
class Assessment:
    """``values`` maps a column to float64 (labels,); NaN where a label has no such score.

    ``ap``, ``auroc``, ``f1`` (at the best cutoff), ``recall_fdr10``, ``recall_fdr50``;
    ``precision`` and ``recall`` at the cutoff of the label; ``ap_island`` and ``ap_elsewhere``;
    ``ece``, the expected calibration error: the mean over windows of the distance between
    probability and bound share of their bin; and ``predicted``, the sum of probabilities over the
    count of bound windows.
    ``replicates``: those of WITH_REPLICATES under each resampling, (labels, resamples).
    ``reliability`` (labels, bins, 3): windows, their sum of probabilities, how many are bound.
    ``precisions`` (labels, 101) at the RECALLS.
    """

    labels: list[str]
    positives: np.ndarray
    windows: np.ndarray
    positives_island: np.ndarray
    values: dict[str, np.ndarray]
    replicates: dict[str, np.ndarray]
    reliability: np.ndarray
    precisions: np.ndarray
    n_blocks: int

    @cached_property
    def scores(self) -> LabelScores:
        ap, auroc = self.values["ap"], self.values["auroc"]
        return LabelScores(self.labels, ap, auroc, self.positives, self.windows)

    @property
    def counted(self) -> np.ndarray:
        """Which labels enter the means: bool (labels,)."""
        return self.scores.counted()

    def take(self, rows: list[int]) -> Assessment:
        """Of some labels, by their index."""
        return Assessment(
            [self.labels[row] for row in rows],
            self.positives[rows],
            self.windows[rows],
            self.positives_island[rows],
            {name: column[rows] for name, column in self.values.items()},
            {name: column[rows] for name, column in self.replicates.items()},
            self.reliability[rows],
            self.precisions[rows],
            self.n_blocks,
        )

    def interval(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Ends of the 95 % interval of a column of WITH_REPLICATES: two (labels,)."""
        return interval(self.replicates[name])

    def macro(self, name: str) -> float:
        """Mean over the counted labels that have this score."""
        return float(_mean(self.values[name][self.counted]))

    def macro_interval(self, name: str) -> tuple[float, float]:
        low, high = interval(_mean(self.replicates[name][self.counted]))
        return float(low), float(high)


@dataclass(frozen=True)
class Difference:
    """One model minus another, of one score on the same windows: arrays (labels,) and the mean."""

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    p: np.ndarray
    macro: float
    macro_low: float
    macro_high: float
    macro_p: float


def assess(
    windows: Windows,
    logits: np.ndarray,
    cutoffs: np.ndarray,
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> Assessment:
    """Score calibrated ``logits`` float32 (n, labels); ``cutoffs`` (labels,) are logits to call at,
    NaN where a label is not called. Ambiguous windows of a label are left out for it.

    Windows in fewer than 5 blocks get no replicates.
    """
    if logits.shape != windows.targets.shape:
        raise TcnfastError(f"logits {logits.shape} and targets {windows.targets.shape} must agree")
    n = windows.n_blocks
    drawn = draw_blocks(n, resamples if n >= MIN_BLOCKS else 0, seed)
    # cells: of each block what lies elsewhere, and what lies in islands
    cell = 2 * windows.block + windows.island
    everywhere, elsewhere = np.ones(2 * n, np.int32), np.arange(2 * n, dtype=np.int32) % 2 == 0
    fixed = np.column_stack([everywhere, ~elsewhere, elsewhere]).astype(np.int32)
    weights = np.hstack([fixed, drawn.repeat(2, axis=0)])

    def one(index: int) -> tuple:
        known = windows.targets[:, index] != AMBIGUOUS
        truth = windows.targets[known, index] == BOUND
        ranking = Ranking.of(logits[known, index], truth, cell[known])
        scores = ranking.scores(weights)
        if np.isnan(cutoffs[index]):
            scores |= {name: np.full(weights.shape[1], np.nan) for name in ("precision", "recall")}
        else:
            scores |= ranking.calls(cutoffs[index], weights)
        inside = int((truth & windows.island[known]).sum())
        curves = _reliability(ranking), ranking.precision_at(RECALLS)
        return scores, truth.sum(), truth.size, inside, *curves

    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        rows = list(pool.map(one, range(len(windows.labels))))
    scores, positives, sizes, inside, reliability, precisions = zip(*rows, strict=True)
    stacked = {name: np.stack([row[name] for row in scores]) for name in WITH_REPLICATES}
    values = {name: column[:, 0] for name, column in stacked.items()}
    values["ap_island"], values["ap_elsewhere"] = stacked["ap"][:, 1], stacked["ap"][:, 2]
    reliability, positives = np.stack(reliability), np.array(positives)
    values |= calibration_errors(reliability)
    return Assessment(
        list(windows.labels),
        positives,
        np.array(sizes),
        np.array(inside),
        values,
        {name: column[:, fixed.shape[1] :] for name, column in stacked.items()},
        reliability,
        np.stack(precisions),
        n,
    )


def calibration_errors(reliability: np.ndarray) -> dict[str, np.ndarray]:
    """``ece`` and ``predicted`` (see Assessment) of counts (..., bins, 3); NaN without windows, or
    without bound ones."""
    windows, probability, bound = (reliability[..., i] for i in range(3))
    ece = np.abs(probability - bound).sum(-1) / np.maximum(windows.sum(-1), 1)
    positives = bound.sum(-1)
    return {
        "ece": np.where(windows.sum(-1) > 0, ece, np.nan),
        "predicted": np.where(
            positives > 0, probability.sum(-1) / np.maximum(positives, 1), np.nan
        ),
    }


def compare(a: Assessment, b: Assessment, name: str) -> Difference:
    """``a`` minus ``b`` in a column of WITH_REPLICATES; both of the same windows and resamples.

    Percentile intervals of paired replicates; p values as in :func:`bootstrap.p_value`, of each
    label by itself: of 100 labels that do not differ, five are expected below 0.05.
    """
    if a.labels != b.labels or (a.windows != b.windows).any():
        raise TcnfastError("two models can only be compared on the same labels and windows")
    paired = a.replicates[name] - b.replicates[name]
    counted = a.counted
    means = _mean(a.replicates[name][counted]) - _mean(b.replicates[name][counted])
    each = a.values[name] - b.values[name], *interval(paired), p_value(paired)
    macro = a.macro(name) - b.macro(name), *interval(means), p_value(means)
    return Difference(*each, *map(float, macro))


def _reliability(ranking: Ranking) -> np.ndarray:
    """Counts of one label by EDGES: float64 (bins, 3)."""
    probability = 1 / (1 + np.exp(-ranking.score.astype(np.float64)))
    # scores fall along the ranking: a bin is a stretch of it
    ends = len(probability) - np.searchsorted(probability[::-1], EDGES)
    ends[0], ends[-1] = len(probability), 0
    columns = [np.arange(len(probability) + 1, dtype=np.float64)]
    columns += [np.concatenate([[0], np.cumsum(x)]) for x in (probability, ranking.truth)]
    return np.column_stack([column[ends[:-1]] - column[ends[1:]] for column in columns])


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean over the first axis of what is not NaN; NaN where nothing is."""
    known = ~np.isnan(values)
    total = np.where(known, values, 0.0).sum(0)
    return np.where(known.any(0), total / np.maximum(known.sum(0), 1), np.nan)


def left_out(assessment: Assessment) -> list[str]:
    """Labels that enter no mean, each with the reason."""
    return [
        f"{label} ({count} bound windows)" if count else f"{label} (no bound window)"
        for label, count, kept in zip(
            assessment.labels, assessment.positives, assessment.counted, strict=True
        )
        if not kept
    ]
