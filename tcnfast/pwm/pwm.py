"""Single motifs as classifiers: the floor that a network has to rise above.

A motif scores a label bin by its best placement on either strand. Log-odds are counted in whole
units of 2^-12 bits, so that sums are exact in any order: a site scores the same on both strands,
equal sites are equal ties, and every score is a float32 without rounding.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from ..base.errors import TcnfastError
from ..base.jit import jit
from ..genome.codes import N
from ..genome.labels import AMBIGUOUS, BOUND
from .meme import UNIFORM, UNITS_PER_BIT, Motif, log_odds

_LARGEST = 1 << 23  # units; float32 holds all whole numbers up to twice that
MAX_WIDTH = 100  # columns; as many N, each minus twice _LARGEST, still fit in 32 bits
_WORD = 5  # bases looked up at once: 5^5 rows of 8 bytes, so that one table stays in L1
_SPAN = 1 << 14  # bases scored at once: words, sums and scores stay in L2


def bin_scores(
    codes: np.ndarray, log_odds: np.ndarray, starts: np.ndarray, bin_width: int
) -> np.ndarray:
    """Best placement in each bin [start, start + bin_width), both strands: float32 (n,).

    ``codes`` uint8 (T,); ``log_odds`` (width, 4) in bits, taken to the nearest 2^-12; ``starts``
    int64 (n,), sorted. A placement lies wholly inside its bin; one that holds N scores the lowest
    sum of the matrix. Raises TcnfastError for bins that leave the codes or cannot hold the motif,
    and for matrices that are not finite, wider than 100 or beyond 2,048 bits.
    """
    codes, starts = _check_bins(codes, starts, bin_width)
    units = np.rint(np.asarray(log_odds, np.float64) * UNITS_PER_BIT)
    if units.ndim != 2 or units.shape[1] != 4 or not 1 <= len(units) <= MAX_WIDTH:
        raise TcnfastError(f"log-odds {units.shape}: must be (width, 4), at most {MAX_WIDTH} wide")
    if not np.abs(units).max(1).sum() < _LARGEST:  # true of NaN as well
        raise TcnfastError("log-odds that are not finite or beyond 2,048 bits: add a pseudocount")
    if len(units) > bin_width:
        raise TcnfastError(f"a motif of {len(units)} bp does not fit into bins of {bin_width} bp")
    # counted from the lowest score, no sum is negative unless it holds N
    lowest = units.min(1, keepdims=True)
    best = np.zeros(starts.size, np.int32)
    _best_in_bins(codes, _word_tables(units - lowest), len(units), starts, bin_width, best)
    return ((best + lowest.sum()) / UNITS_PER_BIT).astype(np.float32)


def cpg_content(codes: np.ndarray, starts: np.ndarray, bin_width: int) -> np.ndarray:
    """Number of CG dinucleotides in each bin [start, start + bin_width): float32 (n,).

    Arguments and errors are those of ``bin_scores``.
    """
    codes, starts = _check_bins(codes, starts, bin_width)
    # before[i]: how many CG begin in front of base i
    before = np.zeros(codes.size, np.int32)
    np.cumsum((codes[:-1] == 1) & (codes[1:] == 2), out=before[1:])
    return (before[starts + bin_width - 1] - before[starts]).astype(np.float32)


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


def _check_bins(
    codes: np.ndarray, starts: np.ndarray, bin_width: int
) -> tuple[np.ndarray, np.ndarray]:
    codes, starts = np.ascontiguousarray(codes), np.ascontiguousarray(starts, np.int64)
    if codes.dtype != np.uint8 or codes.ndim != 1 or (codes.size and codes.max() > N):
        raise TcnfastError(f"bins take uint8 codes (T,) of 0 to 4, not {codes.dtype} {codes.shape}")
    if bin_width < 1:
        raise TcnfastError(f"bin_width must be at least 1 bp, not {bin_width}")
    if starts.ndim != 1 or (starts[1:] < starts[:-1]).any():
        raise TcnfastError("starts of bins must be (n,), sorted")
    if starts.size and (starts[0] < 0 or starts[-1] + bin_width > codes.size):
        raise TcnfastError(f"bins leave the sequence of {codes.size} bp; give starts within it")
    return codes, starts


def _word_tables(units: np.ndarray) -> np.ndarray:
    """What each word of codes adds to a placement: int64 (ceil(width / 5), 5^5).

    ``units`` (width, 4), all >= 0. The upper 32 bits are for the forward strand and the lower 32
    for the reverse one, so that one look-up and one addition serve both.
    """
    width = len(units)
    # columns behind the motif add nothing, whatever the code
    columns = np.zeros((-(-width // _WORD) * _WORD, 5), np.int64)
    forward = np.full((width, 5), -2 * _LARGEST, np.int64)
    reverse = forward.copy()
    forward[:, :N] = units
    reverse[:, :N] = units[::-1, ::-1]
    columns[:width] = (forward << 32) + reverse
    columns = columns.reshape(-1, _WORD, 5)
    tables = columns[:, 0]
    for base in range(1, _WORD):
        tables = (tables[:, :, None] + columns[:, base, None, :]).reshape(len(columns), -1)
    return tables


@jit
def _best_in_bins(codes, tables, width, starts, bin_width, best):
    """Fill ``best`` int32 (n,): the highest sum in each bin, 0 if all of them hold N.

    Bins are taken in runs that overlap or touch, so that every base is scored about once and gaps
    between bins are not scored at all.
    """
    placements = bin_width - width + 1
    first = 0
    while first < starts.size:
        last = first
        origin = starts[first]
        while (
            last + 1 < starts.size
            and starts[last + 1] <= starts[last] + bin_width
            and starts[last + 1] <= origin + _SPAN
        ):
            last += 1
        scores = _placement_scores(codes[origin : starts[last] + bin_width], tables, width)
        reach, scores = _running_maxima(scores, placements)
        for i in range(first, last + 1):
            begin = starts[i] - origin
            highest = max(scores[begin], scores[begin + placements - reach])
            best[i] = max(highest, np.int32(0))
        first = last + 1


@jit
def _placement_scores(codes, tables, width):
    """Sum of every placement on its better strand, int32 (T - width + 1,); negative if it holds N.

    Plain loops over slices of equal length, because those vectorise.
    """
    n = codes.size - width + 1
    padded = np.zeros(n + tables.shape[0] * _WORD - 1, np.uint16)
    padded[: codes.size] = codes
    words = np.zeros(padded.size - _WORD + 1, np.uint16)
    for base in range(_WORD):
        column = padded[base : base + words.size]
        for i in range(words.size):
            words[i] = np.uint16(words[i] * np.uint16(5) + column[i])
    sums = np.zeros(n, np.int64)
    for group in range(tables.shape[0]):
        table, column = tables[group], words[group * _WORD : group * _WORD + n]
        for i in range(n):
            sums[i] += table[column[i]]
    out = np.empty(n, np.int32)
    for i in range(n):
        out[i] = max(np.int32(sums[i] >> 32), np.int32(sums[i]))
    return out


@jit
def _running_maxima(scores, length):
    """The largest power of two ``reach`` <= length, and the maxima of ``reach`` scores from each.

    Two of them, overlapping, give the maximum of ``length`` scores.
    """
    reach = 1
    while 2 * reach <= length:
        wider = np.empty(scores.size - reach, np.int32)
        _pairwise_maxima(scores[: wider.size], scores[reach:], wider)
        scores = wider
        reach *= 2
    return reach, scores


@jit
def _pairwise_maxima(a, b, out):
    for i in range(out.size):
        out[i] = max(a[i], b[i])


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
