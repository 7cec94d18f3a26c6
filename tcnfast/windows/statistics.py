"""Paired tests between networks: bootstrap over 1-Mb blocks of the test part, Holm's correction.

Every replicate draws blocks once for all networks, seeds and labels. A network's score under a
replicate is the mean over its seeds; the tests are on differences of those.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..evaluate.bootstrap import MIN_BLOCKS, block_ids, draw_blocks, interval, p_value
from ..genome.labels import AMBIGUOUS, BOUND
from ..model.ranking import Ranking
from .window_metrics import counted_labels
from .window_set import WindowSet

METRICS = ("ap", "auroc", "f1", "accuracy", "precision", "recall")
RESAMPLES = 2000


@dataclass(frozen=True)
class Replicates:
    """Scores of one network on one set: ``value`` of METRICS (metrics, labels), the mean over
    seeds; ``draws`` (metrics, labels, resamples) under each resampling; ``counted`` (labels,)."""

    value: np.ndarray
    draws: np.ndarray
    counted: np.ndarray

    @property
    def macro(self) -> np.ndarray:
        """Means over the counted labels: (metrics,)."""
        return self.value[:, self.counted].mean(1)

    @property
    def macro_draws(self) -> np.ndarray:
        """(metrics, resamples); a label that a replicate drew no bound window of is left out."""
        return np.nanmean(self.draws[:, self.counted], 1)


def window_blocks(test: WindowSet) -> np.ndarray:
    """1-Mb block of every window: int32 (n,). A window without coordinates is its own block."""
    placed = test.chrom >= 0
    block = np.empty(len(test.codes), np.int32)
    rows = [np.flatnonzero(test.chrom == i) for i in range(len(test.chroms))]
    centres = [test.start[r] + test.length // 2 for r in rows]
    if placed.any():
        block[np.concatenate(rows)] = block_ids(test.chroms, centres)
    free = np.flatnonzero(~placed)
    first = block[placed].max() + 1 if placed.any() else 0
    block[free] = first + np.arange(len(free))
    return block


def replicates(
    test: WindowSet,
    logits: list[np.ndarray],
    cutoffs: list[np.ndarray],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Replicates:
    """Of the test logits (n, labels) and F1 cutoffs (labels,) of each seed of one network. Fewer
    than 5 blocks tell nothing: then there are no replicates."""
    block = window_blocks(test)
    n = int(block.max(initial=-1)) + 1
    drawn = draw_blocks(n, resamples if n >= MIN_BLOCKS else 0, seed)
    weights = np.hstack([np.ones((n, 1), np.int32), drawn])
    out = np.empty((len(METRICS), len(test.names), weights.shape[1]))
    for label in range(len(test.names)):
        known = test.labels[:, label] != AMBIGUOUS
        truth = test.labels[known, label] == BOUND
        by_seed = [
            _weighted(Ranking.of(x[known, label], truth, block[known]), float(c[label]), weights)
            for x, c in zip(logits, cutoffs, strict=True)
        ]
        out[:, label] = np.mean(by_seed, 0)
    return Replicates(out[..., 0], out[..., 1:], counted_labels(test.labels))


def _weighted(ranking: Ranking, cutoff: float, weights: np.ndarray) -> np.ndarray:
    """METRICS under each weighting: (metrics, weightings)."""
    scores = ranking.scores(weights)
    hits, called, bound = ranking.counts(cutoff, weights)
    windows = ranking.counts(-np.inf, weights)[1]
    f1 = np.where(bound > 0, 2 * hits / np.maximum(called + bound, 1), np.nan)
    accuracy = 1 - (called + bound - 2 * hits) / np.maximum(windows, 1)
    precision = np.where(called > 0, hits / np.maximum(called, 1), np.nan)
    recall = np.where(bound > 0, hits / np.maximum(bound, 1), np.nan)
    return np.stack([scores["ap"], scores["auroc"], f1, accuracy, precision, recall])


def holm(p: np.ndarray) -> np.ndarray:
    """Holm's step-down correction (Holm 1979) of p values (n,): the family-wise error is that of
    the smallest corrected value. NaN stays NaN and does not count."""
    p = np.asarray(p, float)
    out, known = np.full(p.shape, np.nan), np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    steps = p[order] * (len(order) - np.arange(len(order)))
    out[order] = np.minimum(1.0, np.maximum.accumulate(steps))
    return out


def score_rows(
    set_name: str,
    model: str,
    names: list[str],
    a: Replicates,
    against: str = "",
    b: Replicates | None = None,
) -> list[dict]:
    """Rows of statistics.csv: each metric of the mean over counted labels, then of every label,
    with its interval. With a network ``against``, whose replicates are ``b``: the differences a
    minus b, with p of no difference."""
    head = {"set": set_name, "model": model, "against": against}
    value = np.column_stack([a.macro, a.value])
    draws = np.concatenate([a.macro_draws[:, None], a.draws], 1)
    p = np.full(value.shape, np.nan)
    if b is not None:
        value = value - np.column_stack([b.macro, b.value])
        draws = draws - np.concatenate([b.macro_draws[:, None], b.draws], 1)
        p = p_value(draws)
    low, high = interval(draws)
    rows = []
    for m, metric in enumerate(METRICS):
        columns = zip(["macro", *names], value[m], low[m], high[m], p[m], strict=True)
        for label, *numbers in columns:
            row = head | {"metric": metric, "label": label}
            rows.append(row | dict(zip(("value", "low", "high", "p"), numbers, strict=True)))
    return rows
