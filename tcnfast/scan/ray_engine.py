"""Actors of a Ray cluster as workers of a pool: the extra ``cluster``.

Ray's core alone. Actors are never restarted and their calls never tried again by Ray, which waits
for ever for a node that is gone; the pool gives what they held to others. What goes over the wire
is what a worker is told first, once a node, then a stretch and a receipt of less than 1 kB each.
"""

from __future__ import annotations

import logging
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Protocol

import torch

from ..base.errors import TcnfastError
from ..base.extras import install
from ..base.options import Run, setting
from ..base.talk import count
from .work_pool import Event

log = logging.getLogger(__name__)

SHORT = 200  # letters of a warning in a receipt
FEW = 3  # warnings in a receipt
ADDRESS = "RAY_ADDRESS"
# of a cluster of our own: nothing is sent, no page is served, no token is kept in the home folder
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}
# a node that is gone is known after 1.5 s
HEALTH = {"health_check_period_ms": 500, "health_check_failure_threshold": 3}
STORE_BYTES = 80 * 2**20  # of Ray's object store, which holds what workers are told first
SEEN_WITHIN = 30.0  # seconds until another node's file must be seen in a shared folder


def threads_of(run: Run) -> int:
    """Threads of a worker of a cluster; workers of this machine share its own."""
    threads = torch.get_num_threads()
    if os.environ.get(ADDRESS):
        return threads
    return max(1, min(threads, (os.cpu_count() or 1) // (run.workers or 1)))


class Told(Protocol):
    """What a worker is told first; picklable. ``threads``: processors that it takes."""

    threads: int

    def worker(self) -> Any:
        """What does the work: ``ran``, ``do(unit)`` and ``news_of_stages()``. Raises TcnfastError
        where it cannot be done on this machine."""

    def seen(self, unit: Any, result: Any) -> bool:
        """Whether this process sees what a worker wrote of a unit; ``result``: what it said."""


class RayEngine:
    """``workers`` actors that are told ``told``; None: as many as the cluster has room for.

    ``gpus``: of each worker, 0 or 1. The cluster is that of RAY_ADDRESS, or one on this machine
    that ends with the run. Raises TcnfastError where Ray is not installed.
    """

    tries = 4  # given out once, and three times more

    def __init__(self, told: Told, workers: int | None, gpus: int = 0) -> None:
        self._told, self._workers, self._gpus = told, workers, gpus
        self._ray = _ray()
        self._folder: str | None = None  # of our own cluster
        self._actors: dict[str, Any] = {}
        self._asked: dict[Any, tuple[str, Any]] = {}  # worker and unit of a call
        self._places: dict[str, str] = {}

    def count(self) -> int:
        """How many workers there will be; joins the cluster."""
        if not self._ray.is_initialized():
            self._connect()
        return self._workers or max(1, self._room())

    def start(self) -> None:
        began = time.monotonic()
        workers, room = self.count(), self._room()
        words = "Ray: %s of %s, room for %d; ready after %.1f s"
        threads = count(self._told.threads, "thread")
        log.info(words, count(workers, "worker"), threads, room, time.monotonic() - began)
        self._put = self._ray.put(self._told)
        for number in range(1, workers + 1):
            self._begin(f"worker {number}")

    def _connect(self) -> None:
        quiet = dict(log_to_driver=False, configure_logging=False)
        if os.environ.get(ADDRESS):
            self._ray.init(**quiet)
            return
        os.environ.update({name: x for name, x in QUIET.items() if name not in os.environ})
        self._folder = tempfile.mkdtemp(prefix="tcnfast-ray-")
        need = self._told.threads * (self._workers or 1)
        self._ray.init(
            **quiet,
            num_cpus=max(os.cpu_count() or 1, need),
            include_dashboard=False,
            object_store_memory=STORE_BYTES,
            _temp_dir=self._folder,
            _system_config=HEALTH,
        )

    def _room(self) -> int:
        """Workers that there is room for. Raises TcnfastError where no node could hold one: Ray
        would wait for such a node."""
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        for name, what, needs in (
            ("CPU", "processors", self._told.threads),
            ("GPU", "GPUs", self._gpus),
        ):
            most = int(max((node.get(name, 0) for node in nodes), default=0))
            if needs > most:
                raise TcnfastError(
                    f"a worker takes {needs} {what}, the largest node has {most}; "
                    f"{setting('threads')} and {setting('device')} say what it takes"
                )
        rows = [(node.get("CPU", 0) // self._told.threads, node.get("GPU", 0)) for node in nodes]
        return int(sum(min(cpus, gpus) if self._gpus else cpus for cpus, gpus in rows))

    def _begin(self, name: str) -> None:
        kind = self._ray.remote(
            max_restarts=0,
            max_task_retries=0,
            num_cpus=self._told.threads,
            num_gpus=self._gpus,
        )(Actor)
        actor = kind.remote([self._put])
        self._actors[name] = actor
        self._asked[actor.ready.remote()] = (name, None)

    def give(self, worker: str, unit: Any) -> None:
        if unit is not None:
            self._asked[self._actors[worker].do.remote(unit)] = (worker, unit)

    def events(self, seconds: float | None) -> Iterator[Event]:
        if not self._asked:
            time.sleep(seconds or 0.2)
            return
        ready, _ = self._ray.wait(list(self._asked), timeout=seconds)
        for call in ready:
            worker, unit = self._asked.pop(call)
            yield from self._answer(worker, unit, call)

    def _answer(self, worker: str, unit: Any, call: Any) -> Iterator[Event]:
        from ray.exceptions import RayActorError, RayTaskError

        try:
            receipt = self._ray.get(call)
        except RayActorError as error:
            where = self._places.get(worker, "")
            why = _why_lost(error)
            yield Event(worker, "lost", (f"{where}{why}",))
            return
        except RayTaskError as error:
            raise _named(worker, error) from None
        for level, words in receipt["log"]:
            yield Event(worker, "log", (level, f"{worker}: {words}"))
        if unit is None:
            self._places[worker] = f"on {receipt['place']}: "
            yield Event(worker, "runs", (receipt["ran"],))
        else:
            self._check_seen(worker, unit, receipt["result"])
            yield Event(worker, "stages", (receipt["stages"],))
            yield Event(worker, "finished", (unit, receipt["result"]))
        yield Event(worker, "next", ())

    def _check_seen(self, worker: str, unit: Any, result: Any) -> None:
        """A network's folder may show a new file late."""
        limit = time.monotonic() + SEEN_WITHIN
        while not self._told.seen(unit, result):
            if time.monotonic() > limit:
                raise TcnfastError(
                    f"{worker} {self._places[worker]}wrote {unit.words}, which is not seen here: "
                    f"{setting('out')} must lie in a folder that all nodes share"
                )
            time.sleep(0.1)

    def replace(self, worker: str) -> None:
        self._end(worker)
        self._begin(worker)

    def _end(self, worker: str) -> None:
        for call in [call for call, (other, _) in self._asked.items() if other == worker]:
            del self._asked[call]
        with suppress(Exception):  # it may be gone already, and its node with it
            self._ray.kill(self._actors[worker])

    def close(self) -> None:
        for worker in list(self._actors):
            self._end(worker)
        if self._folder is not None:
            self._ray.shutdown()
            for _ in range(50):  # processes that end may still write there
                shutil.rmtree(self._folder, ignore_errors=True)
                if not os.path.exists(self._folder):
                    break
                time.sleep(0.1)


class Actor:
    """What runs on a node. ``told``: in a list, so that Ray does not wait for it before."""

    def __init__(self, told: list) -> None:
        self._put = told[0]
        self._warnings = _Warnings()
        logging.getLogger("tcnfast").addHandler(self._warnings)

    def ready(self) -> dict:
        import ray

        self._worker = ray.get(self._put).worker()
        place = f"{socket.gethostname()}, process {os.getpid()}"
        return {"ran": self._worker.ran, "place": place, "log": self._warnings.taken()}

    def do(self, unit: Any) -> dict:
        result = self._worker.do(unit)
        stages = {name: busy for name, busy in self._worker.news_of_stages().items() if busy}
        return {"result": result, "stages": stages, "log": self._warnings.taken()}


class _Warnings(logging.Handler):
    """Keeps the first words of a few, for the next receipt."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._kept: list[tuple[int, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        if len(self._kept) < FEW:
            self._kept.append((record.levelno, record.getMessage()[:SHORT]))

    def taken(self) -> list[tuple[int, str]]:
        kept, self._kept = self._kept, []
        return kept


def _why_lost(error: Exception) -> str:
    """Ray's words in short: its first line may be a paragraph."""
    text = " ".join(str(error).split())
    end = text.find(". ")
    return text[: end if 0 < end < SHORT else SHORT].rstrip(". ")


def _named(worker: str, error: Any) -> Exception:
    """What a worker met, with its name: bad input, a disk without room, a defect."""
    cause = error.cause
    if isinstance(cause, OSError) and cause.strerror:
        return OSError(cause.errno, f"{cause.strerror} ({worker})", cause.filename)
    if isinstance(cause, TcnfastError):
        return TcnfastError(f"{worker}: {cause}")
    named = RuntimeError(f"{worker}: {type(cause).__name__}: {cause}")
    named.add_note(str(error))
    return named


def _ray() -> Any:
    try:
        import ray
    except ImportError:
        raise TcnfastError(
            f"{setting('cluster', 'ray')} needs the package ray: {install('cluster')}"
        ) from None
    return ray
