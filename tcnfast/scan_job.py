"""One scan: its contigs and labels, the shards of finished contigs, the output made of them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from . import run_record
from .errors import TcnfastError
from .genome import Genome, match_chroms, split_chroms
from .intervals import Intervals, mask_of, read_bed
from .model import TCN
from .outputs import OutputFolder, file_hash
from .peaks import PeakCaller, Runs
from .progress import Progress
from .scanner import SEGMENT_BASES, Scorer, Segment, Writer, n_steps, scan_contig
from .tracks import TrackShard, file_names, narrowpeak_lines, write_bigwig

log = logging.getLogger(__name__)

SUMMARY = {
    "label": str,
    "chrom": str,
    "threshold": float,
    "expected_precision": float,
    "calls": int,
    "bases": int,
}


@dataclass(frozen=True)
class ScanOptions:
    """What a user may ask of a scan and its result depends on. See :func:`tcnfast.scan.scan`."""

    stride: int = 32
    rc: str = "mean"
    chroms: str | list[str] | None = None
    targets: str | list[str] | None = None
    tracks: str | list[str] | None = None
    within: str | Path | None = None
    min_length: int = 64
    max_gap: int = 64

    def __post_init__(self) -> None:
        if self.min_length < 1:
            raise TcnfastError(f"min-length {self.min_length}: must be at least 1")
        if self.max_gap < 0:
            raise TcnfastError(f"max-gap {self.max_gap}: must be at least 0")


class ScanJob:
    """A genome, a model ready to run, and the options, checked before anything is written."""

    def __init__(
        self, genome: Genome, model: TCN, scorer: Scorer, options: ScanOptions, batch_size: int
    ) -> None:
        self.genome, self.model, self.scorer, self.options = genome, model, scorer, options
        self.batch_size = batch_size
        self.chroms, self.skipped = _chroms(genome, options.chroms)
        wanted = "all" if options.targets is None else options.targets
        self.labels = _labels(model, wanted, "--targets")
        self.names = file_names(self.labels)
        self.columns = [model.labels.index(label) for label in self.labels]
        wanted = options.tracks
        self.tracks = [] if wanted is None else _labels(model, wanted, "--tracks")
        self.track_columns = [model.labels.index(label) for label in self.tracks]
        self.within = read_bed(options.within, genome.sizes) if options.within else None
        thresholds = np.array([model.thresholds[label].threshold for label in self.labels])
        self.cutoffs = np.log(thresholds) - np.log1p(-thresholds)

    def key(self, model_hash: str) -> dict:
        """What the bytes of the result depend on."""
        plan, options = self.scorer.plan, self.options
        return {
            "command": "scan",
            "tcnfast": run_record.version(),
            "model": model_hash,
            "genome": [[path.name, file_hash(path)] for path in self.genome.paths],
            "chroms": self.chroms,
            "targets": self.labels,
            "tracks": self.tracks,
            "within": file_hash(options.within) if options.within else None,
            "stride": options.stride,
            "rc": options.rc,
            "min_length": options.min_length,
            "max_gap": options.max_gap,
            "device": plan.device.type,
            "backend": plan.backend,
            "precision": plan.precision,
        }

    def announce(self, name: str) -> None:
        """First lines: what runs, how fast, how long."""
        plan = self.scorer.plan
        where = run_record.device_words(plan.device)
        log.info("model %s: %d labels, a score sees %d bp", name, len(self.model.labels),
                 plan.receptive_field)  # fmt: skip
        log.info("device %s, backend %s, precision %s", where, plan.backend, plan.precision)
        unused = run_record.unused_gpu(plan.device)
        if unused:
            log.warning("WARNING: %s", unused)
        if self.skipped:
            shown = ", ".join(self.skipped[:5]) + (", ..." if len(self.skipped) > 5 else "")
            log.info("%d contigs skipped (%s); --chroms all scans them", len(self.skipped), shown)
        bases = sum(self.genome.sizes[chrom] for chrom in self.chroms)
        speed = self._probe_speed()
        log.info("%.1f Mb in %d contigs: at %.1f Mb/s about %d s", bases / 1e6, len(self.chroms),
                 speed / 1e6, round(bases / speed))  # fmt: skip

    def _probe_speed(self) -> float:
        """Bases a second of the second of two equal batches (the first warms up)."""
        plan = self.scorer.plan
        steps = max(1, SEGMENT_BASES // plan.stride)
        shape = (self.batch_size, plan.receptive_field + (steps - 1) * plan.stride)
        codes = np.zeros(shape, np.uint8)
        self.scorer(codes)
        started = time.perf_counter()
        self.scorer(codes)
        return self.batch_size * steps * plan.stride / (time.perf_counter() - started)

    def run(self, work: Path, progress: bool) -> None:
        """Scan every contig whose shard is not there yet."""
        sizes = self.genome.sizes
        bases = sum(sizes[chrom] for chrom in self.chroms)
        with Progress(bases, "b", progress, scale=True) as bar:
            for index, chrom in enumerate(self.chroms):
                if _shard(work, index).exists():
                    bar.update(sizes[chrom], f"{chrom} done before")
                else:
                    self._run_contig(work, index, chrom, bar)

    def _run_contig(self, work: Path, index: int, chrom: str, bar: Progress) -> None:
        options, size = self.options, self.genome.sizes[chrom]
        caller = PeakCaller(self.cutoffs, options.stride, size, options.min_length, options.max_gap)
        track = None
        if self.tracks:
            track = TrackShard(
                _track_shard(work, index), len(self.tracks), n_steps(size, options.stride)
            )
            track.create()
        within = self.within.on(chrom) if self.within is not None else None

        def consume(segment: Segment) -> None:
            steps = segment.first_step + np.arange(len(segment.logits))
            allowed = None
            if within is not None:
                allowed = mask_of(within, steps * options.stride + options.stride // 2)
            caller.add(segment.first_step, segment.logits[:, self.columns], allowed)
            if track is not None:
                track.write(segment.first_step, segment.logits[:, self.track_columns])

        wanted = None if within is None or track is not None else _touches(within)
        done = 0
        with Writer(consume) as writer:
            for segment in scan_contig(
                self.scorer, self.genome, chrom, batch_size=self.batch_size, wanted=wanted
            ):
                writer.put(segment)
                reached = min(size, (segment.first_step + len(segment.logits)) * options.stride)
                bar.update(reached - done, chrom)
                done = reached
        bar.update(size - done, chrom)
        calls = caller.finish()
        start, end = caller.bases(calls)
        temporary = _shard(work, index).with_suffix(".tmp")
        with open(temporary, "wb") as file:
            np.savez(file, start=start, end=end, **vars(calls))
        temporary.rename(_shard(work, index))

    def any_finished(self, work: Path) -> bool:
        """Whether a contig is finished, so that there is something to resume."""
        return any(_shard(work, index).exists() for index in range(len(self.chroms)))

    def assemble(self, output: OutputFolder, started: float) -> list[dict]:
        """Make the result of the shards and publish it; returns the summary."""
        result = output.work / "result"
        (result / "peaks").mkdir(parents=True, exist_ok=True)
        shards = [_load_shard(output.work, index) for index in range(len(self.chroms))]
        summary = []
        for column, (label, name) in enumerate(zip(self.labels, self.names, strict=True)):
            rows = []
            with open(result / "peaks" / f"{name}.narrowPeak", "w") as file:
                for chrom, (calls, start, end) in zip(self.chroms, shards, strict=True):
                    keep = calls.label == column
                    part = calls.take(keep), start[keep], end[keep]
                    file.writelines(narrowpeak_lines(chrom, label, *part, self.options.stride))
                    rows.append((chrom, int(keep.sum()), int((part[2] - part[1]).sum())))
            total = ("all", sum(n for _, n, _ in rows), sum(bases for *_, bases in rows))
            summary += [self._summary_row(label, *row) for row in [total, *rows]]
        if self.tracks:
            self._write_tracks(output.work, result)
        write_summary(result / "summary.tsv", summary)
        record = {
            "versions": run_record.versions(),
            "device": run_record.device_words(self.scorer.plan.device),
            "threads": torch.get_num_threads(),
            "skipped_contigs": self.skipped,
            "seconds": round(time.monotonic() - started, 1),
        }
        output.publish(result, record)
        return summary

    def _write_tracks(self, work: Path, result: Path) -> None:
        (result / "tracks").mkdir(exist_ok=True)
        sizes = {chrom: self.genome.sizes[chrom] for chrom in self.chroms}
        stride = self.options.stride
        shards = [
            (chrom, TrackShard(_track_shard(work, i), len(self.tracks), n_steps(size, stride)))
            for i, (chrom, size) in enumerate(sizes.items())
        ]
        for track, name in enumerate(file_names(self.tracks)):
            write_bigwig(result / "tracks" / f"{name}.bw", sizes, shards, track, stride)

    def _summary_row(self, label: str, chrom: str, calls: int, bases: int) -> dict:
        threshold = self.model.thresholds[label]
        return {
            "label": label,
            "chrom": chrom,
            "threshold": threshold.threshold,
            "expected_precision": threshold.precision,
            "calls": calls,
            "bases": bases,
        }


def _chroms(genome: Genome, wanted: str | list[str] | None) -> tuple[list[str], list[str]]:
    """Contigs to scan, in file order, and those left out unasked."""
    if wanted is None:
        return split_chroms(genome.sizes)
    if wanted in ("all", ["all"]):
        return list(genome.sizes), []
    names = [wanted] if isinstance(wanted, str) else list(wanted)
    if not names:
        raise TcnfastError("--chroms: names no contig")
    match_chroms(names, genome.sizes, "--chroms")
    return [chrom for chrom in genome.sizes if chrom in set(names)], []


def _labels(model: TCN, wanted: str | list[str], flag: str) -> list[str]:
    if wanted in ("all", ["all"]):
        return list(model.labels)
    names = [wanted] if isinstance(wanted, str) else list(wanted)
    if not names:
        raise TcnfastError(f"{flag}: names no label")
    for name in names:
        if name not in model.labels:
            raise TcnfastError(f"{flag}: the model has no label {name!r}; see tcnfast info")
    return [label for label in model.labels if label in set(names)]


def _touches(within: Intervals) -> Callable[[int, int], bool]:
    """Whether [start, end) holds a base of sorted intervals."""
    reach = np.maximum.accumulate(within.end) if len(within) else within.end

    def wanted(start: int, end: int) -> bool:
        before = int(np.searchsorted(within.start, end))
        return before > 0 and reach[before - 1] > start

    return wanted


def _shard(work: Path, index: int) -> Path:
    return work / f"calls.{index}.npz"


def _track_shard(work: Path, index: int) -> Path:
    return work / f"tracks.{index}.f16"


def _load_shard(work: Path, index: int) -> tuple[Runs, np.ndarray, np.ndarray]:
    with np.load(_shard(work, index)) as arrays:
        columns = {name: arrays[name] for name in arrays.files}
    start, end = columns.pop("start"), columns.pop("end")
    return Runs(**columns), start, end


def write_summary(path: Path, rows: list[dict]) -> None:
    lines = ["\t".join(SUMMARY), *("\t".join(str(row[name]) for name in SUMMARY) for row in rows)]
    path.write_text("\n".join(lines) + "\n")


def read_summary(path: Path) -> list[dict]:
    """Rows of summary.tsv as dicts."""
    rows = [line.split("\t") for line in path.read_text().splitlines()[1:]]
    return [
        {name: kind(text) for (name, kind), text in zip(SUMMARY.items(), row, strict=True)}
        for row in rows
    ]
