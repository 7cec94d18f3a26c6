"""What scans stretches, the same code wherever it runs: in a process of a device of this machine or
in one of a cluster."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import torch

from ..base.errors import TcnfastError
from ..base.options import Run, setting
from ..base.run_record import version
from ..genome.genome import Genome
from .inputs import InputFiles
from .pieces import Stretch
from .pipeline import Pipeline, Scorer
from .stretch_writer import ScanSpec, scan_stretches

if TYPE_CHECKING:
    from ..engines.plan import Plan
    from ..model.ensemble import Ensemble
    from ..model.tcn import TCN
    from .exchange import Exchange, Sent
    from .shelves import Laid


class Ran(NamedTuple):
    """What the last bits of scores depend on: stretches of different ones do not go together."""

    device: str  # its type
    backend: str
    precision: str
    instructions: str | None
    symmetric: bool
    tcnfast: str

    @classmethod
    def of(cls, plan: Plan) -> Ran:
        return cls(
            plan.device.type,
            plan.backend,
            plan.precision,
            plan.instructions,
            plan.symmetric,
            version(),
        )

    def words(self) -> str:
        return " ".join(filter(None, (self.backend, self.precision, self.instructions)))


def check_alike(name: str, ran: Ran, wanted: Ran) -> None:
    """Raise TcnfastError where the worker ``name`` would give other scores than the first one."""
    if ran.tcnfast != wanted.tcnfast:
        raise TcnfastError(
            f"{name}: has tcnfast {ran.tcnfast}, here is {wanted.tcnfast}; install one version"
        )
    if ran != wanted:
        raise TcnfastError(
            f"{name}: runs {ran.words()}, the first one {wanted.words()}; their scores would "
            f"differ in the last bits: name {setting('backend')} and {setting('precision')}, or "
            "devices of one kind"
        )


@dataclass(frozen=True)
class Start:
    """What a process of this machine is told first; picklable."""

    spec: ScanSpec
    genome: Laid
    model: TCN | Ensemble
    run: Run
    threads: int


@dataclass(frozen=True)
class ClusterStart:
    """What a worker of a cluster is told first. ``start``: without its genome, which is made on the
    node, of ``files``."""

    start: Start
    files: tuple[Sent, ...]
    exchange: Exchange

    @classmethod
    def of(cls, start: Start, files: tuple[Sent, ...], exchange: Exchange) -> ClusterStart:
        laid = copy.copy(start.genome)
        del laid.genome  # a pickled one would be opened before it is known to be there
        return cls(replace(start, genome=laid), files, exchange)

    @property
    def threads(self) -> int:
        """Processors that a worker takes."""
        return self.start.threads

    def worker(self) -> StretchWorker:
        """What does the work. Raises TcnfastError on a machine that neither sees the files nor can
        fetch them."""
        self.exchange.check([])
        paths, start = [file.here() for file in self.files], self.start
        laid = copy.copy(start.genome)
        laid.genome = Genome(*paths)
        if any(file.url is not None for file in self.files):  # its own copies have their own times
            start = replace(start, spec=replace(start.spec, inputs=InputFiles(paths)))
        return StretchWorker(replace(start, genome=laid), self.exchange)

    def seen(self, stretch: Stretch, result: object = None) -> bool:
        """Whether what was written of a stretch is with the driver."""
        return self.exchange.seen(stretch.files)


class StretchWorker:
    """A plan that is made once, and the stretches that are scanned with it. ``exchange``: of a
    worker of a cluster.

    Raises TcnfastError where the device, backend or precision of ``start.run`` is not here.
    """

    def __init__(self, start: Start, exchange: Exchange | None = None) -> None:
        torch.set_num_threads(start.threads)
        spec, run = start.spec, start.run
        scorer = Scorer(
            start.model,
            spec.options.strand,
            stride=spec.options.stride,
            device=run.device,
            precision=run.precision,
            backend=run.backend,
        )
        if scorer.plan.device.type == "cuda":
            torch.cuda.set_device(scorer.plan.device)
        self._spec, self.ran, self._told = spec, Ran.of(scorer.plan), {}
        self._exchange = exchange
        self._pipeline = Pipeline(scorer, start.genome, spec.wanted, batch_size=spec.batch_size)

    def scan(
        self,
        stretches: Iterable[Stretch],
        report: Callable[[int, str], None],
        finished: Callable[[Stretch], None],
    ) -> None:
        """See :func:`tcnfast.scan.stretch_writer.scan_stretches`."""
        scan_stretches(self._pipeline, self._spec, stretches, report, finished)

    def do(self, stretch: Stretch) -> None:
        """Scan one stretch of a cluster's."""
        with self._exchange.writing(stretch.files) as work:
            key = self._exchange.key if work == self._exchange.work else None
            spec = replace(self._spec, work=work, key=key)
            nothing = (lambda bases, chrom: None), (lambda stretch: None)
            scan_stretches(self._pipeline, spec, [stretch], *nothing)

    def news_of_stages(self) -> dict[str, float]:
        """Busy seconds of each stage since this was asked last."""
        now = self._pipeline.stages.seconds
        news = {stage: busy - self._told.get(stage, 0.0) for stage, busy in now.items()}
        self._told = now
        return news
