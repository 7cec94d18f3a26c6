"""Training on several processes that ``torchrun`` starts: who they are, what they tell each other,
and how they end together."""

from __future__ import annotations

import itertools
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import NamedTuple, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from ..base.errors import SaidElsewhere, TcnfastError
from ..base.options import setting
from ..engines.ranks import ALONE, Ranks, join, leave

T = TypeVar("T")

VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # that torchrun sets
# the longest that one process may keep the others waiting: the first, while it scores validation
PATIENCE = timedelta(hours=2)
FAILED = "failed"  # counts the processes that have failed
# what gloo and NCCL say of a process that is gone
LOST = "connection closed", "connection reset", "broken pipe", "remote process", "timed out"
_times = itertools.count()  # that this process joined others


class Torchrun(Ranks):
    """The processes of PyTorch's default group: gloo between processors, NCCL between GPUs."""

    name = "torchrun"

    def __init__(self, rank: int, count: int) -> None:
        self.rank, self.count = rank, count

    def gather(self, values: Tensor) -> Tensor:
        """See :class:`Ranks`."""
        everywhere = values.new_empty(self.count, *values.shape)
        dist.all_gather(list(everywhere), values.contiguous())
        return everywhere

    def add_up(self, values: Tensor) -> None:
        """See :class:`Ranks`."""
        dist.all_reduce(values)

    def of_first(self, make: Callable[[], T]) -> T:
        """See :class:`Ranks`."""
        box = [make() if self.rank == 0 else None]
        dist.broadcast_object_list(box)
        return box[0]

    def share(self, tensors: Iterable[Tensor]) -> None:
        """See :class:`Ranks`."""
        for tensor in tensors:
            dist.broadcast(tensor, 0)

    def check_alike(self, what: str, value: object) -> None:
        """See :class:`Ranks`."""
        values: list[object] = [None] * self.count
        dist.all_gather_object(values, value)
        for rank, other in enumerate(values):
            if other != values[0]:
                raise TcnfastError(f"{what}: {values[0]} in process 0, {other} in process {rank}")


class Member(NamedTuple):
    """This process among those of a training, and the device that it trains on."""

    ranks: Ranks
    device: str


@contextmanager
def joined(device: str) -> Iterator[Member]:
    """Join the processes that torchrun started, if it did; ``device`` as the user named it.

    Where one process fails all end, and one of them says why: the others raise SaidElsewhere. Log
    lines are those of the first process. Raises TcnfastError for a device that several processes of
    a machine would share.
    """
    if any(name not in os.environ for name in VARIABLES) or os.environ["WORLD_SIZE"] == "1":
        yield Member(ALONE, device)
        return
    if dist.is_initialized():
        raise TcnfastError(
            "torch.distributed has a process group already; training joins the processes of "
            "torchrun by itself"
        )
    store, rank, count = next(dist.rendezvous("env://"))
    store = dist.PrefixStore(f"tcnfast/{next(_times)}", store)
    talk = logging.getLogger("tcnfast")
    level = talk.level
    if rank > 0:
        talk.setLevel(logging.CRITICAL)
    try:
        device = _own(device)
        backend = "cpu:gloo,cuda:nccl" if device.startswith("cuda") else "gloo"
        dist.init_process_group(backend, timeout=PATIENCE, world_size=count, rank=rank, store=store)
        ranks = Torchrun(rank, count)
        join(ranks)
        try:
            yield Member(ranks, device)
        finally:
            leave(ranks)
    except BaseException as error:
        explained = _explained(error, store, rank)
        if explained is error:
            raise
        raise explained from error
    finally:
        talk.setLevel(level)
        if dist.is_initialized():
            dist.destroy_process_group()


def _own(device: str) -> str:
    """The device of this process among those of its machine."""
    if device == "cpu" or (device == "auto" and not torch.cuda.is_available()):
        return "cpu"
    if device not in ("auto", "cuda"):
        raise TcnfastError(
            f"{setting('device', device)}: the processes of torchrun would share it; give cpu, or "
            "cuda for a GPU each"
        )
    mine, there = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if mine >= there:
        raise TcnfastError(f"process {mine + 1} of this machine has no GPU: it has {there}")
    torch.cuda.set_device(mine)
    return f"cuda:{mine}"


def _explained(error: BaseException, store: dist.Store, rank: int) -> BaseException:
    """What this process ends with: the error, where it is the first that has one."""
    try:
        first = store.add(FAILED, 1) == 1
    except RuntimeError:  # the store went with the process that held it
        first = True
    if not first:
        return SaidElsewhere()
    if isinstance(error, RuntimeError) and any(x in str(error).lower() for x in LOST):
        return TcnfastError(f"process {rank}: another one of this training ended without a word")
    return error
