"""Several devices on one list of stretches, a process each.

The parent hands out a stretch when a device asks for one: no lock is shared, so that the death of a
process leaves nothing behind but an end of a socket.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import TYPE_CHECKING

from ..base.errors import TcnfastError
from ..base.options import Run, setting
from .child import Child, Parent, serve
from .pieces import Stretch
from .stages import Stages

if TYPE_CHECKING:
    from ..model.ensemble import Ensemble
    from ..model.tcn import TCN
    from .shelves import Laid
    from .stretch_writer import ScanSpec

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Start:
    """What a device's process is told first."""

    spec: ScanSpec
    genome: Laid
    model: TCN | Ensemble
    run: Run
    threads: int


def scan_on_devices(
    starts: dict[str, Start],
    runs: tuple,
    stretches: Iterable[Stretch],
    report: Callable[[int, str], None],
    finished: Callable[[Stretch], None],
    stages: Stages,
) -> None:
    """Scan ``stretches`` by the processes that ``starts`` describes, by name.

    ``runs``: backend, precision and instructions that each must have, or results would depend on
    which device took a stretch. Raises TcnfastError that names the device where one fails or its
    process ends; the others are ended then.
    """
    todo = iter(stretches)
    children: dict[object, Child] = {}
    go_on = f"{setting('resume', True)} goes on after the last finished stretch"
    try:
        for name, start in starts.items():
            child = Child(__name__, f"device {name}", go_on)
            children[child.connection] = child
            child.send(start)
        working = set(children)
        while working:
            for connection in wait(working):
                child = children[connection]
                kind, *values = child.receive()
                if kind == "next":
                    child.send(next(todo, None))
                elif kind == "bases":
                    report(*values)
                elif kind == "finished":
                    finished(*values)
                elif kind == "runs":
                    _check_alike(child.name, tuple(values), runs)
                elif kind == "log":
                    log.log(*values)
                elif kind == "done":
                    stages.merge(*values)
                    working.discard(connection)
    finally:
        for child in children.values():
            child.end()


def _check_alike(name: str, runs: tuple, wanted: tuple) -> None:
    if runs != wanted:
        here, there = (" ".join(word for word in words if word) for words in (runs, wanted))
        raise TcnfastError(
            f"{name}: runs {here}, the first one {there}; their scores would differ in the "
            f"last bits: name {setting('backend')} and {setting('precision')}, or devices of one "
            "kind"
        )


class _LogToParent(logging.Handler):
    def __init__(self, parent: Parent) -> None:
        super().__init__(logging.WARNING)
        self._parent = parent

    def emit(self, record: logging.LogRecord) -> None:
        self._parent.send(("log", record.levelno, record.getMessage()))


def main(number: int) -> None:
    """What a device's process runs."""
    serve(number, _scan)


def _stretches(parent: Parent) -> Iterator[object]:
    """Ask for one after the other; only one thread does."""
    while True:
        parent.send(("next",))
        stretch = parent.receive()
        if stretch is None:
            return
        yield stretch


def _scan(parent: Parent) -> None:
    start = parent.receive()
    # once the parent is no longer waiting
    import torch

    from .pipeline import Pipeline, Scorer
    from .stretch_writer import scan_stretches

    logging.getLogger("tcnfast").addHandler(_LogToParent(parent))
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
    plan = scorer.plan
    if plan.device.type == "cuda":
        torch.cuda.set_device(plan.device)
    parent.send(("runs", plan.backend, plan.precision, plan.instructions))
    with start.genome as genome:
        pipeline = Pipeline(scorer, genome, spec.wanted, batch_size=spec.batch_size)
        scan_stretches(
            pipeline,
            spec,
            _stretches(parent),
            lambda bases, chrom: parent.send(("bases", bases, chrom)),
            lambda stretch: parent.send(("finished", stretch)),
        )
    parent.send(("done", pipeline.stages.seconds))
