"""A scan for motifs carried out: the hits of each stretch in a file, then those of each motif."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from ..base.options import Run
from ..base.progress import Progress
from ..base.run_folder import RunFolder
from ..genome.intervals import joined
from ..pwm.packed_hits import moved, unpack
from . import ScanOptions
from .announce import announce_motifs
from .job import run_job
from .motif_files import write_hits, write_summary
from .motif_job import MotifJob
from .pieces import Stretch, segment_spans, touches
from .pipeline import read_ahead
from .scan_folder import ScanFolder, hits_file
from .stages import Stages

SEGMENT_BASES = 2**20  # scanned at once by one thread


def scan_motifs(
    genome: Sequence[str | Path], out: str | Path, options: ScanOptions, run: Run
) -> ScanFolder:
    """See :func:`tcnfast.scan`."""
    return run_job(genome, out, run, lambda opened: MotifJob(opened, options, run), _find_motifs)


def _find_motifs(job: MotifJob, folder: RunFolder, stages: Stages) -> None:
    announce_motifs(job)
    find_in_stretches(job, folder, stages)
    folder.settle()
    _publish(job, folder, stages)


def find_in_stretches(job: MotifJob, folder: RunFolder, stages: Stages) -> None:
    """Find the hits of every stretch that is not finished. Segments are read and scanned by all
    threads, a few ahead (by two where a GPU scans them); what is in memory is those and the hits of
    one stretch."""
    find, threads = job.finder.prepared(job.bases, job.device, job.backend)
    widest = int(job.finder.widths.max())

    def scan(piece: tuple[Stretch, tuple[int, int] | None, bool]) -> np.ndarray:
        stretch, span, _ = piece
        if span is None:
            return np.zeros(0, np.uint64)
        first, last = span
        size = job.sizes[stretch.chrom]
        with stages.timed("read"):
            codes = job.genome.codes(stretch.chrom, first, min(last + widest - 1, size))
        with stages.timed("compute"):
            found = moved(find(codes, last - first), first - stretch.first)
        return found

    with Progress(job.bases, "b", job.run.progress, scale=True) as bar:
        kept: list[np.ndarray] = []
        todo = job.unfinished(folder.work, bar)
        with closing(read_ahead(_pieces(job, todo), scan, threads)) as stream:
            for (stretch, span, ends), found in stream:
                kept.append(_inside(found, job, stretch))
                if span is not None:
                    bar.update(span[1] - span[0], stretch.chrom)
                if ends:
                    with stages.timed("write"):
                        stretch.finish(folder.work, np.sort(np.concatenate(kept)), job.inputs)
                    kept = []
                    job.settle(folder)


def _pieces(
    job: MotifJob, todo: list[Stretch]
) -> Iterator[tuple[Stretch, tuple[int, int] | None, bool]]:
    """Segments of stretches, and whether one ends its stretch; None where there is none."""
    for stretch in todo:
        wanted = touches(job.within.on(stretch.chrom), 1) if job.within is not None else None
        spans = segment_spans(stretch.first, stretch.last, SEGMENT_BASES, wanted) or [None]
        for index, span in enumerate(spans):
            yield stretch, span, index == len(spans) - 1


def _inside(found: np.ndarray, job: MotifJob, stretch: Stretch) -> np.ndarray:
    """Of the hits of a stretch those that lie wholly in a region of ``within``."""
    if job.within is None or not found.size:
        return found
    starts, ends = joined(job.within.on(stretch.chrom))
    motif, start, _, _ = unpack(found)
    start += stretch.first
    region = np.searchsorted(starts, start, side="right") - 1
    return found[(region >= 0) & (start + job.finder.widths[motif] <= ends[region])]


def _publish(job: MotifJob, folder: RunFolder, stages: Stages) -> None:
    shutil.rmtree(folder.result)
    hits_file(folder.result, "").parent.mkdir(parents=True)
    with stages.timed("write"):
        counts = write_hits(job, folder.work, folder.result)
        write_summary(job, counts, folder.result)
    job.inputs.check()
    job.publish(
        folder,
        stages,
        {
            "motif_file": job.meme.name,
            "p_value": job.p_value,
            "background": job.background.tolist(),
            "background_from": "given" if job.options.background else "the scanned contigs",
            "motifs_without_hits": job.without_hits,
        },
    )
