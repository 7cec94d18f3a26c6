"""Where the time of a scan goes: seconds that each stage was busy."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

# read: bytes of the genome to codes; mask: which label bins are all N; copy: to and from a GPU;
# compute: the network (on a GPU, the time between events around it); tail: thresholds and
# compaction on the device; call: runs of hits; track: changes or chunks of tracks; write: shards,
# narrowPeak, bigWig
STAGES = ("read", "mask", "copy", "compute", "tail", "call", "track", "write")


class Stages:
    """Busy seconds of each stage, summed over threads; stages overlap, so they may exceed the
    clock's."""

    def __init__(self) -> None:
        self._seconds = dict.fromkeys(STAGES, 0.0)
        self._lock = threading.Lock()

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.add(stage, time.perf_counter() - started)

    def add(self, stage: str, seconds: float) -> None:
        with self._lock:
            self._seconds[stage] += seconds

    def clear(self) -> None:
        """Forget what went before, as a trial of the speed."""
        with self._lock:
            self._seconds = dict.fromkeys(STAGES, 0.0)

    def merge(self, seconds: dict[str, float]) -> None:
        """Add what another process measured."""
        for stage, more in seconds.items():
            self.add(stage, more)

    @property
    def seconds(self) -> dict[str, float]:
        with self._lock:
            return {stage: round(busy, 3) for stage, busy in self._seconds.items()}

    def __str__(self) -> str:
        return ", ".join(f"{stage} {busy:.1f} s" for stage, busy in self.seconds.items() if busy)
