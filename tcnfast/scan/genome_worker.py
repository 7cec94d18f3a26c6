"""Whole genomes as the units of a cluster, where there are more than four for each worker."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ..base.errors import TcnfastError
from ..base.node_files import fetched_file, fetched_folder
from ..base.options import Run
from ..base.run_folder import RECORD
from ..base.store import is_url
from ..base.verb import DEFAULT_MODEL
from . import ScanOptions
from .many_genomes import DONE, FAILED, GenomeRow, Receipt, scan_row
from .pieces import STRETCH_BASES
from .pipeline import Scorer
from .ray_engine import RayEngine, threads_of
from .scan_job import open_model
from .stages import Stages
from .stretch_worker import Ran
from .work_pool import WorkPool

MANY = 4  # genomes for each worker; with fewer, the last ones would keep most workers waiting
LETTERS = {".2bit": 4, ".gz": 4}  # bases of a byte of a file, about, where that is not one
DEVICE = "device", "precision", "backend", "batch_size"  # what a worker runs on


@dataclass(frozen=True)
class GenomeStart:
    """What a worker of whole genomes is told first; picklable."""

    model: object
    out: Path
    options: ScanOptions
    run: Run
    threads: int

    def worker(self) -> GenomeWorker:
        """What scans genomes. Raises TcnfastError on a machine that does not see the output."""
        if not self.out.exists():
            raise TcnfastError(
                f"{self.out}: is not on {socket.gethostname()}; genomes and output must lie where "
                "all nodes see them"
            )
        torch.set_num_threads(self.threads)
        return GenomeWorker(self)

    def seen(self, row: GenomeRow, receipt: Receipt) -> bool:
        """Whether its folder is seen here, if it was finished."""
        return receipt.state != DONE or (self.out / row.name / RECORD).exists()


class GenomeWorker:
    """Scans genomes, one after the other. ``ran``: what it runs the model of the run on."""

    def __init__(self, start: GenomeStart) -> None:
        self._start, options, run = start, start.options, start.run
        self._model = _fetched(start.model)
        known = open_model(DEFAULT_MODEL if self._model is None else self._model, options.cutoff)
        names = "device", "precision", "backend"
        how = {name: getattr(run, name) for name in names}
        scorer = Scorer(known.model, options.strand, stride=options.stride, **how)
        self.ran = Ran.of(scorer.plan)

    def do(self, row: GenomeRow) -> Receipt:
        """Scan one; what goes wrong is in the receipt. Files and models at URLs are fetched."""
        start = self._start
        try:
            paths = tuple(str(fetched_file(x)) if is_url(x) else x for x in row.paths)
            row = row._replace(paths=paths, model=_fetched(row.model))
        except TcnfastError as error:
            return Receipt(row.name, FAILED, problem=str(error))
        return scan_row(row, self._model, start.out, start.options, start.run)

    def news_of_stages(self) -> dict[str, float]:
        """None: each genome's run.json has its own."""
        return {}


def _fetched(model: object) -> object:
    return fetched_folder(model) if is_url(model) else model


def stretches_of(row: GenomeRow) -> float:
    """How many stretches a genome has, about, by the size of its files."""
    bases = 0
    for path in map(Path, row.paths):
        size = path.stat().st_size if path.exists() else 0
        bases += size * LETTERS.get(path.suffix, 1)
    return 1 + bases / STRETCH_BASES


def scan_by_genome(
    rows: Sequence[GenomeRow],
    model: object,
    out: Path,
    options: ScanOptions,
    run: Run,
    tell: Callable[[Receipt], object],
) -> bool:
    """Have the workers of a cluster scan a genome each at a time; ``tell`` gets the receipts as
    they come. False, and nothing is done, where there are too few genomes for the workers, which
    then share the stretches of each."""
    # a genome whose worker was lost is gone on with by the next one
    how = {name: getattr(run, name) for name in DEVICE}
    own = Run(**how, force=run.force, resume=not run.force)
    start = GenomeStart(model, out, replace(options, genomes=None), own, threads_of(run))
    engine = RayEngine(start, run.workers, int(_on_gpu(run.device)))
    try:
        many = len(rows) > MANY * engine.count()
    except BaseException:
        engine.close()
        raise
    if not many:
        engine.close()
        return False
    pool = WorkPool(engine, rows, None, run.time_limit, stretches_of)
    pool.run(lambda *_: None, lambda row, receipt: tell(receipt), Stages())
    return True


def _on_gpu(device: str) -> bool:
    """Whether workers take a GPU each; this machine may have none."""
    return device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
