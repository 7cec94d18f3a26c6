"""A scan with a model: what is asked, checked before anything is written; its stretches scanned by
one device or several, their calls written beside; and the output published."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import torch

from ..base import run_record
from ..base.errors import TcnfastError
from ..base.file_names import file_names
from ..base.logits import logit
from ..base.options import Run, chosen_labels, setting
from ..base.progress import Progress
from ..base.run_folder import RunFolder
from ..base.tables import write_rows
from ..engines.backend import choose_device
from ..genome.genome import Genome
from ..model.cutoffs import choose_cutoffs
from ..model.ensemble import Ensemble
from ..model.load_model import load_model
from ..model.model_folder import ModelFolder
from ..model.tcn import TCN
from . import ZARR_KINDS, ScanOptions
from .announce import announce
from .browser_files import labels_to_show, write_browser_files
from .device_pool import Start, scan_on_devices
from .expectation import COLUMNS, Expectation
from .job import Job, run_job
from .narrowpeak import ContigQueue, PeakFiles, PeakProcess
from .page import write_page
from .pieces import Stretch, Wanted
from .pipeline import Pipeline, Scorer
from .scan_folder import PERCENTILES, SUMMARY, ZARR_FOLDER, ScanFolder, bigwig_file, peaks_file
from .stages import Stages
from .stretch_writer import ScanSpec, scan_stretches
from .track_bigwig import Track, write_bigwigs
from .ucsc_hub import BIGBEDS, assembly_of, check_hub, write_bigbeds, write_hub

BIGWIG_BASES = 2**32 - 1  # of a contig
WORTH_A_PROCESS = 10**8  # bases: with fewer, all calls are written while one would start


def scan_genome(
    genome: Sequence[str | Path],
    model: TCN | Ensemble | str | Path,
    out: str | Path,
    options: ScanOptions,
    run: Run,
) -> ScanFolder:
    """See :func:`tcnfast.scan`."""

    def make(opened: Genome) -> ScanJob:
        loaded, name, model_hash = _open_model(model, options.cutoff)
        return ScanJob(opened, loaded, options, run, model_hash, name)

    return run_job(genome, out, run, make, _call_peaks)


def _call_peaks(job: ScanJob, folder: RunFolder, stages: Stages) -> None:
    pipeline = _pipeline(job, stages)
    announce(job, pipeline)
    stages.clear()
    counts = run_stretches(job, folder, pipeline, stages)
    folder.settle()
    _publish(job, folder, counts, stages)


def _open_model(model: TCN | Ensemble | str | Path, cutoff: str) -> tuple[TCN | Ensemble, str, str]:
    """A model with a name for it and its hash."""
    name, folder = "given", None
    if not isinstance(model, (TCN, Ensemble)):
        folder = ModelFolder(model)
        model, name = load_model(folder), folder.name
    if model.thresholds is None and cutoff in ("best", "f1"):
        raise TcnfastError(
            f"model {folder.path if folder else ''}: has no thresholds.tsv, so it cannot call peaks"
        )
    return model, name, folder.hash if folder else run_record.state_hash(model)


class ScanJob(Job):
    """A job with a model ready to run.

    ``name`` and ``model_hash`` are the model's. ``devices``: names; with several, a process each
    scans, and ``scorer`` is of the first.
    """

    input_name = "genome"

    def __init__(
        self,
        genome: Genome,
        model: TCN | Ensemble,
        options: ScanOptions,
        run: Run,
        model_hash: str = "",
        name: str = "given",
    ) -> None:
        self.model, self.model_hash, self.name = model, model_hash, name
        self.devices = chosen_devices(run)
        for device in self.devices:
            choose_device(device)  # raises where it is not here
        super().__init__(genome, options, run, options.stride, _gap(model, options))
        self.scorer = Scorer(
            model,
            options.strand,
            stride=options.stride,
            device=self.devices[0],
            precision=run.precision,
            backend=run.backend,
        )
        self.device = self.scorer.plan.device
        self.labels, self.tracks = self._asked(model.labels), []
        self.left_out = [label for label in model.labels if label not in self.labels]
        if options.targets is not None:
            self.labels, self.left_out = chosen_labels(model.labels, options.targets, "targets"), []
        if not self.labels:
            raise TcnfastError(
                f"model {name}: has no label of grade A to C, and others are called where they are "
                f"named: {setting('targets', 'all')} calls all"
            )
        if options.tracks is not None:
            self.tracks = chosen_labels(model.labels, options.tracks, "tracks")
        self.page_labels = []
        if options.page_labels is not None:
            self.page_labels = chosen_labels(self.labels, options.page_labels, "page_labels")
        self.names = file_names(self.labels)
        if self.tracks and options.track_format == "bigwig":
            check_bigwig_lengths(self.sizes)
        self.assembly = None  # UCSC's name of it, for a hub
        if options.hub is not None:
            check_hub(self.sizes)
            self.assembly = assembly_of(options.hub, self.sizes.values())
        about = model.calls, self.within is not None
        self.rules = choose_cutoffs(model.thresholds, model.labels, options.cutoff, *about)
        self.uncalled = [label for label in self.labels if self.rules[label] is None]
        if len(self.uncalled) == len(self.labels):
            raise TcnfastError(
                f"{setting('cutoff', options.cutoff)}: no label reached it on validation; give "
                "another"
            )
        self.cutoffs, self.floors = self._logits()
        verdict = model.home.judge(self.sizes, genome.codes) if model.home else None
        self.expectation = Expectation(model, self.rules, options, verdict)

    def _asked(self, labels: list[str]) -> list[str]:
        """Labels that are called unasked: those of grade A to C, unless a precision decides."""
        calls = self.model.calls
        if calls is None or self.options.cutoff.startswith("precision="):
            return list(labels)
        return [label for label in labels if calls.trusted(label)]

    def _logits(self) -> tuple[np.ndarray, np.ndarray]:
        """Cutoffs and floors over all labels of the model, NaN where not asked for: nothing is
        copied out of the logits."""
        labels = self.model.labels
        rules = [self.rules[label] for label in labels]
        thresholds = np.array([np.nan if rule is None else rule.threshold for rule in rules])
        called, tracked = (np.isin(labels, names) for names in (self.labels, self.tracks))
        # every call is to be seen on its track
        floors = logit(np.fmin(self.options.track_floor, thresholds))
        return np.where(called, logit(thresholds), np.nan), np.where(tracked, floors, np.nan)

    def own_key(self) -> dict:
        plan, options = self.scorer.plan, self.options
        return {
            "model": self.model_hash,
            "targets": self.labels,
            "tracks": self.tracks,
            "track_floor": options.track_floor,
            "track_format": options.track_format,
            "cutoff": options.cutoff,
            "stride": options.stride,
            "strand": options.strand,
            "min_length": options.min_length,
            "max_gap": options.max_gap,
            "no_page": options.no_page,
            "page_labels": list(self.page_labels),
            "hub": options.hub,
            "device": plan.device.type,
            "backend": plan.backend,
            "instructions": plan.instructions,
            "precision": plan.precision,
        }

    @property
    def wanted(self) -> Wanted:
        """What is needed of the logits."""
        return self.spec(Path()).wanted

    def spec(self, work: Path) -> ScanSpec:
        """What scanning a stretch takes; ``work``: where its shards go."""
        return ScanSpec(
            options=self.options,
            batch_size=self.run.batch_size,
            sizes=self.laid.sizes,
            cutoffs=self.cutoffs,
            floors=self.floors,
            within=self.laid.within(self.within),
            work=work.absolute(),
            inputs=self.inputs,
        )

    @property
    def runs(self) -> tuple[str, str, str | None]:
        """Backend, precision and instructions."""
        plan = self.scorer.plan
        return plan.backend, plan.precision, plan.instructions


def _gap(model: TCN | Ensemble, options: ScanOptions) -> int:
    """Bases of N between small contigs: what a score sees on a side, and what joins no calls. With
    tracks every contig is scanned by itself."""
    if options.tracks is not None:
        return 0
    sees = max(member.config.receptive_field for member in model.members)
    return max(sees // 2, model.config.label_bin // 2, options.max_gap) + options.stride


def chosen_devices(run: Run) -> list[str]:
    """``devices`` as names, a process each; a bare number is a GPU. The one ``device`` if None."""
    if run.devices is None:
        return [run.device]
    names = [f"cuda:{name}" if name.isdigit() else name for name in run.devices]
    if run.device != "auto":
        raise TcnfastError(f"{setting('device')} and {setting('devices')}: give one of the two")
    if not names or "auto" in names:
        raise TcnfastError(
            f"{setting('devices')}: name each device, as in cuda:0,cuda:1 or cpu,cpu"
        )
    gpus = [name for name in names if name.startswith("cuda")]
    if len(set(gpus)) < len(gpus) or (gpus and len(gpus) < len(names)):
        given = setting("devices", ",".join(names))
        raise TcnfastError(f"{given}: each GPU once, and not together with a processor")
    return names


def check_bigwig_lengths(sizes: dict[str, int]) -> None:
    """Raise TcnfastError for a contig that is too long for a bigWig."""
    for chrom, size in sizes.items():
        if size > BIGWIG_BASES:
            raise TcnfastError(
                f"{setting('tracks')}: {chrom} has {size} bases, a bigWig at most {BIGWIG_BASES}; "
                f"{setting('track_format', 'zarr')} has no such limit"
            )


def _pipeline(job: ScanJob, stages: Stages) -> Pipeline | None:
    """That of this process; None with several devices, which have one each."""
    if len(job.devices) > 1:
        return None
    size = job.run.batch_size
    return Pipeline(job.scorer, job.laid, job.wanted, batch_size=size, stages=stages)


def run_stretches(
    job: ScanJob, folder: RunFolder, pipeline: Pipeline | None, stages: Stages
) -> np.ndarray:
    """Scan every stretch that is not finished, and write the calls of contigs as they become whole:
    the number of calls and their bases, int64 (labels, contigs, 2), or (labels, 1, 2) of all."""
    _begin_result(job, folder)
    with closing(_peaks(job, folder.result)) as peaks:
        queue = ContigQueue(peaks, job.stretches, job.laid, folder.work)
        with Progress(job.laid.bases, "b", job.run.progress, scale=True) as bar:
            todo = job.unfinished(folder.work, bar, queue.finished)

            def finished(stretch: Stretch) -> None:
                job.settle(folder)
                queue.finished(stretch)

            def report(bases: int, chrom: str) -> None:
                peaks.check()  # nothing is scanned for a writer that is gone
                bar.update(bases, chrom)

            spec = job.spec(folder.work)
            if pipeline is not None:
                scan_stretches(pipeline, spec, todo, report, finished)
            else:
                starts, runs = _starts(job, spec), job.runs
                scan_on_devices(starts, runs, todo, report, finished, stages)
        counts = peaks.finish()
        stages.add("write", peaks.seconds)
        return counts


def _begin_result(job: ScanJob, folder: RunFolder) -> None:
    """An empty result; dense tracks that were moved there when a run was stopped are kept."""
    result, tracks = folder.result, folder.work / ZARR_FOLDER
    if (result / ZARR_FOLDER).exists():
        (result / ZARR_FOLDER).rename(tracks)
    shutil.rmtree(result)
    peaks_file(result, "").parent.mkdir(parents=True)
    if job.spec(folder.work).dense_tracks and not tracks.exists():
        from .zarr_tracks import ZarrTracks

        facts = {"model_sha256": job.model_hash, "tcnfast": run_record.version()}
        temporary = tracks.with_suffix(".tmp")
        shutil.rmtree(temporary, ignore_errors=True)
        kind = ZARR_KINDS[job.options.track_format]
        ZarrTracks.create(temporary, job.sizes, job.tracks, job.options.stride, kind, facts)
        temporary.rename(tracks)


def _peaks(job: ScanJob, result: Path) -> PeakFiles | PeakProcess:
    files = []
    for label, name in zip(job.labels, job.names, strict=True):
        path = None if label in job.uncalled else peaks_file(result, name)
        files.append((label, job.model.labels.index(label), path))
    return (PeakProcess if job.bases >= WORTH_A_PROCESS else PeakFiles)(
        files, job.options, job.per_contig
    )


def _starts(job: ScanJob, spec: ScanSpec) -> dict[str, Start]:
    """What the process of each device is told; those of a processor share its threads."""
    devices, plan, starts = job.devices, job.scorer.plan, {}
    threads = max(1, torch.get_num_threads() // len(devices))
    for index, device in enumerate(devices):
        several = devices.count(device) > 1
        name = f"{device} ({index + 1} of {len(devices)})" if several else device
        run = Run(device=device, precision=plan.precision, backend=plan.backend)
        starts[name] = Start(spec, job.laid, job.model, run, threads)
    return starts


def _publish(job: ScanJob, folder: RunFolder, counts: np.ndarray, stages: Stages) -> None:
    """Write tracks and the summary, and make the result the output; ``counts``: calls and bases,
    int (labels, contigs, 2)."""
    result, dense = folder.result, folder.work / ZARR_FOLDER
    with stages.timed("write"):
        if job.tracks and not dense.exists():
            _write_bigwigs(job, folder)
        if job.options.hub is not None:
            peaks = {name: peaks_file(result, name) for name in job.names}
            write_bigbeds(peaks, result / BIGBEDS, job.sizes)
        write_rows(result / SUMMARY, COLUMNS, _summary_rows(job, counts))
        job.expectation.write_percentiles(result / PERCENTILES, job.labels)
    job.inputs.check()
    if dense.exists():
        dense.rename(result / ZARR_FOLDER)
    record = {"devices": job.devices, "threads": torch.get_num_threads()}
    record["one_pass"] = job.scorer.plan.symmetric
    record |= {"model": job.name, "uncalled_labels": job.uncalled, "left_out_labels": job.left_out}
    expectation = job.expectation
    record |= {"expected_precision_of": expectation.words, "warnings": expectation.warnings}

    def finish(result: Path) -> None:
        scan = ScanFolder(result)
        write_browser_files(scan, folder.path, job.genome.paths, job.sizes)
        if job.options.hub is not None:
            write_hub(scan, job.assembly, labels_to_show(scan))
        if not job.options.no_page:
            write_page(scan, job.sizes, job.page_labels)

    job.publish(folder, stages, record, finish)


def _write_bigwigs(job: ScanJob, folder: RunFolder) -> None:
    shards: list[list[str]] = [[] for _ in job.chroms]
    for stretch in job.stretches:
        shards[stretch.contig].append(str(stretch.track_file(folder.work)))
    paths = [bigwig_file(folder.result, name) for name in file_names(job.tracks)]
    paths[0].parent.mkdir()
    labels = job.model.labels
    tracks = [
        Track(str(path), job.sizes, shards, len(labels), labels.index(label), job.options.stride)
        for path, label in zip(paths, job.tracks, strict=True)
    ]
    write_bigwigs(tracks, torch.get_num_threads())


def _summary_rows(job: ScanJob, counts: np.ndarray) -> list[tuple]:
    """Of each label in all and on each contig."""
    rows = []
    for label, per_chrom in zip(job.labels, counts, strict=True):
        each = []
        if job.per_contig:
            each = list(zip(job.chroms, per_chrom.tolist(), strict=True))
        rows += job.expectation.rows(label, [("all", per_chrom.sum(0).tolist()), *each])
    return rows
