"""Calls as narrowPeak files, a contig at a time, while others are scanned.

With :class:`PeakProcess` in a process of its own, which needs no PyTorch: joining, formatting and
writing some ten million calls of a genome then takes nothing from the thread that makes them.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..base.disk import writing
from ..base.jit import jit
from ..base.logits import probability
from ..base.options import setting
from . import ScanOptions
from .child import ONE_THREAD, Child, Parent, serve
from .peaks import join_runs, run_bases
from .pieces import Stretch

if TYPE_CHECKING:
    from .shelves import Laid, Shelf

NUMBER_BYTES = 20  # the longest int64
LabelFiles = list[tuple[str, int, Path | None]]


class ContigQueue:
    """Gives contigs to ``peaks`` when all their stretches are finished, in their order."""

    def __init__(
        self,
        peaks: PeakFiles | PeakProcess,
        every: Sequence[Stretch],
        laid: Laid,
        work: Path,
    ) -> None:
        self._peaks, self._sizes, self._shelves = peaks, list(laid.sizes.items()), laid.shelves
        self._left = Counter(stretch.contig for stretch in every)
        self._shards: dict[int, list[Path]] = {}
        for stretch in every:
            self._shards.setdefault(stretch.contig, []).append(stretch.calls_file(work))
        self._next = 0

    def finished(self, stretch: Stretch) -> None:
        self._left[stretch.contig] -= 1
        while self._next < len(self._sizes) and not self._left[self._next]:
            chrom, size = self._sizes[self._next]
            shelf = self._shelves.get(chrom)
            self._peaks.add(chrom, size, self._shards.pop(self._next), shelf)
            self._next += 1


class PeakFiles:
    """Writes the files in this thread.

    ``files``: of each label its name, its number in RUN, and its file, None if it has none.
    """

    def __init__(self, files: LabelFiles, options: ScanOptions, per_contig: bool = True) -> None:
        self._files, self._options, self._per_contig = files, options, per_contig
        self._counts, self.seconds = [], 0.0
        for _, _, path in files:
            if path is not None:
                path.touch()

    def add(
        self, chrom: str, size: int, shards: Sequence[Path], shelf: Shelf | None = None
    ) -> None:
        """Append the calls of a contig of ``size`` bases, or of those on a shelf, of the shards of
        its stretches."""
        started, stride = time.perf_counter(), self._options.stride
        parts = [np.load(shard) for shard in shards]
        calls = join_runs(parts, stride, size, self._options.min_length, self._options.max_gap)
        names, sizes, contig = [chrom], np.array([size]), np.zeros(len(calls), np.int64)
        if shelf is not None:
            names, sizes = shelf.names, shelf.sizes
            calls, contig = _off_shelf(calls, shelf, stride, self._options.min_length)
        columns = [column for _, column, _ in self._files]
        firsts = np.searchsorted(calls["label"], columns)
        ends = np.searchsorted(calls["label"], columns, side="right")
        counts = np.zeros((len(columns), len(names) if self._per_contig else 1, 2), np.int64)
        for row in np.flatnonzero(ends > firsts):
            label, _, path = self._files[row]
            part, of = calls[firsts[row] : ends[row]], contig[firsts[row] : ends[row]]
            start, end = run_bases(part, stride, sizes[of])
            place = of if self._per_contig else np.zeros_like(of)
            np.add.at(counts[row], place, np.stack([np.ones_like(start), end - start], 1))
            lines = narrowpeak_lines(names, label, part, stride, sizes, of)
            with writing(path, len(lines)), open(path, "ab") as file:
                file.write(lines)
        if self._per_contig or not self._counts:
            self._counts.append(counts)
        else:
            self._counts[0] += counts
        self.seconds += time.perf_counter() - started

    def check(self) -> None:
        """Raise what went wrong meanwhile."""

    def finish(self) -> np.ndarray:
        """Calls and their bases, int64 (labels, contigs, 2), or (labels, 1, 2) of all contigs."""
        return np.concatenate(self._counts, 1)

    def close(self) -> None:
        """Stop, however far it is."""


class PeakProcess:
    """The same in a process; what went wrong there is raised by what is called next."""

    def __init__(self, files: LabelFiles, options: ScanOptions, per_contig: bool = True) -> None:
        self.seconds = 0.0
        go_on = f"go on with {setting('resume', True)}"
        self._child = Child(__name__, "narrowPeak files", go_on, ONE_THREAD)
        self._child.send((files, options, per_contig))

    def add(
        self, chrom: str, size: int, shards: Sequence[Path], shelf: Shelf | None = None
    ) -> None:
        self.check()
        self._child.send((chrom, size, list(shards), shelf))

    def check(self) -> None:
        if self._child.connection.poll():
            self._child.receive()

    def finish(self) -> np.ndarray:
        self._child.send(None)
        counts, self.seconds = self._child.receive()
        return counts

    def close(self) -> None:
        self._child.end()


def _off_shelf(
    calls: np.ndarray, shelf: Shelf, stride: int, min_length: int
) -> tuple[np.ndarray, np.ndarray]:
    """Calls on a shelf as calls on its contigs, and which contig, int64, each is on."""
    contig = shelf.contig_of(calls["first"])
    for name in ("first", "last", "best_at"):
        calls[name] -= shelf.firsts[contig]
    start, end = run_bases(calls, stride, shelf.sizes[contig])
    kept = end - start >= min_length
    return calls[kept], contig[kept]


def narrowpeak_lines(
    chrom: str | list[str],
    label: str,
    calls: np.ndarray,
    stride: int,
    size: int | np.ndarray,
    contig: np.ndarray | None = None,
) -> bytes:
    """Calls of one label on one contig of ``size`` bases, RUN (calls,), as narrowPeak lines; or on
    several, named ``chrom``, of ``size`` int64 (contigs,), each on the one at its ``contig`` int64.

    score = round(1000 p), signalValue = p, p the largest probability in the call; p- and q-value
    are -1 (not given); the summit is the centre of the best step, as an offset from the start.
    """
    names = [chrom] if isinstance(chrom, str) else chrom
    contig = np.zeros(len(calls), np.int64) if contig is None else contig
    size = np.atleast_1d(size)[contig]
    heads, begins, which = heads_of(names, contig)
    start, end = run_bases(calls, stride, size)
    summit = np.minimum(calls["best_at"] * stride + stride // 2, end - 1) - start
    largest = probability(calls["best"])
    score = np.rint(1000 * largest).astype(np.int64)
    ten_thousandths = np.rint(10_000 * largest).astype(np.int64)
    middle = text_bytes(f"\t{label}\t")
    longest = (
        int(np.diff(begins).max(initial=0))
        + len(middle)
        + len(_DOT)
        + len(_UNKNOWN)
        + len("\t.\n")
        + 6 * NUMBER_BYTES
    )
    out = np.empty(len(calls) * longest, np.uint8)
    n = _format(out, heads, begins, which, middle, start, end, score, ten_thousandths, summit)
    return out[:n].tobytes()


def heads_of(names: Sequence[str], contig: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How lines of ``contig`` int64 (rows,), places among ``names``, begin: the texts of those that
    occur, uint8, where each begins and the last ends, int64, and which is each row's, int64."""
    used, which = np.unique(contig, return_inverse=True)
    heads = [f"{names[index]}\t".encode() for index in used.tolist()]
    begins = np.cumsum([0, *map(len, heads)], dtype=np.int64)
    return np.frombuffer(b"".join(heads), np.uint8), begins, which


def text_bytes(text: str) -> np.ndarray:
    """What :func:`put` takes: uint8 (n,)."""
    return np.frombuffer(text.encode(), np.uint8)


_DOT, _UNKNOWN = text_bytes("\t.\t"), text_bytes("\t-1\t-1\t")
_DIGIT_0, _POINT, _TAB, _NEWLINE = b"0.\t\n"


@jit
def _format(out, heads, begins, which, middle, start, end, score, ten_thousandths, summit):
    """Write the lines into ``out``; returns their length."""
    at = 0
    for row in range(len(start)):
        at = put(out, at, heads[begins[which[row]] : begins[which[row] + 1]])
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
