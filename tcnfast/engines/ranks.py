"""Processes that train one network together, each on its rows of every batch.

Operators are told their ranks by name, since PyTorch's take no objects; "" is a process alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import TypeVar

from torch import Tensor

from ..base.errors import TcnfastError

T = TypeVar("T")


class Ranks(ABC):
    """``count`` processes, of which this one is number ``rank``; ``name`` is what operators are
    told. Every method is called by all of them, in the same order."""

    name: str
    rank: int
    count: int

    @property
    def rows(self) -> slice:
        """Which rows of a batch are those of this process. Rows i and i + N/2 of N, where these are
        the strands of a tile, stay together."""
        return slice(self.rank, None, self.count)

    @abstractmethod
    def gather(self, values: Tensor) -> Tensor:
        """``values`` of every process, (count, *shape), in the order of the ranks."""

    def total(self, values: Tensor) -> Tensor:
        """The sum of ``values`` over the processes, the same bits in all of them."""
        return self.gather(values).sum(0)

    @abstractmethod
    def add_up(self, values: Tensor) -> None:
        """Add up ``values`` of all processes, in place: for many numbers."""

    @abstractmethod
    def of_first(self, make: Callable[[], T]) -> T:
        """What ``make`` gives in the first process, which alone calls it, in all of them."""

    @abstractmethod
    def share(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite ``tensors`` by those of the first process."""

    @abstractmethod
    def check_alike(self, what: str, value: object) -> None:
        """Raise TcnfastError where ``value`` is not the same in all processes."""


class Alone(Ranks):
    """A process that trains alone."""

    name, rank, count = "", 0, 1

    def gather(self, values: Tensor) -> Tensor:
        """See :class:`Ranks`."""
        return values[None]

    def add_up(self, values: Tensor) -> None:
        """See :class:`Ranks`."""

    def of_first(self, make: Callable[[], T]) -> T:
        """See :class:`Ranks`."""
        return make()

    def share(self, tensors: Iterable[Tensor]) -> None:
        """See :class:`Ranks`."""

    def check_alike(self, what: str, value: object) -> None:
        """See :class:`Ranks`."""


ALONE = Alone()
_joined: dict[str, Ranks] = {ALONE.name: ALONE}


def join(ranks: Ranks) -> None:
    """Make ``ranks`` known by its name."""
    _joined[ranks.name] = ranks


def leave(ranks: Ranks) -> None:
    """Forget it."""
    _joined.pop(ranks.name, None)


def ranks_named(name: str) -> Ranks:
    """The ranks of this name. Raises TcnfastError where this process belongs to none of it."""
    if name not in _joined:
        raise TcnfastError(f"ranks {name!r}: this process is none of them")
    return _joined[name]
