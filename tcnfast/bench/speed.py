"""Measuring speed: clocks, and sides that take turns."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

Run = Callable[[], object]
CALLS = 3  # before anything is timed: compilers, searches and caches settle
LONGEST_HOLD = 0.1  # seconds
CLOCK = 2e9  # cycles a second that a hold is counted in, at least those of today's GPUs


@dataclass(frozen=True)
class Timing:
    """Seconds of a call: on the device alone, and ``called`` by the host's clock from call to end,
    which holds what launching kernels from Python takes."""

    median: float
    p20: float
    p80: float
    called: float
    rounds: int

    @classmethod
    def of(cls, samples: list[float], called: list[float]) -> Timing:
        low, middle, high, host = (
            torch.tensor(values, dtype=torch.float64).quantile(q).item()
            for values, q in ((samples, 0.2), (samples, 0.5), (samples, 0.8), (called, 0.5))
        )
        return cls(middle, low, high, host, len(samples))


class Clock:
    """Seconds that a call takes on ``device``.

    On a GPU by its events, the L2 cache full of other data. The GPU is held until the host has
    launched everything, so that what is measured is the kernels, not how fast Python launches them.
    On other devices by the host's clock.
    """

    def __init__(self, device: torch.device) -> None:
        self.device, self.gpu = device, device.type == "cuda"
        if self.gpu:
            properties = torch.cuda.get_device_properties(device)
            cache = getattr(properties, "L2_cache_size", 0) or 2**26
            self.other = torch.empty(4 * cache, dtype=torch.uint8, device=device)
            self.start, self.end = (torch.cuda.Event(enable_timing=True) for _ in range(2))

    def wait(self) -> None:
        if self.gpu:
            torch.cuda.synchronize(self.device)
        elif self.device.type == "mps":
            torch.mps.synchronize()

    def warm(self, run: Run, calls: int = CALLS) -> float:
        """Call ``run`` until it has settled; seconds in which the host launches it."""
        launched = 0.0
        for _ in range(calls):
            self.wait()
            start = time.perf_counter()
            run()
            launched = time.perf_counter() - start
        self.wait()
        return launched

    def called(self, run: Run) -> float:
        self.wait()
        start = time.perf_counter()
        run()
        self.wait()
        return time.perf_counter() - start

    def __call__(self, run: Run, hold: float = 0.0) -> float:
        """``hold``: seconds before the device begins, for the host to launch everything."""
        if not self.gpu:
            return self.called(run)
        self.other.zero_()
        torch.cuda._sleep(int(min(1.5 * hold + 1e-4, LONGEST_HOLD) * CLOCK))
        self.start.record()
        run()
        self.end.record()
        self.wait()
        return self.start.elapsed_time(self.end) / 1000


def take_turns(
    runs: dict[str, Run],
    clock: Clock,
    seconds: float,
    least: int = 7,
    most: int = 50,
    calls: int = CALLS,
) -> dict[str, Timing]:
    """Time each of ``runs`` round by round, each round beginning with another: ``least`` to
    ``most`` rounds, as many as ``seconds`` allow, and three where they take far longer. Each is
    called ``calls`` times before."""
    holds = {name: clock.warm(run, calls) for name, run in runs.items()}
    samples = {name: [] for name in runs}
    called = {name: [] for name in runs}

    def round_of_all(turn: int) -> None:
        order = list(runs)
        for name in order[turn % len(order) :] + order[: turn % len(order)]:
            samples[name].append(clock(runs[name], holds[name]))
            host = clock.called(runs[name]) if clock.gpu else samples[name][-1]
            called[name].append(host)

    start = time.perf_counter()
    for turn in range(most):
        round_of_all(turn)
        spent = time.perf_counter() - start
        enough = min(least, 3) if spent > 3 * seconds else least
        if turn + 1 >= enough and spent * (turn + 2) / (turn + 1) > seconds:
            break
    return {name: Timing.of(samples[name], called[name]) for name in runs}
