"""Three things at a time: what comes next is read, what is there is scored, what was scored is
taken in; each in order, and never more than a few batches apart."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
WRITE_BEHIND = 2  # batches that were scored and not taken in yet


def read_ahead(
    items: Iterable[Item], read: Callable[[Item], object], readers: int
) -> Iterator[tuple[Item, object]]:
    """Each item with ``read(item)``, in order, read by ``readers`` threads up to
    :func:`look_ahead` items before they are asked for."""
    pool = ThreadPoolExecutor(readers, thread_name_prefix="reader")
    ahead: deque[tuple[Item, Future]] = deque()
    try:
        for item in items:
            ahead.append((item, pool.submit(read, item)))
            if len(ahead) > look_ahead(readers):
                yield _next(ahead)
        while ahead:
            yield _next(ahead)
    finally:
        pool.shutdown(cancel_futures=True)


def look_ahead(readers: int) -> int:
    """Items read before they are asked for."""
    return readers + 1


def _next(ahead: deque) -> tuple[object, object]:
    item, future = ahead.popleft()
    return item, future.result()


class Behind:
    """Runs ``take(*values)`` in a thread of its own, in order, a bounded number behind."""

    def __init__(self, take: Callable[..., None]) -> None:
        self._take = take
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="writer")
        self._pending: deque[Future] = deque()

    def put(self, *values) -> None:
        self._pending.append(self._pool.submit(self._take, *values))
        while len(self._pending) > WRITE_BEHIND or (self._pending and self._pending[0].done()):
            self._pending.popleft().result()

    def __enter__(self) -> Behind:
        return self

    def __exit__(self, kind, *_) -> None:
        try:
            while self._pending and kind is None:
                self._pending.popleft().result()
        finally:
            self._pool.shutdown(cancel_futures=True)
