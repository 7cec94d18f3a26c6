"""Whether peaks are of this assembly: those of another lie on sequence like that around them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..base.jit import jit
from ..genome.genome import Region
from .dataset import Dataset

WINDOW = 200  # bases around the middle of a peak
APART = (-2_000, -1_000, 1_000, 2_000)  # where the windows lie that it is compared with
K = 6
MOST = 1_000  # peaks of a label that are looked at
# benchmarks/results/assembly_check.txt: of 200 peaks, 1 % of real sets would be suspected (of 100,
# 4 %), and 1 % of moved ones would not
FEWEST = 200
MIN_Z = 5.0


@dataclass(frozen=True)
class Contrast:
    """How the bases under peaks differ from those nearby, in standard errors.

    ``gc`` and ``cpg``: of the difference of the mean share; ``kmer``: of the 6-mer that is in the
    largest surplus of windows, on either strand. NaN for labels of fewer than FEWEST peaks.
    """

    label: str
    peaks: int
    gc: float
    cpg: float
    kmer: float

    @property
    def random(self) -> bool:
        """Whether the peaks lie on sequence like that around them."""
        return max(self.gc, self.cpg, self.kmer) < MIN_Z


def contrasts(dataset: Dataset, regions: list[Region]) -> list[Contrast]:
    """The Contrast of every label, by its peaks in ``regions``."""
    tables = [dataset.peak_middles(region) for region in regions]
    first = np.concatenate([[0], np.cumsum([len(middles) for _, middles in tables])])
    label = np.concatenate([labels for labels, _ in tables] or [np.zeros(0, np.int64)])
    order = np.argsort(label, kind="stable")
    bounds = np.searchsorted(label[order], np.arange(len(dataset.labels) + 1))
    chosen = [_thin(order[a:b]) for a, b in zip(bounds, bounds[1:], strict=False)]
    stats = [_Stats() for _ in dataset.labels]
    for index, (region, (_, middles)) in enumerate(zip(regions, tables, strict=True)):
        codes = dataset.genome.codes(*region)
        for stat, rows in zip(stats, chosen, strict=True):
            here = rows[(rows >= first[index]) & (rows < first[index + 1])] - first[index]
            if len(here):
                stat.add(codes, middles[here] - region.start)
    return [
        Contrast(name, int(b - a), *stat.scores())
        for name, a, b, stat in zip(dataset.labels, bounds, bounds[1:], stats, strict=False)
    ]


def _thin(rows: np.ndarray) -> np.ndarray:
    """At most MOST of the rows, spread evenly."""
    if len(rows) <= MOST:
        return np.sort(rows)
    return np.sort(rows[np.linspace(0, len(rows) - 1, MOST).astype(np.int64)])


class _Stats:
    """Sums over windows under peaks (row 0) and nearby (row 1)."""

    def __init__(self) -> None:
        self.kmers = np.zeros((2, 4**K), np.int64)
        self.windows = np.zeros(2, np.int64)
        self.sums = np.zeros((2, 2))  # gc, cpg
        self.squares = np.zeros((2, 2))

    def add(self, codes: np.ndarray, middles: np.ndarray) -> None:
        args = self.kmers, self.windows, self.sums, self.squares
        _add(codes, middles - WINDOW // 2, WINDOW, 0, *args)
        for shift in APART:
            _add(codes, middles - WINDOW // 2 + shift, WINDOW, 1, *args)

    def scores(self) -> tuple[float, float, float]:
        if self.windows[0] < FEWEST or self.windows[1] < FEWEST:
            return (float("nan"),) * 3
        n = self.windows[:, None]
        mean = self.sums / n
        error = np.sqrt(((self.squares / n - mean**2) / n).sum(0))
        gc, cpg = (mean[0] - mean[1]) / np.maximum(error, 1e-9)
        share = self.kmers / n
        both = self.kmers.sum(0) / self.windows.sum()
        spread = np.sqrt(both * (1 - both) * (1 / self.windows).sum())
        kmer = ((share[0] - share[1]) / np.maximum(spread, 1e-9)).max()
        return float(gc), float(cpg), float(kmer)


@jit
def _add(codes, starts, width, row, kmers, windows, sums, squares):
    """Add windows of ``codes`` at ``starts`` to the sums of ``row``; those with an N, or that
    reach over an end, are left out. A k-mer and its reverse complement are one."""
    seen = np.full(kmers.shape[1], -1, np.int64)
    for index in range(starts.size):
        begin = starts[index]
        if begin < 0 or begin + width > codes.size:
            continue
        known = True
        for i in range(begin, begin + width):
            known = known and codes[i] < 4
        if not known:
            continue
        gc = cpg = 0
        forward, reverse = 0, 0
        for i in range(width):
            code = np.int64(codes[begin + i])
            gc += code == 1 or code == 2
            cpg += i > 0 and code == 2 and codes[begin + i - 1] == 1
            forward = (forward * 4 + code) % 4**K
            reverse = reverse // 4 + (3 - code) * 4 ** (K - 1)
            if i >= K - 1:
                word = min(forward, reverse)
                if seen[word] != index:
                    seen[word] = index
                    kmers[row, word] += 1
        windows[row] += 1
        for column, value in enumerate((gc / width, cpg / width)):
            sums[row, column] += value
            squares[row, column] += value * value
