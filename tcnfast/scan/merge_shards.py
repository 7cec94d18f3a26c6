"""The shards of a scan as one scan: the bytes that one process would have written."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from ..base.disk import writing
from ..base.errors import TcnfastError
from ..base.options import Run, setting
from ..base.run_folder import RunFolder
from ..base.talk import count
from ..genome.genome import Genome
from . import ScanOptions
from .job import Job, run_job
from .motif_run import MotifJob, publish_hits
from .scan_folder import ZARR_FOLDER, ScanFolder
from .scan_genome import begin_tracks, write_calls
from .scan_job import ScanJob, open_model
from .shard_folder import ShardFolder, Whole, check_key
from .stages import Stages
from .stretch_worker import Ran

log = logging.getLogger(__name__)


def merge_shards(whole: Whole) -> ScanFolder:
    """Make the scan of all shards, in order; see :func:`tcnfast.merge`."""
    shards, out, run = whole.shards, whole.out, whole.run
    options, paths = whole.options(ScanOptions), whole.named("genome")
    for path in paths:
        if not Path(path).exists():
            raise TcnfastError(f"{path}: is not here; name the genome by {setting('genome')}")
    # the processor writes what some device scored
    how = Run(device="cpu", force=run.force, resume=run.resume, progress=run.progress)

    def make(opened: Genome) -> Job:
        if options.motifs is not None:
            return MotifJob(opened, options, how)
        source = whole.named("model")
        if source is None:
            raise TcnfastError(
                f"the model was given as an object; name its folder by {setting('model')}"
            )
        known = open_model(source, options.cutoff)
        about = known.hash, known.name, known.source, Ran(**shards[0].asked["ran"])
        return ScanJob(opened, known.model, options, how, *about)

    def scan(job: Job, folder: RunFolder, stages: Stages) -> None:
        job.ran_on = "; ".join(sorted({shard.record["device"] for shard in shards}))
        log.info("%s, %.1f Mb", count(len(shards), "shard"), job.bases / 1e6)
        check_key(json.loads(json.dumps({"command": "scan", **job.key()})), shards[0])
        if isinstance(job, MotifJob):
            _place(job, shards, folder)
            publish_hits(job, folder, stages)
        else:
            begin_tracks(job, folder)
            _place(job, shards, folder)
            write_calls(job, folder, None, stages)

    return run_job(paths, out, how, make, scan)


def _place(job: Job, shards: Sequence[ShardFolder], folder: RunFolder) -> None:
    """Put the stretches of all shards where a scan looks for its finished ones."""
    rows = [(stretch, shards[at % len(shards)].path) for at, stretch in enumerate(job.stretches)]
    for stretch, path in rows:
        if not stretch.finished(path):
            raise TcnfastError(f"{path}: is damaged, {stretch.words} is missing; run it anew")
    for stretch, path in rows:
        if stretch.track_file(path).exists():
            _link(stretch.track_file(path), stretch.track_file(folder.work))
        _link(stretch.calls_file(path), stretch.calls_file(folder.work))
    for shard in shards:
        dense = shard.path / ZARR_FOLDER
        for path in sorted(dense.glob("*/c/**/*")):
            if path.is_file():
                target = folder.work / ZARR_FOLDER / path.relative_to(dense)
                target.parent.mkdir(parents=True, exist_ok=True)
                _link(path, target)


def _link(source: Path, target: Path) -> None:
    """One file under two names; a copy, whole or not there, where the disk has no such thing."""
    if target.exists():
        return
    try:
        os.link(source, target)
    except OSError:
        temporary = target.with_name(target.name + ".tmp")
        with writing(target, source.stat().st_size):
            shutil.copyfile(source, temporary)
        temporary.rename(target)
