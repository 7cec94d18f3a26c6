"""What becomes of shards when all stretches are finished: tracks, the summary, the output."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import numpy as np
import torch

from ..base import run_record
from ..base.file_names import file_names
from ..base.run_folder import OutputFolder
from .scan_folder import ZARR_FOLDER, bigwig_file, peaks_file, write_summary
from .stages import Stages
from .track_bigwig import Track
from .track_processes import write_bigwigs


def result_folder(work: Path) -> Path:
    return work / "result"


def begin_result(work: Path) -> None:
    """An empty result; dense tracks that were moved there when a run was stopped are kept."""
    result = result_folder(work)
    if (result / ZARR_FOLDER).exists():
        (result / ZARR_FOLDER).rename(work / ZARR_FOLDER)
    shutil.rmtree(result, ignore_errors=True)
    peaks_file(result, "").parent.mkdir(parents=True)


def assemble(job, output: OutputFolder, counts, stages: Stages, started: float) -> None:
    """Publish the output of a :class:`tcnfast.scan.scan_job.ScanJob` whose calls are written;
    ``counts``: of each label and contig."""
    result = result_folder(output.work)
    with stages.timed("write"):
        if job.sparse_tracks:
            _write_bigwigs(job, output.work, result)
        write_summary(result, summary_rows(job.labels, job.rules, job.chroms, counts))
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


def _write_bigwigs(job, work: Path, result: Path) -> None:
    bigwig_file(result, "").parent.mkdir()
    shards: list[list[str]] = [[] for _ in job.chroms]
    for stretch in job.stretches:
        shards[stretch.contig].append(str(stretch.track_file(work)))
    columns = [job.model.labels.index(label) for label in job.tracks]
    paths = [str(bigwig_file(result, name)) for name in file_names(job.tracks)]
    stride, labels = job.options.stride, len(job.model.labels)
    tracks = [
        Track(path, job.sizes, shards, labels, column, stride)
        for path, column in zip(paths, columns, strict=True)
    ]
    write_bigwigs(tracks, torch.get_num_threads())


def summary_rows(labels, rules, chroms, counts) -> list[dict]:
    """Rows of summary.tsv. ``counts`` int (labels, contigs, 2): calls and bases; ``rules``: a
    label's cutoff or None."""
    rows = []
    for label, per_chrom in zip(labels, counts, strict=True):
        rule = rules[label]
        threshold, precision = (rule.threshold, rule.precision) if rule else (np.nan, np.nan)
        for chrom, (calls, bases) in [
            ("all", per_chrom.sum(0)),
            *zip(chroms, per_chrom, strict=True),
        ]:
            rows.append(
                {
                    "label": label,
                    "chrom": chrom,
                    "threshold": threshold,
                    "expected_precision": precision,
                    "calls": int(calls),
                    "bases": int(bases),
                }
            )
    return rows
