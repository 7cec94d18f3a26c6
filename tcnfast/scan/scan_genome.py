"""A scan with a model: what is asked, checked before anything is written; its stretches scanned by
one device or several, their calls written beside; and the output published."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import torch

from ..base import run_record
from ..base.errors import TcnfastError
from ..base.file_names import file_names
from ..base.node_files import fetched_file, fetched_folder
from ..base.options import Run, setting
from ..base.progress import Progress
from ..base.run_folder import RunFolder
from ..base.store import is_url
from ..base.tables import write_rows
from ..genome.genome import Genome
from ..model.ensemble import Ensemble
from ..model.tcn import TCN
from . import ZARR_KINDS, ScanOptions
from .announce import announce
from .browser_files import labels_to_show, write_browser_files
from .device_engine import DeviceEngine
from .exchange import Exchange, send
from .expectation import COLUMNS
from .job import run_job
from .narrowpeak import ContigQueue, PeakFiles, PeakProcess
from .page import write_page
from .pieces import Stretch
from .pipeline import Pipeline
from .ray_engine import RayEngine, threads_of
from .scan_folder import PERCENTILES, SUMMARY, ZARR_FOLDER, ScanFolder, bigwig_file, peaks_file
from .scan_job import ScanJob, open_model
from .shard_folder import publish_shard, take_back
from .stages import Stages
from .stretch_worker import ClusterStart, Start
from .stretch_writer import ScanSpec, scan_stretches
from .track_bigwig import Track, write_bigwigs
from .ucsc_hub import BIGBEDS, write_bigbeds, write_hub
from .work_pool import WorkPool

WORTH_A_PROCESS = 10**8  # bases: with fewer, all calls are written while one would start


def scan_genome(
    genome: Sequence[str | Path],
    model: TCN | Ensemble | str | Path,
    out: str | Path,
    options: ScanOptions,
    run: Run,
) -> ScanFolder:
    """See :func:`tcnfast.scan`."""

    _check_store(options, run)
    urls: dict[Path, str] = {}
    if run.cluster is not None:  # without one, a URL is refused where it is opened
        paths = [fetched_file(path) if is_url(path) else Path(path) for path in genome]
        pairs = zip(paths, genome, strict=True)
        urls = {path: str(url) for path, url in pairs if is_url(url)}
        genome, model = paths, fetched_folder(model) if is_url(model) else model

    def make(opened: Genome) -> ScanJob:
        known = open_model(model, options.cutoff)
        job = ScanJob(opened, known.model, options, run, known.hash, known.name, known.source)
        job.urls = urls
        return job

    return run_job(genome, out, run, make, _call_peaks)


def _check_store(options: ScanOptions, run: Run) -> None:
    if run.store is not None and options.tracks is not None and options.track_format in ZARR_KINDS:
        raise TcnfastError(
            f"{setting('track_format', options.track_format)}: such tracks are written in place, "
            f"into a folder that all nodes see; with {setting('store')} there are bigWigs"
        )


def _call_peaks(job: ScanJob, folder: RunFolder, stages: Stages) -> None:
    pipeline = _pipeline(job, stages)
    announce(job, pipeline)
    stages.clear()
    if job.run.shard is not None:
        begin_tracks(job, folder)
        take_back(job, folder)
        scan_mine(job, folder, pipeline, stages)
        publish_shard(job, folder, stages)
        return
    write_calls(job, folder, pipeline, stages)


def write_calls(job: ScanJob, folder: RunFolder, pipeline: Pipeline | None, stages: Stages) -> None:
    """Scan what is not finished and write the output."""
    counts = run_stretches(job, folder, pipeline, stages)
    folder.settle()
    _publish(job, folder, counts, stages)


def _pipeline(job: ScanJob, stages: Stages) -> Pipeline | None:
    """That of this process; None where others work, which have one each."""
    if len(job.devices) > 1 or job.run.cluster is not None:
        return None
    size = job.run.batch_size
    return Pipeline(job.scorer, job.laid, job.wanted, batch_size=size, stages=stages)


def run_stretches(
    job: ScanJob, folder: RunFolder, pipeline: Pipeline | None, stages: Stages
) -> np.ndarray:
    """Scan every stretch that is not finished, and write the calls of contigs as they become whole:
    the number of calls and their bases, int64 (labels, contigs, 2), or (labels, 1, 2) of all."""
    begin_tracks(job, folder)
    shutil.rmtree(folder.result)
    peaks_file(folder.result, "").parent.mkdir(parents=True)
    with closing(_peaks(job, folder.result)) as peaks:
        queue = ContigQueue(peaks, job.stretches, job.laid, folder.work)
        scan_mine(job, folder, pipeline, stages, queue.finished, peaks.check)
        counts = peaks.finish()
        stages.add("write", peaks.seconds)
        return counts


def scan_mine(
    job: ScanJob,
    folder: RunFolder,
    pipeline: Pipeline | None,
    stages: Stages,
    whole: Callable[[Stretch], object] = lambda _: None,
    check: Callable[[], object] = lambda: None,
) -> None:
    """Scan the stretches of this run that are not finished; ``whole`` is called with each that is
    or becomes so, and ``check`` now and then: what it raises ends the scan."""
    exchange = None
    if job.run.cluster is not None:
        folder.settle()  # a worker that comes back late must know whether the work is its own
        exchange = Exchange.of(folder.work, job.run.store)
        exchange.take_up()
    with Progress(job.bases_of_mine, "b", job.run.progress, scale=True) as bar:
        todo = job.unfinished(folder.work, bar, whole)

        def finished(stretch: Stretch, *_: object) -> None:
            job.settle(folder)
            if exchange is not None:
                bar.update(stretch.bases(job.stride, job.laid.sizes[stretch.chrom]), stretch.chrom)
                check()
            whole(stretch)

        def report(bases: int, chrom: str) -> None:
            check()
            bar.update(bases, chrom)

        spec = job.spec(folder.work)
        if pipeline is not None:
            scan_stretches(pipeline, spec, todo, report, finished)
        elif todo:
            _pool(job, spec, todo, exchange).run(report, finished, stages)
    if exchange is not None:
        exchange.done()


def _pool(job: ScanJob, spec: ScanSpec, todo: list[Stretch], exchange: Exchange | None) -> WorkPool:
    """The workers that are asked for, and what they have to do."""
    run = job.run
    if exchange is None:
        return WorkPool(DeviceEngine(_starts(job, spec)), todo, job.ran)
    own = Run(device=run.device, precision=job.ran.precision, backend=job.ran.backend)
    start = Start(spec, job.laid, job.model, own, threads_of(run))
    files = send(job.inputs.paths, job.hashes.result(), job.urls, run.store)
    told = ClusterStart.of(start, files, exchange)
    engine = RayEngine(told, run.workers, int(job.ran.device == "cuda"))
    return WorkPool(engine, todo, job.ran, run.time_limit)


def begin_tracks(job: ScanJob, folder: RunFolder) -> None:
    """The folder that dense tracks are written to, if there are any; one that was moved to the
    result when a run was stopped is kept."""
    tracks = folder.work / ZARR_FOLDER
    if (folder.result / ZARR_FOLDER).exists():
        (folder.result / ZARR_FOLDER).rename(tracks)
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
    devices, ran, starts = job.devices, job.ran, {}
    threads = max(1, torch.get_num_threads() // len(devices))
    for index, device in enumerate(devices):
        several = devices.count(device) > 1
        name = f"{device} ({index + 1} of {len(devices)})" if several else device
        run = Run(device=device, precision=ran.precision, backend=ran.backend)
        starts[f"device {name}"] = Start(spec, job.laid, job.model, run, threads)
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
    record["one_pass"] = job.ran.symmetric
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
