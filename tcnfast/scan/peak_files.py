"""narrowPeak files of a scan, a contig after the other, while others are scanned.

With :class:`PeakProcess` in a process of its own, which needs no PyTorch: joining, formatting and
writing some ten million calls of a genome then takes nothing from the thread that makes them.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..base.errors import TcnfastError
from .child import Child, connect, receive, send
from .narrowpeak import narrowpeak_lines
from .peaks import join_runs, run_bases


@dataclass(frozen=True)
class PeakFormat:
    """``files``: of each label its name, its number in RUN, and its file, None if it has none."""

    files: list[tuple[str, int, Path | None]]
    stride: int
    min_length: int
    max_gap: int


class PeakFiles:
    """Writes the files in this thread."""

    def __init__(self, form: PeakFormat) -> None:
        self._form, self._counts, self.seconds = form, [], 0.0
        for _, _, path in form.files:
            if path is not None:
                path.touch()

    def add(self, chrom: str, size: int, shards: Sequence[Path]) -> None:
        """Append the calls of a contig of ``size`` bases, of the shards of its stretches."""
        started, form = time.perf_counter(), self._form
        parts = [np.load(shard) for shard in shards]
        calls = join_runs(parts, form.stride, size, form.min_length, form.max_gap)
        columns = [column for _, column, _ in form.files]
        firsts = np.searchsorted(calls["label"], columns)
        ends = np.searchsorted(calls["label"], columns, side="right")
        counts = np.zeros((len(columns), 2), np.int64)
        for row in np.flatnonzero(ends > firsts):
            label, _, path = form.files[row]
            part = calls[firsts[row] : ends[row]]
            start, end = run_bases(part, form.stride, size)
            counts[row] = len(part), (end - start).sum()
            with open(path, "ab") as file:
                file.write(narrowpeak_lines(chrom, label, part, form.stride, size))
        self._counts.append(counts)
        self.seconds += time.perf_counter() - started

    def finish(self) -> np.ndarray:
        """Calls and their bases, int64 (labels, contigs, 2)."""
        return np.stack(self._counts, 1)

    def close(self) -> None:
        """Stop, however far it is."""


class PeakProcess:
    """The same in a process; what went wrong there is raised by what is called next."""

    def __init__(self, form: PeakFormat) -> None:
        self.seconds = 0.0
        # numpy starts as many threads as there are cores, and none is used
        self._child = Child(__name__, {"OPENBLAS_NUM_THREADS": "1"})
        self._say(form)

    def add(self, chrom: str, size: int, shards: Sequence[Path]) -> None:
        if self._child.connection.poll():
            self._answer()
        self._say((chrom, size, list(shards)))

    def finish(self) -> np.ndarray:
        self._say(None)
        counts, self.seconds = self._answer()
        return counts

    def close(self) -> None:
        self._child.end()

    def _say(self, message: object) -> None:
        try:
            self._child.send(message)
        except OSError:
            self._answer()

    def _answer(self) -> object:
        try:
            answer = self._child.receive()
        except EOFError:
            why = self._child.why_gone()
            raise TcnfastError(f"narrowPeak files: {why}; go on with --resume") from None
        if isinstance(answer, Exception):
            raise answer
        return answer


def main(number: int) -> None:
    """What a :class:`PeakProcess` runs."""
    connection = connect(number)
    try:
        files = PeakFiles(receive(connection))
        while (contig := receive(connection)) is not None:
            files.add(*contig)
        send(connection, (files.finish(), files.seconds))
    except EOFError:
        return  # nobody waits for this any more
    except Exception as error:
        send(connection, error)
