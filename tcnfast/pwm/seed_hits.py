"""Hits of many motifs on a processor, in one pass over a sequence, both strands.

Scores are counted from the highest one down: a site *lacks* so many units, and is a hit if it lacks
no more than its motif may. Every motif, on each strand, has a *seed*: the 8 to 11 columns that
random sites lack most in. A table lists for each word of that length the motifs whose seed lacks no
more in it than the whole motif may, and how much is then left for the other columns. So a base
costs one look-up and the few motifs found there, whatever the number of motifs (Pizzi, Rastas and
Ukkonen 2011, IEEE/ACM Trans Comput Biol Bioinform 8:69). Units are whole numbers: scores are exact,
and equal on both strands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from ..base.errors import TcnfastError
from ..base.jit import jit
from ..genome.codes import N
from .packed_hits import LACK_BITS, MAX_MOTIFS, MOTIF_SHIFT, START_SHIFT

# columns of a seed: longer ones pass fewer words, and their table leaves the near caches. Of 879
# motifs at 1e-4, 21, 14, 9 and 5 are listed for a word, and a base takes 345, 265, 180 and 130 ns
SEEDS = (8, 9, 10, 11)
_FEW = 2  # listed for a word in the mean: then a longer seed would be slower
_MOST_LISTED = 1 << 27  # 512 MiB of lists
_BLOCK = 256  # bases whose look-ups are begun together, as they wait for memory


@dataclass(frozen=True, eq=False)
class MotifTables:
    """Matrices ready to scan with: row 2 i of each array is motif i on the forward strand, row
    2 i + 1 on the reverse one.

    ``widths``, ``may_lack`` and ``seeds`` int64 (rows,): columns, units that a hit may lack
    (negative: no site is a hit), and where the seed of ``seed_length`` columns begins (negative
    where the motif is shorter). ``first`` uint32 (4^seed_length + 1,) and ``lists`` uint32: the
    rows that word w may be the seed of are lists[first[w] : first[w + 1]], each above ``bits`` bits
    that hold what the other columns may lack. Those are looked up in pairs, the ones that lack most
    in the mean first: of a row, pairs first_pair[row] to first_pair[row + 1], int64 (rows + 1,);
    ``columns`` int64 (pairs,), where each lies, and ``lacks`` int32 (pairs, 16), by its two bases.
    """

    widths: np.ndarray
    may_lack: np.ndarray
    seeds: np.ndarray
    seed_length: int
    first: np.ndarray
    lists: np.ndarray
    bits: int
    first_pair: np.ndarray
    columns: np.ndarray
    lacks: np.ndarray


def build_tables(
    units: Sequence[np.ndarray], cutoffs: Sequence[int], bases: int = 4 ** SEEDS[-1]
) -> MotifTables:
    """Tables of matrices int64 (width, 4), each with the lowest score that is a hit, in units.
    ``bases``: about how many will be scanned; few are not worth long lists."""
    if not 0 < len(units) <= MAX_MOTIFS:
        raise TcnfastError(f"{len(units)} motifs: one scan takes 1 to {MAX_MOTIFS}")
    matrices = [strand for matrix in units for strand in (matrix, matrix[::-1, ::-1])]
    may_lack = np.array([matrix.max(1).sum() for matrix in matrices]) - np.repeat(cutoffs, 2)
    bits = 32 - (len(matrices) - 1).bit_length()
    if may_lack.max() >= 1 << min(bits, LACK_BITS):
        raise TcnfastError(f"{len(units)} motifs at this p-value: scan them in several runs")
    all_lacks = [matrix.max(1, keepdims=True) - matrix for matrix in matrices]
    length, counts = _seed_length(all_lacks, may_lack, bits, bases)
    seeds = np.array([_seed(lacks, length)[0] for lacks in all_lacks])
    first = np.concatenate([[0], np.cumsum(counts)])
    lists, filled = np.zeros(max(1, first[-1]), np.uint32), first[:-1].copy()
    for row, (lacks, most) in enumerate(zip(all_lacks, may_lack, strict=True)):
        _list_words(_seed(lacks, length)[1], most, row, bits, filled, lists)
    pairs = [_pairs(lacks, seed, length) for lacks, seed in zip(all_lacks, seeds, strict=True)]
    return MotifTables(
        widths=np.array([len(matrix) for matrix in matrices]),
        may_lack=may_lack,
        seeds=seeds,
        seed_length=length,
        first=first.astype(np.uint32),
        lists=lists,
        bits=bits,
        first_pair=np.concatenate([[0], np.cumsum([len(columns) for columns, _ in pairs])]),
        columns=np.concatenate([columns for columns, _ in pairs]),
        lacks=np.concatenate([lacks for _, lacks in pairs]),
    )


def _seed_length(
    all_lacks: list[np.ndarray], may_lack: np.ndarray, bits: int, bases: int
) -> tuple[int, np.ndarray]:
    """The shortest seed with short lists, or the longest with lists that fit into memory, and the
    length of each list: int64 (4^length,)."""
    chosen = None
    for length in SEEDS:
        counts, nothing = np.zeros(4**length, np.int64), np.zeros(0, np.uint32)
        for row, (lacks, most) in enumerate(zip(all_lacks, may_lack, strict=True)):
            _list_words(_seed(lacks, length)[1], most, row, bits, counts, nothing)
        if chosen is None or counts.sum() <= _MOST_LISTED:
            chosen = length, counts
        if counts.sum() <= _FEW * counts.size or 4 * counts.size > bases:
            break
    return chosen


def find_hits(codes: np.ndarray, starts: int, tables: MotifTables) -> np.ndarray:
    """Hits that begin in the first ``starts``, at most 2^25, of codes uint8 (T,): uint64, sorted by
    motif, start and strand (:mod:`packed_hits`). A placement with N is none."""
    # the kernel takes the fields of MotifTables in their order
    found = _scan(codes, starts, *(getattr(tables, field.name) for field in fields(tables)))
    found.sort()
    return found


def _seed(lacks: np.ndarray, length: int) -> tuple[int, np.ndarray]:
    """Where the seed begins, and what it lacks, int64 (length, 4)."""
    width, seed = len(lacks), np.zeros((length, 4), np.int64)
    if width <= length:
        # the word reaches beyond the motif, where nothing is lacked
        seed[length - width :] = lacks
        return width - length, seed
    start = int(np.convolve(lacks.mean(1), np.ones(length), "valid").argmax())
    return start, np.ascontiguousarray(lacks[start : start + length], np.int64)


def _pairs(lacks: np.ndarray, seed: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Columns beside the seed, two by two: where they lie (n,), and what they lack (n, 16)."""
    found = []
    for begin, end in ((0, seed), (seed + length, len(lacks))):
        for column in range(begin, end, 2):
            behind = lacks[column + 1] if column + 1 < end else np.zeros(4, np.int64)
            found.append((column, (lacks[column][:, None] + behind).ravel()))
    found.sort(key=lambda pair: -pair[1].mean())
    columns = np.array([column for column, _ in found], np.int64)
    return columns, np.array([pair for _, pair in found], np.int32).reshape(-1, 16)


@jit
def _list_words(seed, most, row, bits, places, lists):
    """Step ``places`` of every word that lacks at most ``most``, after putting it into ``lists``,
    if that is not empty. Words grow base by base and are given up as soon as they lack more."""
    length = len(seed)
    left, base = np.empty(length + 1, np.int64), np.zeros(length + 1, np.int64)
    left[0], column, word = most, 0, 0
    while column >= 0:
        if column < length and base[column] < 4 and left[column] >= 0:
            left[column + 1] = left[column] - seed[column, base[column]]
            word = word << 2 | base[column]
            base[column] += 1
            column += 1
            base[column] = 0
            continue
        if column == length and left[column] >= 0:
            if lists.size:
                lists[places[word]] = np.uint32(row << bits | left[column])
            places[word] += 1
        column -= 1
        word >>= 2


@jit
def _scan(
    codes, starts, widths, may_lack, seeds, length, first, lists, bits, first_pair, columns, lacks
):
    """Packed hits, unsorted. Runs of known bases are scanned one by one."""
    hits, n = np.empty(max(1024, starts // 4), np.uint64), 0
    twos = np.zeros(codes.size, np.uint8)
    for at in range(codes.size):
        behind = codes[at + 1] & 3 if at + 1 < codes.size else 0
        twos[at] = (codes[at] & 3) << 2 | behind
    below, above = np.empty(_BLOCK, np.int64), np.empty(_BLOCK, np.int64)
    heads = np.empty(_BLOCK, np.uint32)
    begin = 0
    while begin < codes.size:
        if codes[begin] >= N:
            begin += 1
            continue
        end = begin
        while end < codes.size and codes[end] < N:
            end += 1
        word = 0
        # words that hang over an end of the run are filled with A; only placements inside count
        for block in range(begin, end + length - 1, _BLOCK):
            size = min(_BLOCK, end + length - 1 - block)
            for i in range(size):
                base = np.int64(codes[block + i]) if block + i < end else 0
                word = (word << 2 | base) & ((1 << 2 * length) - 1)
                below[i], above[i] = first[word], first[word + 1]
            for i in range(size):
                heads[i] = lists[min(below[i], lists.size - 1)]
            for i in range(size):
                for entry in range(below[i], above[i]):
                    listed = np.int64(heads[i] if entry == below[i] else lists[entry])
                    row = listed >> bits
                    start = block + i - length + 1 - seeds[row]
                    if start < begin or start + widths[row] > end or start >= starts:
                        continue
                    left = listed & ((1 << bits) - 1)
                    for pair in range(first_pair[row], first_pair[row + 1]):
                        left -= lacks[pair, twos[start + columns[pair]]]
                        if left < 0:
                            break
                    if left < 0:
                        continue
                    if n == hits.size:
                        wider = np.empty(2 * n, np.uint64)
                        wider[:n] = hits
                        hits = wider
                    place = (row >> 1) << MOTIF_SHIFT | start << START_SHIFT
                    hits[n] = place | (row & 1) << LACK_BITS | (may_lack[row] - left)
                    n += 1
        begin = end
    return hits[:n]
