"""Scores of stretches taken in: calls and tracks, a shard each when a stretch is whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..genome.intervals import Intervals, mask_of
from .devices import Hits, Segment, Wanted
from .inputs import InputFiles
from .peaks import PeakCaller
from .scan_folder import ZARR_FOLDER
from .stages import Stages
from .stretches import Stretch
from .tracks import TrackShard

ZARR_KINDS = {"zarr": "uint8", "zarr-fp16": "fp16"}  # by track format


@dataclass(frozen=True)
class Task:
    """What scanning a stretch takes, in whatever process; picklable.

    ``cutoffs`` and ``floors`` float64 (labels,) logits, NaN for labels that are not called, or have
    no track; ``track_format``: None without tracks; ``work``: the folder of shards.
    """

    sizes: dict[str, int]
    stride: int
    min_length: int
    max_gap: int
    cutoffs: np.ndarray
    floors: np.ndarray
    within: Intervals | None
    track_format: str | None
    batch_size: int
    work: Path
    inputs: InputFiles

    @property
    def columns(self) -> np.ndarray:
        """Labels with a track, int64."""
        return np.flatnonzero(~np.isnan(self.floors))

    @property
    def wanted(self) -> Wanted:
        """What is needed of the logits."""
        floors, levels = np.float32(self.floors[self.columns]), self.track_format not in ZARR_KINDS
        return Wanted(np.float32(self.cutoffs), self.columns, floors, levels)


class StretchWriter:
    """Takes segments of stretches, in order; ``report(bases, chrom)`` is told how far it is."""

    def __init__(self, task: Task, stages: Stages, report: Callable[[int, str], None]) -> None:
        self._task, self._stages, self._report = task, stages, report
        self._zarr = None
        if task.track_format in ZARR_KINDS:
            from .zarr_tracks import ZarrTracks

            self._zarr = ZarrTracks.open(task.work / ZARR_FOLDER)

    def begin(self, stretch: Stretch) -> None:
        task, self._stretch, self._reached = self._task, stretch, stretch.first
        self._caller = PeakCaller(
            task.cutoffs, task.stride, task.sizes[stretch.chrom], task.min_length, task.max_gap,
            stretch.first, stretch.last,
        )  # fmt: skip
        self._within = None if task.within is None else task.within.on(stretch.chrom)
        if self._zarr is not None:
            self._track = DenseTrack(self._zarr, task, stretch)
        else:
            self._track = SparseTrack(task, stretch) if task.track_format else None

    def add(self, segment: Segment | Hits) -> None:
        with self._stages.timed("call"):
            self._call(segment)
        if self._track is not None:
            with self._stages.timed("track"):
                self._track.add(segment)
        self._advance(segment.first_step + segment.steps)

    def _call(self, segment: Segment | Hits) -> None:
        first, stride, allowed = segment.first_step, self._task.stride, None
        if self._within is not None:
            steps = first + np.arange(segment.steps)
            allowed = mask_of(self._within, steps * stride + stride // 2)
        if isinstance(segment, Segment):
            self._caller.add(first, segment.logits, allowed)
        else:
            self._caller.add_hits(first, segment.at, segment.values, allowed)

    def end(self) -> None:
        """The stretch is whole: keep what was made of it, all or nothing."""
        calls, work = self._caller.finish(), self._task.work
        with self._stages.timed("write"):
            if self._track is not None:
                self._track.finish()
            path = self._stretch.calls_file(work)
            temporary = path.with_suffix(".tmp")
            with open(temporary, "wb") as file:
                np.save(file, calls)
            self._task.inputs.check()
            temporary.rename(path)
        self._advance(self._stretch.last)

    def _advance(self, step: int) -> None:
        stride, size = self._task.stride, self._task.sizes[self._stretch.chrom]
        bases = min(step * stride, size) - min(self._reached * stride, size)
        self._reached = step
        self._report(bases, self._stretch.chrom)


class SparseTrack:
    """Changes of the tracks of a stretch, for bigWigs."""

    def __init__(self, task: Task, stretch: Stretch) -> None:
        self._path, self._columns = stretch.track_file(task.work), task.columns
        self._shard = TrackShard(self._path.with_suffix(".tmp"), task.floors, stretch.first)

    def add(self, segment: Segment | Hits) -> None:
        if isinstance(segment, Segment):
            self._shard.add(segment.first_step, segment.logits)
        else:
            self._shard.add_levels(segment.first_step, segment.levels, self._columns)

    def finish(self) -> None:
        self._shard.finish()
        self._shard.path.rename(self._path)


class DenseTrack:
    """Every score of a stretch, into a zarr folder."""

    def __init__(self, zarr, task: Task, stretch: Stretch) -> None:
        self._new = lambda columns: _zarr_stretch(zarr, stretch, columns)
        self._columns, self._stretch = task.columns, None

    def add(self, segment: Segment | Hits) -> None:
        if self._stretch is None:
            # a device sends the tracked columns alone
            self._stretch = self._new(self._columns if isinstance(segment, Segment) else None)
        self._stretch.add(segment.first_step, segment.logits)

    def finish(self) -> None:
        if self._stretch is not None:
            self._stretch.finish()


def _zarr_stretch(zarr, stretch: Stretch, columns: np.ndarray | None):
    from .zarr_tracks import ZarrStretch

    return ZarrStretch(zarr, stretch.chrom, stretch.first, stretch.last, columns)
