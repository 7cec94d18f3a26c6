"""What a scan goes along: contigs, and, where there are very many, shelves of small ones.

A contig costs a stretch, files and messages however short it is. On a shelf, small contigs that
follow one another stand in a row, with N between them so wide that no score, call or hit reaches
from one to the next, and the shelf is scanned as one contig is. What is found is told apart after.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..genome.codes import N
from ..genome.genome import Genome
from ..genome.intervals import Intervals
from ..genome.sequence_files import Parts
from .pieces import n_steps, stretch_steps

MANY = 1000  # contigs; with fewer, each is scanned by itself and has its rows in the summary
SMALL = 2**16  # bases of a contig that goes on a shelf


class Shelf(NamedTuple):
    """Contigs in a row: ``names``, ``sizes`` int64 (n,) in bases, ``firsts`` int64 (n,), the step
    of the shelf that each begins at."""

    names: list[str]
    sizes: np.ndarray
    firsts: np.ndarray

    def contig_of(self, steps: np.ndarray) -> np.ndarray:
        """Which contig each step lies on, int64."""
        return np.searchsorted(self.firsts, steps, side="right") - 1


class Laid:
    """A genome as sequences to scan, which it reads as a Genome does; ``sizes``: bases of each
    sequence, in order; ``shelves``: those that are no contig.

    ``sizes``: the contigs to scan. ``gap``: bases of N between two on a shelf, at least; 0 for no
    shelves.
    """

    def __init__(self, genome: Genome, sizes: dict[str, int], stride: int, gap: int) -> None:
        self.genome, self.stride = genome, stride
        self.sizes: dict[str, int] = {}
        self.shelves: dict[str, Shelf] = {}
        self._row: list[tuple[str, int, int]] = []  # name, bases and first step
        self._next = 0
        longest, gap_steps = stretch_steps(stride), n_steps(gap, stride)
        for name, size in sizes.items():
            if gap == 0 or len(sizes) <= MANY or size > SMALL:
                self._end_shelf(sizes)
                self.sizes[name] = size
                continue
            if self._next + n_steps(size, stride) > longest:
                self._end_shelf(sizes)
            self._row.append((name, size, self._next))
            self._next += n_steps(size, stride) + gap_steps
        self._end_shelf(sizes)

    def _end_shelf(self, contigs: dict[str, int]) -> None:
        if not self._row:
            return
        names, sizes, firsts = zip(*self._row, strict=True)
        name = f"{names[0]} and {len(names) - 1} more"
        while name in contigs:
            name += " "
        shelf = Shelf(list(names), np.array(sizes, np.int64), np.array(firsts, np.int64))
        self.shelves[name] = shelf
        self.sizes[name] = int(firsts[-1] * self.stride + sizes[-1])
        self._row, self._next = [], 0

    @property
    def bases(self) -> int:
        """Of all sequences, the N between contigs too."""
        return sum(self.sizes.values())

    def codes(self, chrom: str, start: int, end: int) -> np.ndarray:
        """Codes of [start, end) of a sequence, uint8 (end - start,); 4 outside of contigs."""
        shelf = self.shelves.get(chrom)
        if shelf is None:
            return self.genome.codes(chrom, start, end)
        out = np.full(end - start, N, np.uint8)
        offsets = shelf.firsts * self.stride
        first = max(int(np.searchsorted(offsets, start, side="right")) - 1, 0)
        last = int(np.searchsorted(offsets, end))
        offsets, sizes = offsets[first:last], shelf.sizes[first:last]
        begins, stops = np.maximum(offsets, start), np.minimum(offsets + sizes, end)
        there = np.flatnonzero(begins < stops)
        if there.size:
            begins, offsets = begins[there], offsets[there]
            names = [shelf.names[first + index] for index in there.tolist()]
            places = begins - offsets, stops[there] - begins, begins - start
            self.genome.read_parts(Parts(names, *places), out)
        return out

    def within(self, regions: Intervals | None, cover: bool = True) -> Intervals | None:
        """``regions`` of contigs as regions of sequences. Without any, and with ``cover``, all
        steps of all contigs, where there are shelves: what a call may not leave."""
        if not self.shelves or (regions is None and not cover):
            return regions
        rows = {}
        for name, shelf in self.shelves.items():
            for contig, first in zip(shelf.names, shelf.firsts.tolist(), strict=True):
                rows[contig] = name, first * self.stride
        if regions is None:
            names = [x for x in self.sizes if x not in self.shelves]
            names += [x for shelf in self.shelves.values() for x in shelf.names]
            sizes = [self.sizes[x] for x in self.sizes if x not in self.shelves]
            sizes += [x for shelf in self.shelves.values() for x in shelf.sizes.tolist()]
            end = -(-np.array(sizes, np.int64) // self.stride) * self.stride
            start = np.zeros(len(names), np.int64)
            regions = Intervals(np.array(names, object), start, end, np.full(len(names), -1))
        places = [rows.get(name, (name, 0)) for name in regions.chrom.tolist()]
        chrom = np.array([name for name, _ in places], object)
        moved = np.array([at for _, at in places], np.int64)
        return Intervals(chrom, regions.start + moved, regions.end + moved, regions.summit)

    def close(self) -> None:
        self.genome.close()

    def __enter__(self) -> Laid:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
