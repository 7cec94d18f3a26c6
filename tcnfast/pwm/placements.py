"""Scores of single motifs: every placement of a matrix, the best one of a row, the best of a bin.

A placement scores as the better of its two strands. One that touches an N is no site; a row or a
bin without a site scores the lowest sum of the matrix, and so does such a placement.
"""

from __future__ import annotations

import numpy as np

from ..base.errors import TcnfastError
from ..base.jit import jit
from ..genome.codes import N
from .log_odds import LARGEST, UNITS_PER_BIT, in_units

MAX_WIDTH = 100  # columns; as many N, each minus twice LARGEST, still fit in 32 bits
_WORD = 5  # bases looked up at once: 5^5 rows of 8 bytes, so that one table stays in L1
SPAN = 1 << 14  # bases scored at once: words, sums and scores stay in L2


def placement_scores(codes: np.ndarray, log_odds: np.ndarray) -> np.ndarray:
    """Score in bits of every placement in rows of codes uint8 (n, L): float32 (n, L - width + 1).

    ``log_odds`` (width, 4) in bits. Raises TcnfastError as :func:`bin_scores`.
    """
    codes = np.ascontiguousarray(codes)
    if codes.dtype != np.uint8 or codes.ndim != 2 or (codes.size and codes.max() > N):
        raise TcnfastError(f"codes {codes.shape}: must be uint8 (n, L) of 0 to 4")
    tables, width, lowest = _prepared(log_odds, codes.shape[1])
    out = np.empty((len(codes), codes.shape[1] - width + 1), np.int32)
    _scores_of_rows(codes, tables, width, out)
    return _in_bits(out, lowest)


def best_placements(codes: np.ndarray, log_odds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Start int64 (n,) and score float32 (n,) of the best placement in each row of codes (n, L);
    of equals, the first."""
    scores = placement_scores(codes, log_odds)
    start = scores.argmax(1)
    return start, scores[np.arange(len(start)), start]


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
    tables, width, lowest = _prepared(log_odds, bin_width)
    best = np.empty(starts.size, np.int32)
    _best_in_bins(codes, tables, width, starts, bin_width, best)
    return _in_bits(best, lowest)


def cpg_content(codes: np.ndarray, starts: np.ndarray, bin_width: int) -> np.ndarray:
    """Number of CG dinucleotides in each bin [start, start + bin_width): float32 (n,).

    Arguments and errors are those of ``bin_scores``.
    """
    codes, starts = _check_bins(codes, starts, bin_width)
    # before[i]: how many CG begin in front of base i
    before = np.zeros(codes.size, np.int32)
    np.cumsum((codes[:-1] == 1) & (codes[1:] == 2), out=before[1:])
    return (before[starts + bin_width - 1] - before[starts]).astype(np.float32)


def _prepared(log_odds: np.ndarray, room: int) -> tuple[np.ndarray, int, int]:
    """Word tables of a checked matrix, its width, and its lowest sum in units."""
    log_odds = np.asarray(log_odds)
    if log_odds.ndim != 2 or log_odds.shape[1] != 4 or not 1 <= len(log_odds) <= MAX_WIDTH:
        raise TcnfastError(
            f"log-odds {log_odds.shape}: must be (width, 4), at most {MAX_WIDTH} wide"
        )
    units = in_units(log_odds)
    if len(units) > room:
        raise TcnfastError(f"a motif of {len(units)} bp does not fit into {room} bp")
    # counted from the lowest score, no sum is negative unless it holds N
    lowest = units.min(1, keepdims=True)
    return _word_tables(units - lowest), len(units), int(lowest.sum())


def _in_bits(sums: np.ndarray, lowest: int) -> np.ndarray:
    """Sums in units above the lowest, negative where there is no site, as float32 bits."""
    return ((np.maximum(sums, 0) + lowest) / UNITS_PER_BIT).astype(np.float32)


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
    forward = np.full((width, 5), -2 * LARGEST, np.int64)
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
def _scores_of_rows(codes, tables, width, out):
    for row in range(len(codes)):
        out[row] = _placement_scores(codes[row], tables, width)


@jit
def _best_in_bins(codes, tables, width, starts, bin_width, best):
    """Fill ``best`` int32 (n,): the highest sum in each bin, negative if all of them hold N.

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
            and starts[last + 1] <= origin + SPAN
        ):
            last += 1
        scores = _placement_scores(codes[origin : starts[last] + bin_width], tables, width)
        reach, scores = _running_maxima(scores, placements)
        for i in range(first, last + 1):
            begin = starts[i] - origin
            best[i] = max(scores[begin], scores[begin + placements - reach])
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
