"""Calls as narrowPeak files, a contig at a time, while others are scanned.

With :class:`PeakProcess` in a process of its own, which needs no PyTorch: joining, formatting and
writing some ten million calls of a genome then takes nothing from the thread that makes them.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..base.jit import jit
from ..base.logits import probability
from ..base.options import setting
from . import ScanOptions
from .child import ONE_THREAD, Child, Parent, serve
from .peaks import join_runs, run_bases
from .pieces import Stretch

NUMBER_BYTES = 20  # the longest int64
LabelFiles = list[tuple[str, int, Path | None]]


class ContigQueue:
    """Gives contigs to ``peaks`` when all their stretches are finished, in their order."""

    def __init__(
        self,
        peaks: PeakFiles | PeakProcess,
        every: Sequence[Stretch],
        sizes: dict[str, int],
        work: Path,
    ) -> None:
        self._peaks, self._sizes = peaks, list(sizes.items())
        self._left = Counter(stretch.contig for stretch in every)
        self._shards: dict[int, list[Path]] = {}
        for stretch in every:
            self._shards.setdefault(stretch.contig, []).append(stretch.calls_file(work))
        self._next = 0

    def finished(self, stretch: Stretch) -> None:
        self._left[stretch.contig] -= 1
        while self._next < len(self._sizes) and not self._left[self._next]:
            self._peaks.add(*self._sizes[self._next], self._shards.pop(self._next))
            self._next += 1


class PeakFiles:
    """Writes the files in this thread.

    ``files``: of each label its name, its number in RUN, and its file, None if it has none.
    """

    def __init__(self, files: LabelFiles, options: ScanOptions) -> None:
        self._files, self._options = files, options
        self._counts, self.seconds = [], 0.0
        for _, _, path in files:
            if path is not None:
                path.touch()

    def add(self, chrom: str, size: int, shards: Sequence[Path]) -> None:
        """Append the calls of a contig of ``size`` bases, of the shards of its stretches."""
        started, stride = time.perf_counter(), self._options.stride
        parts = [np.load(shard) for shard in shards]
        calls = join_runs(parts, stride, size, self._options.min_length, self._options.max_gap)
        columns = [column for _, column, _ in self._files]
        firsts = np.searchsorted(calls["label"], columns)
        ends = np.searchsorted(calls["label"], columns, side="right")
        counts = np.zeros((len(columns), 2), np.int64)
        for row in np.flatnonzero(ends > firsts):
            label, _, path = self._files[row]
            part = calls[firsts[row] : ends[row]]
            start, end = run_bases(part, stride, size)
            counts[row] = len(part), (end - start).sum()
            with open(path, "ab") as file:
                file.write(narrowpeak_lines(chrom, label, part, stride, size))
        self._counts.append(counts)
        self.seconds += time.perf_counter() - started

    def check(self) -> None:
        """Raise what went wrong meanwhile."""

    def finish(self) -> np.ndarray:
        """Calls and their bases, int64 (labels, contigs, 2)."""
        return np.stack(self._counts, 1)

    def close(self) -> None:
        """Stop, however far it is."""


class PeakProcess:
    """The same in a process; what went wrong there is raised by what is called next."""

    def __init__(self, files: LabelFiles, options: ScanOptions) -> None:
        self.seconds = 0.0
        go_on = f"go on with {setting('resume', True)}"
        self._child = Child(__name__, "narrowPeak files", go_on, ONE_THREAD)
        self._child.send((files, options))

    def add(self, chrom: str, size: int, shards: Sequence[Path]) -> None:
        self.check()
        self._child.send((chrom, size, list(shards)))

    def check(self) -> None:
        if self._child.connection.poll():
            self._child.receive()

    def finish(self) -> np.ndarray:
        self._child.send(None)
        counts, self.seconds = self._child.receive()
        return counts

    def close(self) -> None:
        self._child.end()


def narrowpeak_lines(chrom: str, label: str, calls: np.ndarray, stride: int, size: int) -> bytes:
    """Calls of one label on one contig of ``size`` bases, RUN (calls,), as narrowPeak lines.

    score = round(1000 p), signalValue = p, p the largest probability in the call; p- and q-value
    are -1 (not given); the summit is the centre of the best step, as an offset from the start.
    """
    start, end = run_bases(calls, stride, size)
    summit = np.minimum(calls["best_at"] * stride + stride // 2, end - 1) - start
    largest = probability(calls["best"])
    score = np.rint(1000 * largest).astype(np.int64)
    ten_thousandths = np.rint(10_000 * largest).astype(np.int64)
    head, middle = text_bytes(f"{chrom}\t"), text_bytes(f"\t{label}\t")
    longest = len(head) + len(middle) + len(_DOT) + len(_UNKNOWN) + len("\t.\n") + 6 * NUMBER_BYTES
    out = np.empty(len(calls) * longest, np.uint8)
    n = _format(out, head, middle, start, end, score, ten_thousandths, summit)
    return out[:n].tobytes()


def text_bytes(text: str) -> np.ndarray:
    """What :func:`put` takes: uint8 (n,)."""
    return np.frombuffer(text.encode(), np.uint8)


_DOT, _UNKNOWN = text_bytes("\t.\t"), text_bytes("\t-1\t-1\t")
_DIGIT_0, _POINT, _TAB, _NEWLINE = b"0.\t\n"


@jit
def _format(out, head, middle, start, end, score, ten_thousandths, summit):
    """Write the lines into ``out``; returns their length."""
    at = 0
    for row in range(len(start)):
        at = put(out, at, head)
        at = put_number(out, at, start[row], 1)
        out[at] = _TAB
        at = put_number(out, at + 1, end[row], 1)
        at = put(out, at, middle)
        at = put_number(out, at, score[row], 1)
        at = put(out, at, _DOT)
        at = put_number(out, at, ten_thousandths[row] // 10_000, 1)
        out[at] = _POINT
        at = put_number(out, at + 1, ten_thousandths[row] % 10_000, 4)
        at = put(out, at, _UNKNOWN)
        at = put_number(out, at, summit[row], 1)
        out[at] = _NEWLINE
        at += 1
    return at


@jit
def put(out, at, text):
    """Copy ``text`` to out[at:]; returns where it ends."""
    for i in range(len(text)):
        out[at + i] = text[i]
    return at + len(text)


@jit
def put_number(out, at, number, digits):
    """Write a number that is not negative, with at least this many digits; returns its end."""
    length, above = digits, 10**digits
    while number >= above:
        length += 1
        above *= 10
    for i in range(length):
        out[at + length - 1 - i] = _DIGIT_0 + number % 10
        number //= 10
    return at + length


def main(number: int) -> None:
    """What a :class:`PeakProcess` runs."""
    serve(number, _write_peaks)


def _write_peaks(parent: Parent) -> None:
    files = PeakFiles(*parent.receive())
    while (contig := parent.receive()) is not None:
        files.add(*contig)
    parent.send((files.finish(), files.seconds))
