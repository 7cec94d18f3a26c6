"""What every scan is made of, with a model or for motifs: a genome in stretches, and its run."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import torch

from ..base.errors import TcnfastError
from ..base.options import Run, setting
from ..base.progress import Progress
from ..base.run_folder import RunFolder, file_hash
from ..base.run_record import device_words, version
from ..genome.genome import Genome, match_chroms, split_chroms
from ..genome.intervals import check_bed_names, read_bed
from . import ScanOptions
from .inputs import InputFiles
from .pieces import Stretch, stretches
from .scan_folder import ScanFolder
from .shard_folder import SHARD, ShardFolder
from .shelves import MANY, Laid
from .stages import Stages

log = logging.getLogger(__name__)


class Job(ABC):
    """A genome, the contigs to scan in stretches of steps of ``stride`` bases, and the options.

    ``gap``: bases of N that keep small contigs apart where they are scanned as one; 0: none are.
    ``others``: files that are read beside the genome. A kind of job says on which ``device`` it
    runs, in ``own_key`` what its result depends on beside the genome, and calls its input files
    ``input_name`` there.
    """

    input_name: str
    device: torch.device
    ran_on: str | None = None  # the devices, if others than ``device`` did the work
    hashes: Future  # of the input files, begun by :func:`run_job`
    urls: Mapping[Path, str] = {}  # of files that were fetched

    def __init__(
        self,
        genome: Genome,
        options: ScanOptions,
        run: Run,
        stride: int,
        gap: int,
        others: Sequence[Path] = (),
    ) -> None:
        self.genome, self.options, self.run, self.stride = genome, options, run, stride
        self.inputs = InputFiles([*genome.paths, *others])
        self.chroms, self.skipped = chosen_chroms(genome, options.chroms)
        check_bed_names(self.chroms)
        self.sizes = {chrom: genome.sizes[chrom] for chrom in self.chroms}
        self.bases = sum(self.sizes.values())
        self.laid = Laid(genome, self.sizes, stride, gap)
        self.stretches = stretches(self.laid.sizes, stride)
        self.mine = self.stretches  # those that this run scans
        if run.shard is not None:
            number, of = run.shard
            self.mine = self.stretches[number - 1 :: of]
        self.per_contig = options.per_contig or len(self.sizes) <= MANY  # rows of the summary
        self.within = None
        if options.within:
            self.within = read_bed(options.within, genome.sizes, allow_missing=True)

    @property
    def bases_of_mine(self) -> int:
        """Bases that this run scans, the N between contigs of a shelf too."""
        sizes = self.laid.sizes
        return sum(stretch.bases(self.stride, sizes[stretch.chrom]) for stretch in self.mine)

    @abstractmethod
    def own_key(self) -> dict:
        """What the result depends on beside the genome."""

    def key(self) -> dict:
        """What the bytes of the result depend on. Raises TcnfastError where a file may have
        changed between its hash and the scan."""
        known, within = self.hashes.result(), self.options.within
        self.inputs.check()
        return {
            "tcnfast": version(),
            self.input_name: known,
            "chroms": self.chroms,
            "within": file_hash(within) if within else None,
            **self.own_key(),
            **({} if self.run.shard is None else {"shard": list(self.run.shard)}),
        }

    def settle(self, folder: RunFolder) -> None:
        """Write the key down once the input files are hashed, so that the run can be resumed."""
        if self.hashes.done():
            folder.settle()

    def unfinished(
        self, work: Path, bar: Progress, skip: Callable[[Stretch], object] = lambda _: None
    ) -> list[Stretch]:
        """Stretches to scan; ``skip`` is called with each of those that are finished."""
        left = []
        for stretch in self.mine:
            if stretch.finished(work):
                bases = stretch.bases(self.stride, self.laid.sizes[stretch.chrom])
                bar.begin_at(bases)
                skip(stretch)
            else:
                left.append(stretch)
        return left

    def publish(
        self,
        folder: RunFolder,
        stages: Stages,
        record: dict,
        finish: Callable[[Path], object] = lambda result: None,
    ) -> None:
        """Make the result the output; ``record``: for run.json, beside what all scans tell.
        ``finish``: see :meth:`RunFolder.publish`."""
        folder.publish(
            record
            | {
                "device": self.ran_on or device_words(self.device),
                "skipped_contigs": self.skipped,
                "scanned_bases": self.bases,
                "stages": stages.seconds,
            },
            finish,
        )


def chosen_chroms(genome: Genome, wanted: Sequence[str] | None) -> tuple[list[str], list[str]]:
    """Contigs to scan, in file order, and those left out unasked."""
    if wanted is None:
        return split_chroms(genome.sizes)
    if list(wanted) == ["all"]:
        return list(genome.sizes), []
    if not wanted:
        raise TcnfastError(f"{setting('chroms')}: names no contig")
    wanted = whole_names(wanted, genome.sizes)
    match_chroms(wanted, genome.sizes, setting("chroms"))
    chosen = set(wanted)
    return [chrom for chrom in genome.sizes if chrom in chosen], []


def whole_names(words: Sequence[str], sizes: Mapping[str, int]) -> list[str]:
    """The names of contigs in a list that was split at commas, which names may hold."""
    most, names, at = max(name.count(",") for name in sizes), [], 0
    while at < len(words):
        ends = range(min(at + most + 1, len(words)), at + 1, -1)
        joined = (",".join(words[at:end]) for end in ends)
        names.append(next((name for name in joined if name in sizes), words[at]))
        at += names[-1].count(",") + 1 if names[-1] in sizes else 1
    return names


def run_job(
    genome: Sequence[str | Path],
    out: str | Path,
    run: Run,
    make: Callable[[Genome], Job],
    scan: Callable[[Job, RunFolder, Stages], None],
) -> ScanFolder | ShardFolder:
    """Write the output of the job that ``make`` returns. The output folder is looked at first: one
    that exists is refused before a genome or a model is read. ``scan`` writes it; of a shard, the
    folder for :func:`tcnfast.merge` does."""
    with ExitStack() as opened:

        @cache
        def job() -> Job:
            made = make(opened.enter_context(Genome(*genome)))
            made.hashes = made.inputs.hash_beside()
            return made

        folder = opened.enter_context(
            RunFolder(
                out,
                "scan" if run.shard is None else SHARD,
                run,
                key=lambda: job().key(),
                resumable=True,
                worth_keeping=lambda: any(folder.work.glob("calls.*.npy")),
            )
        )
        if not folder.complete:
            stages = Stages()
            scan(job(), folder, stages)
            log.info("busy, some at the same time: %s", stages)
    return ScanFolder(folder.path) if run.shard is None else ShardFolder(folder.path)
