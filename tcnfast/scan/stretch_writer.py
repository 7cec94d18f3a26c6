"""Takes in the scores of stretches; writes calls and tracks, a shard each, of a whole stretch."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from ..base.errors import TcnfastError
from ..base.run_folder import KEY
from ..genome.intervals import Intervals, mask_of
from . import ZARR_KINDS, ScanOptions
from .inputs import InputFiles
from .peaks import PeakCaller
from .pieces import CompactSegment, Segment, Stretch, Wanted, touches
from .pipeline import Pipeline, SegmentGroup
from .scan_folder import ZARR_FOLDER
from .stages import Stages
from .track_shards import TrackShard


@dataclass(frozen=True)
class ScanSpec:
    """What scanning a stretch takes, in whatever process; picklable.

    ``cutoffs`` and ``floors`` float64 (labels,) logits, NaN for labels that are not called, or have
    no track; ``within``: regions of calls; ``work``: the folder of shards; ``key``: what
    :func:`key_digest` must give there when a shard is put into it, None for anything.
    """

    options: ScanOptions
    batch_size: int
    sizes: dict[str, int]
    cutoffs: np.ndarray
    floors: np.ndarray
    within: Intervals | None
    work: Path
    inputs: InputFiles
    key: str | None = None

    @property
    def tracks(self) -> bool:
        """Whether there are any."""
        return self.options.tracks is not None

    @property
    def dense_tracks(self) -> bool:
        """Whether tracks hold every score."""
        return self.tracks and self.options.track_format in ZARR_KINDS

    @property
    def columns(self) -> np.ndarray:
        """Labels with a track, int64."""
        return np.flatnonzero(~np.isnan(self.floors))

    @property
    def wanted(self) -> Wanted:
        """What is needed of the logits."""
        floors = np.float32(self.floors[self.columns])
        return Wanted(np.float32(self.cutoffs), self.columns, floors, not self.dense_tracks)


def key_digest(work: Path) -> str | None:
    """SHA-256 of what tells whose work lies in a folder; None where it is gone."""
    try:
        return hashlib.sha256((work / KEY).read_bytes()).hexdigest()
    except OSError:
        return None


def scan_stretches(
    pipeline: Pipeline,
    spec: ScanSpec,
    stretches: Iterable[Stretch],
    report: Callable[[int, str], None],
    finished: Callable[[Stretch], None],
) -> None:
    """Scan stretches one after the other without a pause between them; ``report`` and ``finished``
    are called by a thread."""
    writer = StretchWriter(spec, pipeline.stages, report)

    @lru_cache(1)
    def wanted(chrom: str) -> Callable[[int, int], bool] | None:
        if spec.within is None or spec.tracks:
            return None
        return touches(spec.within.on(chrom), spec.options.stride)

    def groups() -> Iterator[SegmentGroup]:
        for stretch in stretches:
            yield from pipeline.groups(stretch, wanted(stretch.chrom))

    def take(group: SegmentGroup, segments: list) -> None:
        if group.begins:
            writer.begin(group.stretch)
        for segment in segments:
            writer.add(segment)
        if group.ends:
            writer.end()
            finished(group.stretch)

    pipeline.run(groups(), take)


class StretchWriter:
    """Takes segments of stretches, in order; ``report(bases, chrom)`` is told how far it is."""

    def __init__(self, spec: ScanSpec, stages: Stages, report: Callable[[int, str], None]) -> None:
        self._spec, self._stages, self._report = spec, stages, report
        self._zarr = None
        if spec.dense_tracks:
            from .zarr_tracks import ZarrTracks

            self._zarr = ZarrTracks.open(spec.work / ZARR_FOLDER)

    def begin(self, stretch: Stretch) -> None:
        spec, options = self._spec, self._spec.options
        self._stretch, self._reached = stretch, stretch.first
        self._caller = PeakCaller(
            spec.cutoffs,
            options.stride,
            spec.sizes[stretch.chrom],
            options.min_length,
            options.max_gap,
            stretch.first,
            stretch.last,
        )
        self._within = None if spec.within is None else spec.within.on(stretch.chrom)
        self._track = None
        if self._zarr is not None:
            from .zarr_tracks import ZarrStretch

            self._track = ZarrStretch(self._zarr, stretch.chrom, stretch.first, stretch.last)
        elif spec.tracks:
            self._track = TrackShard(stretch.track_file(spec.work), spec.floors, stretch.first)

    def add(self, segment: Segment | CompactSegment) -> None:
        with self._stages.timed("call"):
            self._call(segment)
        if self._track is not None:
            with self._stages.timed("track"):
                self._add_to_track(segment)
        self._advance(segment.first_step + segment.steps)

    def _call(self, segment: Segment | CompactSegment) -> None:
        first, stride, allowed = segment.first_step, self._spec.options.stride, None
        if self._within is not None:
            steps = first + np.arange(segment.steps)
            allowed = mask_of(self._within, steps * stride + stride // 2)
        if isinstance(segment, Segment):
            self._caller.add(first, segment.logits, allowed)
        else:
            self._caller.add_hits(first, segment.at, segment.values, allowed)

    def _add_to_track(self, segment: Segment | CompactSegment) -> None:
        first, columns = segment.first_step, self._spec.columns
        if isinstance(segment, CompactSegment):  # a device sends the tracked columns alone
            if self._zarr is None:
                self._track.add_levels(first, segment.levels, columns)
            else:
                self._track.add(first, segment.logits)
        elif self._zarr is None:
            self._track.add(first, segment.logits)
        else:
            self._track.add(first, segment.logits, columns)

    def end(self) -> None:
        """The stretch is whole: keep what was made of it, all or nothing."""
        calls, work = self._caller.finish(), self._spec.work
        with self._stages.timed("write"):
            if self._track is not None:
                self._track.finish()
            if self._spec.key is not None and key_digest(work) != self._spec.key:
                raise TcnfastError(f"{work}: another run has begun there since")
            self._stretch.finish(work, calls, self._spec.inputs)
        self._advance(self._stretch.last)

    def _advance(self, step: int) -> None:
        stride, size = self._spec.options.stride, self._spec.sizes[self._stretch.chrom]
        bases = min(step * stride, size) - min(self._reached * stride, size)
        self._reached = step
        self._report(bases, self._stretch.chrom)
