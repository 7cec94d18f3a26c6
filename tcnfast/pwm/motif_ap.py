"""Single motifs as classifiers of label bins: the floor that a network has to rise above.

A motif scores a label bin by its best placement on either strand (:mod:`placements`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from ..base.errors import TcnfastError
from ..base.jit import jit
from ..genome.labels import AMBIGUOUS, BOUND
from .log_odds import UNIFORM, log_odds
from .meme import Motif
from .placements import bin_scores


def motif_precisions(
    motifs: Iterable[Motif],
    regions: Sequence[tuple[np.ndarray, np.ndarray]],
    targets: np.ndarray,
    bin_width: int = 200,
    background: Sequence[float] = UNIFORM,
) -> np.ndarray:
    """AP of every motif on every label: float64 (motifs, labels).

    ``regions`` are (codes uint8 (T,), starts int64 (n,)) as ``bin_scores`` takes them; ``targets``
    uint8 (all n, labels) holds their bins one region after the other; ``background``: shares of
    ACGT that the log-odds are over.
    """
    ranking = TargetRanking(targets)

    def one(motif: Motif) -> np.ndarray:
        matrix = log_odds(motif, background)
        scores = [bin_scores(codes, matrix, starts, bin_width) for codes, starts in regions]
        return ranking.average_precision(np.concatenate(scores))

    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        precisions = list(pool.map(one, motifs))
    return np.array(precisions).reshape(-1, ranking.n_labels)


def best_motifs(precisions: np.ndarray, candidates: np.ndarray | None = None) -> np.ndarray:
    """For each label the index of the motif with the highest AP: int64 (labels,), -1 if none.

    ``precisions`` (motifs, labels) from ``motif_precisions``; ``candidates`` bool, same shape,
    tells which motifs each label may choose from. Of equals, the first wins.
    """
    allowed = ~np.isnan(precisions)
    if candidates is not None:
        allowed &= candidates
    choice = np.where(allowed, precisions, -1.0).argmax(0)
    return np.where(allowed.any(0), choice, -1)


class TargetRanking:
    """Targets uint8 (n, labels), kept as their few bound and ambiguous entries.

    Scoring one column for all labels costs one sort and one walk down the ranks, where
    scikit-learn needs a sort for each label.
    """

    def __init__(self, targets: np.ndarray) -> None:
        n, self.n_labels = targets.shape
        rows, self._labels = np.nonzero(targets)
        self._bound = targets[rows, self._labels] == BOUND
        self._first = np.searchsorted(rows, np.arange(n + 1))
        self.positives = (targets == BOUND).sum(0)
        self.windows = n - (targets == AMBIGUOUS).sum(0)

    def average_precision(self, scores: np.ndarray) -> np.ndarray:
        """AP of ``scores`` float (n,) on every label: float64 (labels,).

        The same as scikit-learn's: equal scores count as one group, ambiguous bins of a label are
        left out for it. NaN for labels without positives or without negatives.
        """
        if scores.shape != (len(self._first) - 1,):
            raise TcnfastError(f"scores {scores.shape}: needs one for each of the target rows")
        order = np.argsort(-scores)
        sums = np.zeros(self.n_labels)
        _sum_precisions(order, scores[order], self._first, self._labels, self._bound, sums)
        scored = (self.positives > 0) & (self.positives < self.windows)
        return np.where(scored, sums / np.maximum(self.positives, 1), np.nan)


@jit
def _sum_precisions(order, ranked, first, labels, bound, sums):
    """Add to ``sums`` (labels,) the precision at every positive, down the ranks of ``order``.

    ``ranked`` are the scores in that order; the entries of bin b are first[b] to first[b + 1] of
    ``labels`` and ``bound``.
    """
    positives = np.zeros(sums.size, np.int64)
    fresh = np.zeros(sums.size, np.int64)  # positives of the current group of ties
    ambiguous = np.zeros(sums.size, np.int64)
    begin = 0
    while begin < order.size:
        end = begin + 1
        while end < order.size and ranked[end] == ranked[begin]:
            end += 1
        for row in order[begin:end]:
            for entry in range(first[row], first[row + 1]):
                if bound[entry]:
                    fresh[labels[entry]] += 1
                else:
                    ambiguous[labels[entry]] += 1
        for row in order[begin:end]:
            for entry in range(first[row], first[row + 1]):
                label = labels[entry]
                # once for each label of the group
                if fresh[label]:
                    positives[label] += fresh[label]
                    sums[label] += fresh[label] * positives[label] / (end - ambiguous[label])
                    fresh[label] = 0
        begin = end
