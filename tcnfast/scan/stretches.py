"""A scan as a list of stretches: pieces of contigs that are scanned, kept and gone on with apart.

Where they begin depends on the lengths of the contigs and the stride, and on nothing else, so that
any number of processes, now or after a kill, work on one list.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from ..genome.intervals import Intervals

STRETCH_BASES = 2**24  # seconds of a processor, a blink of a GPU
LEAST_STEPS = 2**16  # so that whole chunks of a zarr array are in it, whatever the stride


class Stretch(NamedTuple):
    """Steps [first, last) of a contig; ``contig`` is its place among those scanned."""

    contig: int
    chrom: str
    first: int
    last: int
    total: int  # steps of the contig

    def bases(self, stride: int, size: int) -> int:
        return min(self.last * stride, size) - self.first * stride

    def calls_file(self, work: Path) -> Path:
        """Runs of steps above the cutoffs; where it is, the stretch is finished."""
        return work / f"calls.{self.contig}.{self.first}-{self.last}.npy"

    def track_file(self, work: Path) -> Path:
        return work / f"tracks.{self.contig}.{self.first}-{self.last}.bin"

    def finished(self, work: Path) -> bool:
        return self.calls_file(work).exists()


def n_steps(size: int, stride: int) -> int:
    """Steps of a contig of ``size`` bases; the last may be partial."""
    return -(-size // stride)


def stretch_steps(stride: int) -> int:
    """Steps of every stretch but the last of a contig; a power of two."""
    return max(STRETCH_BASES // stride, LEAST_STEPS)


def stretches(sizes: dict[str, int], stride: int) -> list[Stretch]:
    """The stretches of contigs, in their order; a contig without bases is one empty stretch."""
    length, every = stretch_steps(stride), []
    for contig, (chrom, size) in enumerate(sizes.items()):
        total = n_steps(size, stride)
        firsts = range(0, max(total, 1), length)
        every += [Stretch(contig, chrom, at, min(at + length, total), total) for at in firsts]
    return every


def segment_spans(
    first: int, last: int, segment_steps: int, wanted: Callable[[int, int], bool] | None = None
) -> list[tuple[int, int]]:
    """[first, last) steps cut into segments of ``segment_steps``; ``wanted`` may drop some."""
    cuts = range(first, last, max(1, segment_steps))
    spans = [(at, min(at + max(1, segment_steps), last)) for at in cuts]
    return [span for span in spans if wanted is None or wanted(*span)]


def touches(within: Intervals, stride: int) -> Callable[[int, int], bool]:
    """Whether steps [first, last) hold a base of sorted intervals of one contig."""
    reach = np.maximum.accumulate(within.end) if len(within) else within.end

    def wanted(first: int, last: int) -> bool:
        before = int(np.searchsorted(within.start, last * stride))
        return before > 0 and reach[before - 1] > first * stride

    return wanted
