"""Other work than a scan's on the same list: parts that each give a few arrays, in a file of their
own, done one after the other, some of them by each of several runs (``--shard``), or by the workers
of a cluster.

What is made of the arrays is then made of all files, in their order, by one process.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch

from ..base.disk import writing
from ..base.errors import TcnfastError
from ..base.options import Run, setting
from ..base.progress import Progress
from ..base.run_folder import RunFolder
from .exchange import Exchange
from .ray_engine import RayEngine, threads_of
from .shard_folder import ShardFolder
from .stages import Stages
from .stretch_worker import Ran
from .stretch_writer import key_digest
from .work_pool import WorkPool


class Part(NamedTuple):
    """Part ``number`` of the work. ``words``: its name in messages; ``what``: given to the function
    that makes it; ``size``: its share of the progress bar."""

    number: int
    words: str
    what: tuple
    size: int

    def file(self, folder: Path) -> Path:
        """Where its arrays are."""
        return folder / f"part.{self.number:06d}.npz"


class Maker(Protocol):
    """What gives the arrays of a part. ``ran``: what their last bits depend on."""

    ran: Ran

    def arrays(self, part: Part) -> dict[str, np.ndarray]: ...


class PartWorker:
    """Writes the files of parts. ``exchange``: where they go."""

    def __init__(self, maker: Maker, exchange: Exchange) -> None:
        self._maker, self._exchange, self.ran = maker, exchange, maker.ran

    def do(self, part: Part) -> None:
        """Write the file of a part, whole or not at all."""
        with self._exchange.writing([part.file(Path()).name]) as work:
            self._write(part, work)

    def _write(self, part: Part, work: Path) -> None:
        arrays, path = self._maker.arrays(part), part.file(work)
        # a name of its own, for another worker may be at the same part
        temporary = path.with_name(f"{path.stem}.{socket.gethostname()}.{os.getpid()}.tmp")
        needed = sum(np.asarray(array).nbytes for array in arrays.values())
        with writing(temporary, needed), open(temporary, "wb") as file:
            np.savez(file, **arrays)
        if work == self._exchange.work and key_digest(work) != self._exchange.key:
            temporary.unlink()
            raise TcnfastError(f"{work}: another run has begun there since")
        temporary.replace(path)

    def news_of_stages(self) -> dict[str, float]:
        """None are timed."""
        return {}


@dataclass(frozen=True)
class PartStart:
    """What a worker of a cluster is told first; picklable. ``make`` makes its maker."""

    make: Callable[[], Maker]
    needs: tuple[Path, ...]  # files that it reads
    exchange: Exchange
    threads: int

    def worker(self) -> PartWorker:
        """What does the work. Raises TcnfastError on a machine that does not see the files."""
        self.exchange.check(self.needs)
        torch.set_num_threads(self.threads)
        return PartWorker(self.make(), self.exchange)

    def seen(self, part: Part, result: object = None) -> bool:
        """Whether what was written of a part is with the driver."""
        return self.exchange.seen([part.file(Path()).name])


def spread(run: Run) -> bool:
    """Whether the work is done in parts."""
    return run.shard is not None or run.cluster is not None


def mine(parts: Sequence[Part], run: Run) -> Sequence[Part]:
    """The parts that this run does."""
    return parts if run.shard is None else parts[run.shard[0] - 1 :: run.shard[1]]


def do_parts(
    parts: Sequence[Part],
    maker: Maker,
    make: Callable[[], Maker],
    needs: Sequence[Path],
    folder: RunFolder,
    run: Run,
    unit: str,
) -> None:
    """Write the files of the parts of this run into ``folder.work``, but for those that are there:
    by ``maker``, or those that ``make`` makes on the nodes of a cluster, which read ``needs``."""
    folder.settle()
    ours, work = mine(parts, run), folder.work
    exchange = Exchange.of(work, run.store)
    exchange.take_up()
    todo = [part for part in ours if not part.file(work).exists()]
    with Progress(sum(part.size for part in ours), unit, run.progress) as bar:
        bar.begin_at(sum(part.size for part in ours) - sum(part.size for part in todo))
        if run.cluster is None:
            worker = PartWorker(maker, exchange)
            for part in todo:
                worker.do(part)
                bar.update(part.size)
        elif todo:
            paths = tuple(Path(path).absolute() for path in needs)
            start = PartStart(make, paths, exchange, threads_of(run))
            engine = RayEngine(start, run.workers, int(maker.ran.device == "cuda"))
            pool = WorkPool(engine, todo, maker.ran, run.time_limit)
            pool.run(lambda *_: None, lambda part, *_: bar.update(part.size), Stages())
    exchange.done()


def publish_parts(parts: Sequence[Part], folder: RunFolder, run: Run, record: dict) -> ShardFolder:
    """Make the files of this run's parts the output, for ``tcnfast merge``."""
    for part in mine(parts, run):
        if part.file(folder.work).exists():
            part.file(folder.work).rename(part.file(folder.result))
    folder.publish(record)
    return ShardFolder(folder.path)


def read_parts(parts: Sequence[Part], shards: Sequence[ShardFolder]) -> list[Path]:
    """The file of each part, where all ``shards`` are there. Raises TcnfastError for one that is
    missing."""
    paths = [part.file(shards[part.number % len(shards)].path) for part in parts]
    for part, path in zip(parts, paths, strict=True):
        if not path.exists():
            raise TcnfastError(
                f"{path.parent}: is damaged, {part.words} is missing; run it anew with "
                f"{setting('force', True)}"
            )
    return paths
