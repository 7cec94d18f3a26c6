"""Several devices of this machine, a process each, as workers of a pool.

A process asks for a stretch when its readers want one: no lock is shared, so that the death of a
process leaves nothing behind but an end of a socket.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from multiprocessing.connection import wait
from typing import TYPE_CHECKING

from ..base.options import setting
from .child import Child, Parent, serve
from .pieces import Stretch
from .work_pool import Event

if TYPE_CHECKING:
    from .stretch_worker import Start


class DeviceEngine:
    """Processes that ``starts`` describes, by name. One that fails or ends is an error: memory is
    short, or a device broken, and another process would end the same way."""

    tries = 1

    def __init__(self, starts: dict[str, Start]) -> None:
        self._starts = starts
        self._children: dict[str, Child] = {}

    def start(self) -> None:
        go_on = f"{setting('resume', True)} goes on after the last finished stretch"
        for name, start in self._starts.items():
            self._children[name] = Child(__name__, name, go_on)
            self._children[name].send(start)

    def give(self, worker: str, stretch: Stretch | None) -> None:
        self._children[worker].send(stretch)

    def events(self, seconds: float | None) -> Iterator[Event]:
        names = {child.connection: name for name, child in self._children.items()}
        for connection in wait(names, seconds):
            kind, *values = self._children[names[connection]].receive()
            yield Event(names[connection], kind, tuple(values))

    def replace(self, worker: str) -> None:
        raise AssertionError(f"{worker}: its loss is raised by events")

    def close(self) -> None:
        for child in self._children.values():
            child.end()


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
    from .stretch_worker import StretchWorker

    logging.getLogger("tcnfast").addHandler(_LogToParent(parent))
    with start.genome:
        worker = StretchWorker(start)
        parent.send(("runs", worker.ran))

        def finished(stretch: Stretch) -> None:
            parent.send(("stages", worker.news_of_stages()))
            parent.send(("finished", stretch))

        worker.scan(
            _stretches(parent), lambda bases, chrom: parent.send(("bases", bases, chrom)), finished
        )
        parent.receive()  # until it is ended: nothing more comes
