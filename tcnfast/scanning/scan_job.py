"""One scan: its contigs and labels, the shards of finished contigs, the output made of them."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from .. import run_record
from ..errors import TcnfastError
from ..genome import Genome, match_chroms, split_chroms
from ..intervals import Intervals, mask_of, read_bed
from ..model import TCN
from ..network.thresholds import choose_cutoffs, parse_cutoff
from ..outputs import OutputFolder, file_hash
from ..progress import Progress
from ..scanner import Scorer, Segment, Writer, scan_contig, segment_length
from ..tracks import TrackShard, file_names, logit
from .narrowpeak import narrowpeak_lines
from .peaks import PeakCaller, run_bases
from .track_bigwig import Track
from .track_processes import write_bigwigs

log = logging.getLogger(__name__)

BIGWIG_BASES = 2**32 - 1  # of a contig
PROBE_BASES = 2**18  # scored twice to tell how long a scan will take
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
    track_floor: float = 0.01
    within: str | Path | None = None
    min_length: int = 64
    max_gap: int = 64
    cutoff: str = "f1"

    def __post_init__(self) -> None:
        object.__setattr__(self, "cutoff", parse_cutoff(self.cutoff))
        if self.min_length < 1:
            raise TcnfastError(f"min-length {self.min_length}: must be at least 1")
        if self.max_gap < 0:
            raise TcnfastError(f"max-gap {self.max_gap}: must be at least 0")
        if not 0 <= self.track_floor < 1:
            raise TcnfastError(f"track-floor {self.track_floor}: must be at least 0 and below 1")


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
        wanted = options.tracks
        self.tracks = [] if wanted is None else _labels(model, wanted, "--tracks")
        if self.tracks:
            _check_lengths({chrom: genome.sizes[chrom] for chrom in self.chroms})
        self.within = read_bed(options.within, genome.sizes) if options.within else None
        self.rules = choose_cutoffs(model.thresholds, self.model.labels, options.cutoff)
        self.uncalled = [label for label in self.labels if self.rules[label] is None]
        if len(self.uncalled) == len(self.labels):
            raise TcnfastError(
                f"--cutoff {options.cutoff}: no label reached it on validation; give another"
            )
        # over all labels of the model, NaN where not asked for: nothing is copied out of the logits
        rules = [self.rules[label] for label in model.labels]
        thresholds = np.array([np.nan if rule is None else rule.threshold for rule in rules])
        called, tracked = (np.isin(model.labels, names) for names in (self.labels, self.tracks))
        self.cutoffs = np.where(called, logit(thresholds), np.nan)
        # every call is to be seen on its track
        floors = logit(np.fmin(options.track_floor, thresholds))
        self.floors = np.where(tracked, floors, np.nan)

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
            "track_floor": options.track_floor,
            "cutoff": options.cutoff,
            "within": file_hash(options.within) if options.within else None,
            "stride": options.stride,
            "rc": options.rc,
            "min_length": options.min_length,
            "max_gap": options.max_gap,
            "device": plan.device.type,
            "backend": plan.backend,
            "instructions": plan.instructions,
            "precision": plan.precision,
        }

    def announce(self, name: str) -> None:
        """First lines: what runs, how fast, how long."""
        plan = self.scorer.plan
        where = run_record.device_words(plan.device)
        log.info("model %s: %d labels, a score sees %d bp", name, len(self.model.labels),
                 plan.receptive_field)  # fmt: skip
        backend = plan.backend + (f" ({plan.instructions})" if plan.instructions else "")
        log.info("device %s, backend %s, precision %s", where, backend, plan.precision)
        for reason in plan.passed_over:
            log.warning("WARNING: %s", reason)
        unused = run_record.unused_gpu(plan.device)
        if unused:
            log.warning("WARNING: %s", unused)
        if self.uncalled:
            log.warning(
                "WARNING: no calls of %d of %d labels, which never reached %s on validation: %s",
                len(self.uncalled), len(self.labels), self.options.cutoff, ", ".join(self.uncalled),
            )  # fmt: skip
        elif all(np.isnan(self.rules[label].precision) for label in self.labels):
            log.info("cutoff %s: no precision to expect was measured", self.options.cutoff)
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
        steps = max(1, min(segment_length(plan), PROBE_BASES) // plan.stride)
        shape = (self.batch_size, plan.receptive_field + (steps - 1) * plan.stride)
        codes = np.random.default_rng(0).integers(0, 4, shape, np.uint8)
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
        track = TrackShard(_track_shard(work, index), self.floors) if self.tracks else None
        within = self.within.on(chrom) if self.within is not None else None

        def consume(segment: Segment) -> None:
            steps = segment.first_step + np.arange(len(segment.logits))
            allowed = None
            if within is not None:
                allowed = mask_of(within, steps * options.stride + options.stride // 2)
            caller.add(segment.first_step, segment.logits, allowed)
            if track is not None:
                track.add(segment.first_step, segment.logits)

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
        if track is not None:
            track.finish()
        temporary = _shard(work, index).with_suffix(".tmp")
        with open(temporary, "wb") as file:
            np.save(file, caller.finish())
        temporary.rename(_shard(work, index))

    def any_finished(self, work: Path) -> bool:
        """Whether a contig is finished, so that there is something to resume."""
        return any(_shard(work, index).exists() for index in range(len(self.chroms)))

    def assemble(self, output: OutputFolder, started: float) -> list[dict]:
        """Make the result of the shards and publish it; returns the summary."""
        result = output.work / "result"
        shutil.rmtree(result, ignore_errors=True)
        result.mkdir()
        summary = self._write_calls(output.work, result / "peaks")
        if self.tracks:
            self._write_tracks(output.work, result / "tracks")
        write_summary(result / "summary.tsv", summary)
        record = {
            "versions": run_record.versions(),
            "device": run_record.device_words(self.scorer.plan.device),
            "threads": torch.get_num_threads(),
            "skipped_contigs": self.skipped,
            "uncalled_labels": self.uncalled,
            "seconds": round(time.monotonic() - started, 1),
        }
        output.publish(result, record)
        return summary

    def _write_calls(self, work: Path, folder: Path) -> list[dict]:
        """Contig after contig, so that no more than the calls of one are in memory."""
        folder.mkdir()
        paths = [folder / f"{name}.narrowPeak" for name in self.names]
        for path, label in zip(paths, self.labels, strict=True):
            if label not in self.uncalled:
                path.touch()
        columns = [self.model.labels.index(label) for label in self.labels]
        stride, counts = self.options.stride, np.zeros((len(self.labels), len(self.chroms), 2), int)
        for index, chrom in enumerate(self.chroms):
            calls, size = np.load(_shard(work, index)), self.genome.sizes[chrom]
            firsts = np.searchsorted(calls["label"], columns)
            ends = np.searchsorted(calls["label"], columns, side="right")
            for row in np.flatnonzero(ends > firsts):
                part = calls[firsts[row] : ends[row]]
                start, end = run_bases(part, stride, size)
                counts[row, index] = len(part), (end - start).sum()
                with open(paths[row], "ab") as file:
                    file.write(narrowpeak_lines(chrom, self.labels[row], part, stride, size))
        summary = []
        for label, per_chrom in zip(self.labels, counts, strict=True):
            rows = [("all", *per_chrom.sum(0).tolist())]
            rows += [(x, *n) for x, n in zip(self.chroms, per_chrom.tolist(), strict=True)]
            summary += [self._summary_row(label, *row) for row in rows]
        return summary

    def _write_tracks(self, work: Path, folder: Path) -> None:
        folder.mkdir()
        sizes = {chrom: self.genome.sizes[chrom] for chrom in self.chroms}
        shards = [str(_track_shard(work, index)) for index in range(len(sizes))]
        labels, stride = len(self.floors), self.options.stride
        columns = [self.model.labels.index(label) for label in self.tracks]
        paths = [str(folder / f"{name}.bw") for name in file_names(self.tracks)]
        tracks = [
            Track(path, sizes, shards, labels, column, stride)
            for path, column in zip(paths, columns, strict=True)
        ]
        write_bigwigs(tracks, torch.get_num_threads())

    def _summary_row(self, label: str, chrom: str, calls: int, bases: int) -> dict:
        rule = self.rules[label]
        return {
            "label": label,
            "chrom": chrom,
            "threshold": rule.threshold if rule else float("nan"),
            "expected_precision": rule.precision if rule else float("nan"),
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


def _check_lengths(sizes: dict[str, int]) -> None:
    for chrom, size in sizes.items():
        if size > BIGWIG_BASES:
            raise TcnfastError(
                f"--tracks: {chrom} has {size} bases, a bigWig at most {BIGWIG_BASES}"
            )


def _touches(within: Intervals) -> Callable[[int, int], bool]:
    """Whether [start, end) holds a base of sorted intervals."""
    reach = np.maximum.accumulate(within.end) if len(within) else within.end

    def wanted(start: int, end: int) -> bool:
        before = int(np.searchsorted(within.start, end))
        return before > 0 and reach[before - 1] > start

    return wanted


def _shard(work: Path, index: int) -> Path:
    return work / f"calls.{index}.npy"


def _track_shard(work: Path, index: int) -> Path:
    return work / f"tracks.{index}.bin"


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
