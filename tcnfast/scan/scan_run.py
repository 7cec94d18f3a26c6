"""A scan carried out: its stretches by one device or several, calls written beside."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import torch

from ..base import run_record
from ..base.progress import Progress
from .assembly import begin_result, result_folder
from .device_pool import scan_on_devices
from .device_process import Start
from .execution import ContigQueue, scan_stretches
from .peak_files import PeakFiles, PeakFormat, PeakProcess
from .scan_folder import ZARR_FOLDER, peaks_file
from .scan_job import ScanJob
from .scanner import Pipeline
from .stages import Stages
from .stretch_writer import ZARR_KINDS, Task
from .stretches import Stretch

WORTH_A_PROCESS = 10**8  # bases: with fewer, all calls are written while one would start


def run_stretches(
    job: ScanJob,
    work: Path,
    pipeline: Pipeline | None,
    stages: Stages,
    progress: bool,
    after_stretch: Callable[[], object],
) -> np.ndarray:
    """Scan every stretch that is not finished, and write the calls of contigs as they become whole:
    the number of calls and their bases, int64 (labels, contigs, 2).

    ``pipeline``: of this process, None with several devices. ``after_stretch`` is called by
    whatever thread finished one.
    """
    begin_result(work)
    _begin_dense_tracks(job, work)
    with closing(_peaks(job, work)) as peaks:
        queue = ContigQueue(peaks, job.stretches, job.sizes, work)
        with Progress(job.bases, "b", progress, scale=True) as bar:
            todo = _unfinished(job, work, queue, bar)

            def finished(stretch: Stretch) -> None:
                after_stretch()
                queue.finished(stretch)

            task = job.task(work)
            if pipeline is not None:
                scan_stretches(pipeline, task, todo, bar.update, finished)
            else:
                starts, runs = _starts(job, task), job.runs
                scan_on_devices(starts, runs, todo, bar.update, finished, stages)
        counts = peaks.finish()
        stages.add("write", peaks.seconds)
        return counts


def _unfinished(job: ScanJob, work: Path, queue: ContigQueue, bar: Progress) -> list[Stretch]:
    left = []
    for stretch in job.stretches:
        if stretch.finished(work):
            bases = stretch.bases(job.options.stride, job.sizes[stretch.chrom])
            bar.update(bases, f"{stretch.chrom} done before")
            queue.finished(stretch)
        else:
            left.append(stretch)
    return left


def _begin_dense_tracks(job: ScanJob, work: Path) -> None:
    if not job.dense_tracks or (work / ZARR_FOLDER).exists():
        return
    from .zarr_tracks import ZarrTracks

    kind = ZARR_KINDS[job.options.track_format]
    facts = {"model_sha256": job.model_hash, "tcnfast": run_record.version()}
    temporary = work / f"{ZARR_FOLDER}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    ZarrTracks.create(temporary, job.sizes, job.tracks, job.options.stride, kind, facts)
    temporary.rename(work / ZARR_FOLDER)


def _peaks(job: ScanJob, work: Path) -> PeakFiles | PeakProcess:
    result, files = result_folder(work), []
    for label, name in zip(job.labels, job.names, strict=True):
        path = None if label in job.uncalled else peaks_file(result, name)
        files.append((label, job.model.labels.index(label), path))
    options = job.options
    form = PeakFormat(files, options.stride, options.min_length, options.max_gap)
    return (PeakProcess if job.bases >= WORTH_A_PROCESS else PeakFiles)(form)


def _starts(job: ScanJob, task: Task) -> dict[str, Start]:
    """What the process of each device is told; those of a processor share its threads."""
    devices, plan, starts = job.devices, job.scorer.plan, {}
    threads = max(1, torch.get_num_threads() // len(devices))
    for index, device in enumerate(devices):
        several = devices.count(device) > 1
        name = f"{device} ({index + 1} of {len(devices)})" if several else device
        options = {
            "rc": job.options.rc,
            "device": device,
            "precision": plan.precision,
            "stride": plan.stride,
            "backend": plan.backend,
        }
        starts[name] = Start(task, job.genome, job.model, options, threads)
    return starts
