"""One of several devices: a process that asks for stretches until there are none."""

from __future__ import annotations

import logging
import os
import threading
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from ..base.errors import TcnfastError
from ..base.options import Run
from .child import connect, receive, send

if TYPE_CHECKING:
    from ..genome.genome import Genome
    from ..model.ensemble import Ensemble
    from ..model.tcn import TCN
    from .stretch_writer import ScanSpec


@dataclass(frozen=True)
class Start:
    """What a device's process is told first."""

    spec: ScanSpec
    genome: Genome
    model: TCN | Ensemble
    run: Run
    threads: int


class ParentGone(Exception):
    """Nobody waits for the work any more."""


class Talk:
    """The socket, for several threads."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._lock = connection, threading.Lock()

    def say(self, *message) -> None:
        try:
            with self._lock:
                send(self._connection, message)
        except OSError:
            raise ParentGone from None

    def stretches(self) -> Iterator[object]:
        """Ask for one after the other; only one thread does."""
        while True:
            self.say("next")
            try:
                stretch = receive(self._connection)
            except EOFError:
                raise ParentGone from None
            if stretch is None:
                return
            yield stretch


class _LogTalk(logging.Handler):
    def __init__(self, talk: Talk) -> None:
        super().__init__(logging.WARNING)
        self._talk = talk

    def emit(self, record: logging.LogRecord) -> None:
        self._talk.say("log", record.levelno, record.getMessage())


def main(number: int) -> None:
    """What a device's process runs. PyTorch is imported once the parent is no longer waiting."""
    connection = connect(number)
    talk = Talk(connection)
    try:
        start = receive(connection)
        _scan(start, talk)
    except (ParentGone, EOFError):
        os._exit(1)
    except BaseException as error:
        talk.say("failed", *told(error))


def _scan(start: Start, talk: Talk) -> None:
    import torch

    from .pipeline import Pipeline, Scorer
    from .stretch_writer import scan_stretches

    logging.getLogger("tcnfast").addHandler(_LogTalk(talk))
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
    talk.say("runs", plan.backend, plan.precision, plan.instructions)
    with start.genome as genome:
        pipeline = Pipeline(scorer, genome, spec.wanted, batch_size=spec.batch_size)
        scan_stretches(
            pipeline,
            spec,
            talk.stretches(),
            lambda bases, chrom: talk.say("bases", bases, chrom),
            lambda stretch: talk.say("finished", stretch),
        )
    talk.say("done", pipeline.stages.seconds)


def told(error: BaseException) -> tuple[str, tuple, str]:
    """An error as plain values: its kind, arguments, and where it came from."""
    where = "".join(traceback.format_exception(error))
    if isinstance(error, TcnfastError):
        return "TcnfastError", (str(error),), where
    if isinstance(error, OSError):
        return "OSError", (error.errno, error.strerror, error.filename), where
    return "RuntimeError", (f"{type(error).__name__}: {error}",), where
