"""Where windows may lie: inside one region of the split, known bases, away from the blacklist."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..base.errors import TcnfastError
from ..base.jit import jit
from ..base.options import setting
from ..data.dataset import Dataset
from ..genome.codes import N
from ..genome.genome import Region
from ..genome.intervals import Intervals, touched
from .window_set import PARTS

NOWHERE = 255  # the part of a window that lies wholly in no region
MAX_N = 0.1  # share of unknown bases, of those of a window that lie on the contig
_SPARSE = 20  # spans on less than one of so many bases of a contig are read one by one


@dataclass(frozen=True, eq=False)
class Spans:
    """Windows of one length, as arrays (n,): ``chrom`` int16, an index into the contigs in use, and
    ``start`` int64."""

    chrom: np.ndarray
    start: np.ndarray

    def __len__(self) -> int:
        return self.start.size

    def take(self, index: np.ndarray) -> Spans:
        return Spans(self.chrom[index], self.start[index])


def join(parts: list[Spans]) -> Spans:
    """All spans, in order."""
    chrom = [np.empty(0, np.int16), *(part.chrom for part in parts)]
    start = [np.empty(0, np.int64), *(part.start for part in parts)]
    return Spans(np.concatenate(chrom), np.concatenate(start))


def by_contig(intervals: Intervals, chroms: list[str]) -> dict[str, Intervals]:
    """The intervals of each contig, sorted by start."""
    return {chrom: intervals.on(chrom) for chrom in chroms}


class Ground:
    """The genome under windows of ``length`` bases, on the contigs ``chroms`` and in the regions of
    ``split``. Raises TcnfastError where a contig is shorter than a window."""

    def __init__(
        self,
        dataset: Dataset,
        split: dict[str, list[Region]],
        chroms: list[str],
        length: int,
    ) -> None:
        self.genome = dataset.genome
        self.blacklist = (
            by_contig(dataset.blacklist, chroms) if dataset.blacklist is not None else None
        )
        self.split, self.chroms, self.length = split, chroms, length
        short = min(chroms, key=lambda name: self.genome.sizes[name])
        if self.genome.sizes[short] < length:
            raise TcnfastError(
                f"windows of {length} bases are longer than contig {short!r}, which has "
                f"{self.genome.sizes[short]}; take a smaller {setting('length')}, or the contig "
                "out of the split"
            )
        self._codes: tuple[str, np.ndarray] | None = None

    def on_contigs(self, spans: Spans) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        """(contig, indices, starts) of the spans on each contig."""
        for i, chrom in enumerate(self.chroms):
            here = np.flatnonzero(spans.chrom == i)
            if here.size:
                yield chrom, here, spans.start[here]

    def part_of(self, spans: Spans) -> np.ndarray:
        """Part of each span, uint8 (n,): an index into PARTS, or NOWHERE.

        A region that reaches an end of its contig holds windows that hang out there, as long as
        their middle is on the contig.
        """
        found = np.full(len(spans), NOWHERE, np.uint8)
        half = self.length // 2
        for chrom, here, start in self.on_contigs(spans):
            middle = start + half
            for i, part in enumerate(PARTS):
                for region in self.split[part]:
                    if region.chrom != chrom:
                        continue
                    inside = (start >= region.start) | (region.start == 0)
                    at_end = region.end == self.genome.sizes[chrom]
                    inside &= (start + self.length <= region.end) | at_end
                    inside &= (middle >= region.start) & (middle < region.end)
                    found[here[inside]] = i
        return found

    def clean(self, spans: Spans) -> np.ndarray:
        """Whether spans have few N and touch nothing that is blacklisted, bool (n,)."""
        _, known = self.content(spans)
        good = known >= 1 - MAX_N
        if self.blacklist is not None:
            good &= ~self.touch(spans, self.blacklist)
        return good

    def touch(self, spans: Spans, intervals: dict[str, Intervals]) -> np.ndarray:
        """Whether each span touches one of the intervals of its contig, bool (n,)."""
        found = np.zeros(len(spans), bool)
        for chrom, here, start in self.on_contigs(spans):
            there = intervals[chrom]
            found[here] = touched(start, start + self.length, there.start, there.end)
        return found

    def content(self, spans: Spans) -> tuple[np.ndarray, np.ndarray]:
        """Shares of each span, float64 (n,) twice: G and C of its known bases, and known bases of
        those on the contig."""
        counts, on_contig = np.zeros((len(spans), 2)), np.zeros(len(spans))
        for chrom, here, start in self.on_contigs(spans):
            rows = np.empty((here.size, 2))
            _count(*self._under(chrom, start), self.length, rows)
            counts[here] = rows
            last = np.minimum(start + self.length, self.genome.sizes[chrom])
            on_contig[here] = last - np.maximum(start, 0)
        gc, known = counts.T
        return gc / np.maximum(1, known), known / np.maximum(1, on_contig)

    def codes(self, spans: Spans) -> np.ndarray:
        """Codes, uint8 (n, length); N outside the contig."""
        out = np.full((len(spans), self.length), N, np.uint8)
        for chrom, here, start in self.on_contigs(spans):
            _gather(*self._under(chrom, start), here, out)
        return out

    def _under(self, chrom: str, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Codes that hold the spans at ``start``, and where in them each begins."""
        length = self.length
        if start.size * length < self.genome.sizes[chrom] / _SPARSE:
            rows = [self.genome.codes(chrom, x, x + length) for x in start.tolist()]
            return np.concatenate(rows), length * np.arange(start.size)
        # contigs go by one after the other, so the latest is enough
        if self._codes is None or self._codes[0] != chrom:
            self._codes = chrom, self.genome.codes(chrom)
        return self._codes[1], start

    def hang_out(self, spans: Spans) -> int:
        """How many spans reach beyond an end of their contig."""
        sizes = np.array([self.genome.sizes[chrom] for chrom in self.chroms], np.int64)
        beyond = (spans.start < 0) | (spans.start + self.length > sizes[spans.chrom])
        return int(beyond.sum())


@jit
def _count(codes, starts, length, out):
    """G and C, and known bases, of the spans, into the columns of ``out``."""
    for row in range(starts.size):
        gc = known = 0
        for i in range(max(0, starts[row]), min(codes.size, starts[row] + length)):
            gc += codes[i] == 1 or codes[i] == 2
            known += codes[i] < 4
        out[row, 0], out[row, 1] = gc, known


@jit
def _gather(codes, starts, rows, out):
    for i in range(starts.size):
        first, last = max(0, starts[i]), min(codes.size, starts[i] + out.shape[1])
        for position in range(first, last):
            out[rows[i], position - starts[i]] = codes[position]
