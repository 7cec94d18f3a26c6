"""Tasks for compiled loops that hold no interpreter lock, on PyTorch's number of threads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Task, Result = TypeVar("Task"), TypeVar("Result")


def in_order(function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
    """What ``function`` gives for each task, in their order.

    Where there is one thread it is the caller's: a new one takes its memory from pages that nobody
    has touched yet, which cost a seventh of the time of mutagenesis."""
    threads = torch.get_num_threads()
    if threads == 1:
        yield from map(function, tasks)
        return
    with ThreadPoolExecutor(threads) as pool:
        yield from pool.map(function, tasks)
