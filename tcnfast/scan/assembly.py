"""What becomes of shards when all stretches are finished: tracks, the summary, the output."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import torch

from ..base import run_record
from ..base.run_folder import OutputFolder
from .stages import Stages
from .stretch_writer import ZARR_FOLDER
from .summary import summary_rows, write_summary
from .track_bigwig import Track
from .track_processes import write_bigwigs
from .tracks import file_names


def result_folder(work: Path) -> Path:
    return work / "result"


def begin_result(work: Path) -> None:
    """An empty result; dense tracks that were moved there when a run was stopped are kept."""
    result = result_folder(work)
    if (result / ZARR_FOLDER).exists():
        (result / ZARR_FOLDER).rename(work / ZARR_FOLDER)
    shutil.rmtree(result, ignore_errors=True)
    (result / "peaks").mkdir(parents=True)


def assemble(job, output: OutputFolder, counts, stages: Stages, started: float) -> list[dict]:
    """Publish the output of a :class:`tcnfast.scan.scan_job.ScanJob` whose calls are written;
    ``counts``: of each label and contig. Returns the summary."""
    result = result_folder(output.work)
    with stages.timed("write"):
        if job.sparse_tracks:
            _write_bigwigs(job, output.work, result / "tracks")
        summary = summary_rows(job.labels, job.rules, job.chroms, counts)
        write_summary(result / "summary.tsv", summary)
    job.inputs.check()
    record = {
        "versions": run_record.versions(),
        "device": run_record.device_words(job.scorer.plan.device),
        "devices": job.devices,
        "threads": torch.get_num_threads(),
        "skipped_contigs": job.skipped,
        "uncalled_labels": job.uncalled,
        "stages": stages.seconds,
        "seconds": round(time.monotonic() - started, 1),
    }
    if job.dense_tracks:
        (output.work / ZARR_FOLDER).rename(result / ZARR_FOLDER)
    output.publish(result, record)
    return summary


def _write_bigwigs(job, work: Path, folder: Path) -> None:
    folder.mkdir()
    shards: list[list[str]] = [[] for _ in job.chroms]
    for stretch in job.stretches:
        shards[stretch.contig].append(str(stretch.track_file(work)))
    columns = [job.model.labels.index(label) for label in job.tracks]
    paths = [str(folder / f"{name}.bw") for name in file_names(job.tracks)]
    stride, labels = job.options.stride, len(job.model.labels)
    tracks = [
        Track(path, job.sizes, shards, labels, column, stride)
        for path, column in zip(paths, columns, strict=True)
    ]
    write_bigwigs(tracks, torch.get_num_threads())
