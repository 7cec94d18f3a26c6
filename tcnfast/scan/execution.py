"""Stretches scanned: in this process, or by several devices; what follows a finished contig."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from .peak_files import PeakFiles, PeakProcess
from .scanner import Pipeline, Work
from .stretch_writer import StretchWriter, Task
from .stretches import Stretch, touches


def scan_stretches(
    pipeline: Pipeline,
    task: Task,
    stretches: Iterable[Stretch],
    report: Callable[[int, str], None],
    finished: Callable[[Stretch], None],
) -> None:
    """Scan stretches one after the other without a pause between them; ``report`` and ``finished``
    are called by a thread."""
    writer = StretchWriter(task, pipeline.stages, report)

    @lru_cache(1)
    def wanted(chrom: str) -> Callable[[int, int], bool] | None:
        if task.within is None or task.track_format is not None:
            return None
        return touches(task.within.on(chrom), task.stride)

    def works() -> Iterator[Work]:
        for stretch in stretches:
            yield from pipeline.works(stretch, wanted(stretch.chrom))

    def take(work: Work, segments: list) -> None:
        if work.begins:
            writer.begin(work.stretch)
        for segment in segments:
            writer.add(segment)
        if work.ends:
            writer.end()
            finished(work.stretch)

    pipeline.run(works(), take)


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
