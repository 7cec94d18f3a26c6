"""One list of stretches handed out to workers, whatever engine runs them: the processes of this
machine's devices (``device_engine.py``) or the actors of a cluster (``ray_engine.py``).

Where there are far more genomes than workers, the list is one of genomes (``genome_worker.py``).
A stretch is done when its shard is there, whole, under its name. So it does no harm that two
workers do one stretch, and a stretch whose worker is lost is given to another.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Protocol

from ..base.errors import TcnfastError
from ..base.options import setting
from .stages import Stages
from .stretch_worker import Ran, check_alike

log = logging.getLogger(__name__)

LOOK = 0.2  # seconds between looks at the clocks of workers
STARTS_WITHIN = 180.0  # seconds, at least, that the first worker may take to start


class Unit(Protocol):
    """A stretch, or a genome of many: hashable, picklable."""

    words: str  # what a message calls it


class Event(NamedTuple):
    """What a worker tells. ``kind`` and ``values``:

    "runs" (Ran,): it is ready; "next" (): it wants a stretch; "bases" (number, contig): scanned so
    far; "finished" (Stretch, result): its shard is there; "stages" (seconds,): busy since the last
    time; "log" (level, words); "lost" (why,): it is gone, with all that it was given.
    """

    worker: str
    kind: str
    values: tuple


class Engine(Protocol):
    """Starts workers and carries what they are given and what they tell.

    ``tries``: how often a stretch is given out before its loss is an error; with one, the engine
    raises the loss itself.
    """

    tries: int

    def start(self) -> None:
        """Begin to start all workers."""

    def give(self, worker: str, stretch: Unit | None) -> None:
        """None: there is nothing left to begin."""

    def events(self, seconds: float | None) -> Iterable[Event]:
        """What was told meanwhile; waits so long, None for as long as it takes, if nothing was.
        Raises the error of a worker that met one."""

    def replace(self, worker: str) -> None:
        """End a worker, if it still runs, and start another in its place."""

    def close(self) -> None:
        """End all workers."""


class WorkPool:
    """Hands ``stretches`` out to the workers of ``engine``, and again where they are lost.

    ``ran``: what every worker must run; None: what the first one does. ``limit``: seconds that a
    worker may take over a stretch before it counts as lost, and, if that is longer, the first of
    all to start; None for no limit. ``lengths``: how many such limits a unit has, where that is not
    one.
    """

    def __init__(
        self,
        engine: Engine,
        stretches: Sequence[Unit],
        ran: Ran | None,
        limit: float | None = None,
        lengths: Callable[[Unit], float] = lambda unit: 1.0,
    ) -> None:
        self._engine, self._ran, self._limit, self._lengths = engine, ran, limit, lengths
        self._todo, self._left = deque(stretches), set(stretches)
        self._given: dict[str, list[tuple[Unit, float]]] = {}
        self._waiting: deque[str] = deque()
        self._lost: Counter[Unit] = Counter()

    def run(
        self,
        report: Callable[[int, str], None],
        finished: Callable[..., None],
        stages: Stages,
    ) -> None:
        """Return when every stretch is finished. Raises TcnfastError that names the worker where
        one fails, and the stretch where one was lost too often; the workers are ended then."""
        began = time.monotonic()
        try:
            self._engine.start()
            while self._left:
                seconds = None if self._limit is None else LOOK
                for worker, kind, values in self._engine.events(seconds):
                    if kind == "bases":
                        report(*values)
                    elif kind == "finished":
                        self._finished(worker, finished, *values)
                    elif kind == "stages":
                        stages.merge(*values)
                    else:
                        self._hear(worker, kind, values)
                if self._limit is not None:
                    self._check_clocks(began)
        finally:
            self._engine.close()

    def _hear(self, worker: str, kind: str, values: tuple) -> None:
        if kind == "runs":
            self._ran = self._ran or values[0]
            check_alike(worker, *values, self._ran)
            self._given.setdefault(worker, [])
        elif kind == "next":
            self._give(worker)
        elif kind == "log":
            log.log(*values)
        elif kind == "lost":
            self._lose(worker, *values)

    def _give(self, worker: str) -> None:
        while self._todo and self._todo[0] not in self._left:
            self._todo.popleft()  # another worker, taken for lost, finished it after all
        if self._todo:
            stretch = self._todo.popleft()
            self._given[worker].append((stretch, time.monotonic()))
            self._engine.give(worker, stretch)
        else:
            self._waiting.append(worker)
            self._engine.give(worker, None)

    def _finished(
        self, worker: str, tell: Callable[..., None], stretch: Unit, *result: object
    ) -> None:
        self._given[worker] = [row for row in self._given[worker] if row[0] != stretch]
        if stretch in self._left:
            self._left.remove(stretch)
            tell(stretch, *result)

    def _lose(self, worker: str, why: str) -> None:
        """Give what the worker held to others, and start another worker in its place."""
        held = [stretch for stretch, _ in self._given.pop(worker, []) if stretch in self._left]
        for stretch in held:
            self._lost[stretch] += 1
            if self._lost[stretch] >= self._engine.tries:
                raise TcnfastError(
                    f"{stretch.words}: lost {self._lost[stretch]} times with the worker that "
                    f"scanned it, {worker} the last ({why}); {setting('resume', True)} goes on "
                    "after the last finished stretch"
                )
        again = f"; again: {', '.join(stretch.words for stretch in held)}" if held else ""
        log.warning("%s is lost: %s%s", worker, why, again)
        self._todo.extendleft(reversed(held))
        self._waiting = deque(other for other in self._waiting if other != worker)
        self._engine.replace(worker)
        while self._todo and self._waiting:
            self._give(self._waiting.popleft())

    def _check_clocks(self, began: float) -> None:
        now = time.monotonic()
        late = [
            worker
            for worker, rows in self._given.items()
            if any(now - since > self._limit * self._lengths(unit) for unit, since in rows)
        ]
        for worker in late:
            self._lose(worker, f"no answer within {self._limit:g} s")
        patience = max(self._limit, STARTS_WITHIN)
        if not self._given and not late and now - began > patience:
            raise TcnfastError(
                f"no worker could be started within {patience:g} s; is there room for one in "
                f"the cluster? {setting('time_limit')} waits longer"
            )
