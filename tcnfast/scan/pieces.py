"""The pieces of a scan: stretches of contigs, the segments of a stretch, the batches that are read,
and what comes back of each segment.

A stretch is scanned, kept and gone on with apart. Where stretches begin depends on the lengths of
the contigs and the stride, and on nothing else, so that any number of processes, now or after a
kill, work on one list.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..base.disk import save_array
from ..base.jit import jit
from ..genome.codes import N
from .stages import Stages

if TYPE_CHECKING:
    from ..genome.intervals import Intervals
    from .inputs import InputFiles

STRETCH_BASES = 2**24  # seconds of a processor, a blink of a GPU
LEAST_STEPS = 2**16  # so that whole chunks of a zarr array are in it, whatever the stride


class Stretch(NamedTuple):
    """Steps [first, last) of a contig; ``contig`` is its place among those scanned."""

    contig: int
    chrom: str
    first: int
    last: int
    total: int  # steps of the contig

    @property
    def words(self) -> str:
        """What a message calls it."""
        return f"{self.chrom}, steps {self.first:,} to {self.last:,}"

    def bases(self, stride: int, size: int) -> int:
        return min(self.last * stride, size) - self.first * stride

    def calls_file(self, work: Path) -> Path:
        """Runs of steps above the cutoffs; where it is, the stretch is finished."""
        return work / f"calls.{self.contig}.{self.first}-{self.last}.npy"

    def track_file(self, work: Path) -> Path:
        return work / f"tracks.{self.contig}.{self.first}-{self.last}.bin"

    @property
    def files(self) -> tuple[str, str]:
        """Names of the files, the one last that says that it is finished; it may be alone."""
        return self.track_file(Path()).name, self.calls_file(Path()).name

    def finished(self, work: Path) -> bool:
        return self.calls_file(work).exists()

    def finish(self, work: Path, calls: np.ndarray, inputs: InputFiles) -> None:
        """Write the calls (or hits), all or nothing, also where another process does the same.
        Raises TcnfastError where ``inputs`` changed meanwhile."""
        path = self.calls_file(work)
        temporary = temporary_of(path)
        save_array(temporary, calls)
        inputs.check()
        temporary.rename(path)


def temporary_of(path: Path) -> Path:
    """What a file is called until it is whole: a name that no other process gives it."""
    return path.with_suffix(f".{token_hex(4)}.tmp")


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


class Window(NamedTuple):
    """Bases between scores, of the window that a score sees, and of its label bin."""

    stride: int
    receptive_field: int
    label_bin: int

    def length(self, steps: int) -> int:
        """Bases that the scores of so many steps depend on."""
        return (steps - 1) * self.stride + self.receptive_field


class Batch(NamedTuple):
    """Segments of equal length, ready for a device."""

    first_steps: list[int]
    codes: np.ndarray  # (B, T) uint8, with context
    unknown: np.ndarray  # (B, steps) bool: the label bin is all N
    slot: object  # where the device keeps them


def alike(spans: list[tuple[int, int]], batch_size: int) -> Iterator[list[tuple[int, int]]]:
    """Groups of at most ``batch_size`` spans of one length."""
    group: list[tuple[int, int]] = []
    for first, last in spans:
        if group and (len(group) == batch_size or group[0][1] - group[0][0] != last - first):
            yield group
            group = []
        group.append((first, last))
    if group:
        yield group


def read(
    genome,
    chrom: str,
    spans: list[tuple[int, int]],
    window: Window,
    buffers: Callable[[int, int, int], tuple[np.ndarray, np.ndarray, object]],
    stages: Stages,
) -> Batch:
    """Read spans of steps of a contig, with N around its ends.

    ``buffers(B, T, steps)`` gives what to fill: codes (B, T), unknown (B, steps), and a slot.
    """
    stride, label_bin = window.stride, window.label_bin
    context = max(window.receptive_field // 2, label_bin // 2)
    trim = context - window.receptive_field // 2
    steps = spans[0][1] - spans[0][0]
    codes, unknown, slot = buffers(len(spans), window.length(steps), steps)
    for row, (first, _) in enumerate(spans):
        centre = first * stride + stride // 2
        end = centre + (steps - 1) * stride + 1
        with stages.timed("read"):
            piece = genome.codes(chrom, centre - context, end + context)
        with stages.timed("mask"):
            codes[row] = piece[trim : len(piece) - trim]
            _all_n(piece, context, stride, label_bin, unknown[row])
    return Batch([first for first, _ in spans], codes, unknown, slot)


@jit
def _all_n(piece: np.ndarray, context: int, stride: int, label_bin: int, unknown: np.ndarray):
    """Which steps have no known base in their label bin; ``context`` is the first step's centre."""
    most = np.uint8(0)
    for at in range(len(piece)):  # vector instructions: most of a genome has no N
        most = max(most, piece[at])
    if most < N:
        unknown[:] = False
        return
    reached, last_known = 0, -1
    for step in range(len(unknown)):
        start = context - label_bin // 2 + stride * step
        end = min(start + label_bin, len(piece))
        for at in range(max(reached, start), end):
            if piece[at] < N:
                last_known = at
        reached = end
        unknown[step] = last_known < start


@dataclass(frozen=True)
class Wanted:
    """What a scan needs of logits.

    ``cutoffs`` float32 (labels,): what is a hit, NaN for none. ``columns`` int64 (tracked,): labels
    with a track. ``floors`` float32 (tracked,): the least logit that a track shows. ``levels``:
    tracks are sparse, of levels of :mod:`tcnfast.scan.track_shards`; else of logits.
    """

    cutoffs: np.ndarray
    columns: np.ndarray
    floors: np.ndarray
    levels: bool = True


class Segment(NamedTuple):
    """Consecutive steps of a contig: ``logits`` float32 (steps, labels), NaN where the label bin is
    all N."""

    first_step: int
    logits: np.ndarray

    @property
    def steps(self) -> int:
        return len(self.logits)


class CompactSegment(NamedTuple):
    """The same, of which only what was :class:`Wanted` is left.

    ``at`` int64 (hits,), places in the flat (steps, labels), and ``values`` float32 (hits,), the
    logits there; ``levels`` uint8 (steps, tracked) or ``logits`` float32 (steps, tracked), if there
    are tracks.
    """

    first_step: int
    steps: int
    at: np.ndarray
    values: np.ndarray
    levels: np.ndarray | None
    logits: np.ndarray | None
