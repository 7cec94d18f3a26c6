"""Bins of a dataset counted: bound and ambiguous, their bases, and which labels share them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..base.jit import jit
from ..genome.genome import Region
from ..genome.labels import AMBIGUOUS, BOUND, UNBOUND
from .dataset import Dataset

_CHUNK = 20_000  # bins at a time: 14 MB of labels where there are 700

GC, CPG, KNOWN = 0, 1, 2


@dataclass
class LabelCounts:
    """Counts over bins of ``label_bin`` bases, side by side from the start of each region.

    Bins of nothing but N are left out. ``bins`` {part: number}; ``bound`` and ``ambiguous`` {part:
    int64 (labels,)}; ``bases`` int64 (3, 3, labels): by kind of bin (UNBOUND, BOUND, AMBIGUOUS),
    its G and C, its CpG, its known bases; ``both`` int64 (labels, labels): bins where both are
    bound, in all parts.
    """

    bins: dict[str, int]
    bound: dict[str, np.ndarray]
    ambiguous: dict[str, np.ndarray]
    bases: np.ndarray
    both: np.ndarray

    def share(self, what: int, kind: int) -> np.ndarray:
        """GC or CPG per known base in bins of a kind, float64 (labels,); NaN without bins."""
        known = self.bases[kind, KNOWN].astype(np.float64)
        return np.divide(
            self.bases[kind, what], known, out=np.full_like(known, np.nan), where=known > 0
        )


def count_labels(dataset: Dataset, split: dict[str, list[Region]]) -> LabelCounts:
    """Count the bins of every part of the split."""
    n = len(dataset.labels)
    bases, both = np.zeros((3, 3, n), np.int64), np.zeros((n, n), np.int64)
    total = np.zeros(3, np.int64)
    bins, bound, ambiguous = {}, {}, {}
    for part, regions in split.items():
        counts, number = np.zeros((3, n), np.int64), 0
        for region in regions:
            for first in range(region.start, region.end, _CHUNK * dataset.label_bin):
                last = min(first + _CHUNK * dataset.label_bin, region.end)
                matrix, content = _chunk(dataset, Region(region.chrom, first, last))
                _tally(matrix, content, counts, bases, both)
                number += len(matrix)
                total += content.sum(0)
        bins[part], bound[part], ambiguous[part] = number, counts[BOUND], counts[AMBIGUOUS]
    # the sweep looks at bound and ambiguous bins alone: the rest is unbound
    bases[UNBOUND] = total[:, None] - bases[BOUND] - bases[AMBIGUOUS]
    both += np.triu(both, 1).T
    return LabelCounts(bins, bound, ambiguous, bases, both)


def _chunk(dataset: Dataset, region: Region) -> tuple[np.ndarray, np.ndarray]:
    """Labels uint8 (bins, labels) and G+C, CpG and known bases int64 (bins, 3) of a region's
    bins."""
    width = dataset.label_bin
    count = (region.end - region.start) // width
    starts = region.start + width * np.arange(count, dtype=np.int64)
    codes = dataset.genome.codes(region.chrom, region.start, region.start + count * width)
    content = np.empty((count, 3), np.int64)
    _content(codes, width, content)
    known = content[:, KNOWN] > 0
    matrix = dataset.targets(region.chrom, starts[known] + width // 2)
    return matrix, content[known]


@jit
def _content(codes, width, out):
    for row in range(out.shape[0]):
        gc = cpg = known = 0
        before = 4
        for i in range(row * width, (row + 1) * width):
            code = codes[i]
            gc += code == 1 or code == 2
            cpg += before == 1 and code == 2
            known += code < 4
            before = code
        out[row, 0], out[row, 1], out[row, 2] = gc, cpg, known


@jit
def _tally(matrix, content, counts, bases, both):
    """Add the bins of ``matrix`` to the counts; of ``both`` the upper triangle."""
    here = np.empty(matrix.shape[1], np.int64)
    for row in range(matrix.shape[0]):
        bound = 0
        for label in range(matrix.shape[1]):
            kind = matrix[row, label]
            if kind == UNBOUND:
                continue
            counts[kind, label] += 1
            for column in range(3):
                bases[kind, column, label] += content[row, column]
            if kind == BOUND:
                here[bound] = label
                bound += 1
        for i in range(bound):
            for j in range(i, bound):
                both[here[i], here[j]] += 1
