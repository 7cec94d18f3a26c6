"""A scan for motifs: what is asked, checked before anything is written; the hits of each stretch
in a file, then those of each motif."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from ..base.errors import TcnfastError, did_you_mean
from ..base.input_files import input_name
from ..base.jit import jit
from ..base.options import Run, setting
from ..base.progress import Progress
from ..base.run_folder import RunFolder
from ..engines.backend import MOTIF_HITS, choose, choose_device
from ..genome.codes import N
from ..genome.genome import Genome
from ..genome.intervals import joined
from ..pwm import P_VALUE
from ..pwm.hits import HitFinder
from ..pwm.meme import Motif, MotifError
from ..pwm.motif_formats import motif_file, read_motifs
from ..pwm.packed_hits import moved, unpack
from . import ScanOptions
from .announce import announce_motifs
from .job import Job, run_job
from .motif_files import write_hits, write_summary
from .motif_page import write_motif_page
from .pieces import Stretch, segment_spans, touches
from .pipeline import read_ahead
from .scan_folder import ScanFolder, hits_file, motif_file_names
from .shard_folder import publish_shard, take_back
from .shelves import Laid
from .stages import Stages

SEGMENT_BASES = 2**20  # scanned at once by one thread
_COUNTED_BASES = 2**22  # at once


def scan_motifs(
    genome: Sequence[str | Path], out: str | Path, options: ScanOptions, run: Run
) -> ScanFolder:
    """See :func:`tcnfast.scan`."""
    return run_job(genome, out, run, lambda opened: MotifJob(opened, options, run), _find_motifs)


class MotifJob(Job):
    """A job with motifs, the scores that are hits, and what finds them."""

    input_name = "inputs"
    about: ClassVar[dict] = {}  # what tcnfast merge needs to know beside genome and options

    def __init__(self, genome: Genome, options: ScanOptions, run: Run) -> None:
        self.meme = motif_file(options.motifs)
        self.device = choose_device(run.device)
        self.backend = choose(MOTIF_HITS, run.backend, self.device, "fp32").backend
        self.motifs = _chosen_motifs(self.meme, options.targets)
        widest = max(len(motif.probabilities) for motif in self.motifs)
        super().__init__(genome, options, run, 1, widest, [self.meme])
        self.within = self.laid.within(self.within, cover=False)
        self.p_value = P_VALUE if options.p_value is None else options.p_value
        self.names = motif_file_names([(motif.id, motif.name) for motif in self.motifs])
        given = options.background
        background = composition(self.laid, self.laid.sizes) if given is None else given
        self.finder = HitFinder(self.motifs, background, self.p_value)

    @property
    def background(self) -> np.ndarray:
        """Shares of ACGT that scores and p-values are over, float64 (4,)."""
        return self.finder.background

    @property
    def without_hits(self) -> list[str]:
        """Ids of motifs whose best site is not rare enough."""
        thresholds = self.finder.thresholds.tolist()
        rows = zip(self.motifs, thresholds, strict=True)
        return [motif.id for motif, threshold in rows if np.isnan(threshold)]

    def own_key(self) -> dict:
        return {
            "motifs": [motif.id for motif in self.motifs],
            "p_value": self.p_value,
            "background": self.background.tolist(),
            "no_page": self.options.no_page,
        }


def composition(genome: Genome | Laid, sizes: dict[str, int]) -> np.ndarray:
    """Shares of A, C, G and T in contigs: float64 (4,). TcnfastError where one is not there."""
    spans = {chrom: segment_spans(0, size, _COUNTED_BASES) for chrom, size in sizes.items()}
    pieces = [(chrom, *span) for chrom, found in spans.items() for span in found]

    def count(piece: tuple[str, int, int]) -> np.ndarray:
        counts = np.zeros(5, np.int64)
        _count(genome.codes(*piece), counts)
        return counts

    total = np.zeros(5, np.int64)
    for _, counts in read_ahead(pieces, count, torch.get_num_threads()):
        total += counts
    if not total[:4].all():
        raise TcnfastError(
            f"the genome holds no {'ACGT'[int(total[:4].argmin())]} in the contigs to scan; give "
            f"a {setting('background')}"
        )
    return total[:4] / total[:4].sum()


@jit
def _count(codes, counts):
    for code in codes:
        counts[code] += 1


def _chosen_motifs(meme: Path, targets: Sequence[str] | None) -> list[Motif]:
    motifs = read_motifs(meme)
    if targets is None or list(targets) == ["all"]:
        return motifs
    for name in targets:
        if not any(motif.id == name or motif.is_named(name) for motif in motifs):
            near = did_you_mean(name, [word for m in motifs for word in (m.id, m.name)])
            words = f"{meme}: has no motif of the id or name {name!r}"
            raise MotifError(f"{words}; {near}" if near else words)
    return [m for m in motifs if any(m.id == name or m.is_named(name) for name in targets)]


def _find_motifs(job: MotifJob, folder: RunFolder, stages: Stages) -> None:
    announce_motifs(job)
    if job.run.shard is not None:
        take_back(job, folder)
    find_in_stretches(job, folder, stages)
    if job.run.shard is not None:
        publish_shard(job, folder, stages)
        return
    publish_hits(job, folder, stages)


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
        size = job.laid.sizes[stretch.chrom]
        with stages.timed("read"):
            codes = job.laid.codes(stretch.chrom, first, min(last + widest - 1, size))
        if codes.min() == N:
            return np.zeros(0, np.uint64)
        with stages.timed("compute"):
            found = moved(find(codes, last - first), first - stretch.first)
        return found

    with Progress(job.bases_of_mine, "b", job.run.progress, scale=True) as bar:
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


def publish_hits(job: MotifJob, folder: RunFolder, stages: Stages) -> None:
    """Write the hits of finished stretches as the output."""
    folder.settle()
    shutil.rmtree(folder.result)
    hits_file(folder.result, "").parent.mkdir(parents=True)
    with stages.timed("write"):
        counts = write_hits(job, folder.work, folder.result)
        write_summary(job, counts, folder.result)
        if not job.options.no_page:
            write_motif_page(job, folder.work, folder.result, folder.path, counts.sum(1))
    job.inputs.check()
    job.publish(
        folder,
        stages,
        {
            "motif_file": input_name(job.meme),
            "p_value": job.p_value,
            "background": job.background.tolist(),
            "background_from": "given" if job.options.background else "the scanned contigs",
            "motifs_without_hits": job.without_hits,
        },
    )
