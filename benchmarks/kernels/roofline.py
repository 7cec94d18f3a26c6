"""How fast a machine could be: the work that is needed, and what the device does of it a second."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from tcnfast.bench.speed import Clock, Run, take_turns
from tcnfast.engines.grid import StackGrid


@dataclass(frozen=True)
class Work:
    """Operations that are needed, and bytes that must move through the device's memory: each input
    read once, each output written once."""

    operations: float
    bytes: float

    @classmethod
    def of_stack(cls, grid: StackGrid, channels: int, labels: int, scores: int) -> Work:
        """A stack that reads codes; the first layer's look-ups are not counted as arithmetic."""
        bases = scores * grid.stride
        operations = 2 * grid.macs_per_base(channels, labels) * bases
        return cls(operations, bases + grid.receptive_field + 4 * labels * scores)


@dataclass(frozen=True)
class Roofline:
    """What the device does: bytes a second of a large copy, read and written, and operations a
    second of a large matrix product."""

    bandwidth: float
    rate: float

    def floor(self, work: Work) -> float:
        """Seconds that ``work`` takes at least."""
        return max(work.operations / self.rate, work.bytes / self.bandwidth)

    @classmethod
    def measure(cls, clock: Clock, dtype: torch.dtype, size: int = 8192) -> Roofline:
        """``size``: of the square matrices that are multiplied; the copy is of 32 * size² bytes."""
        return cls(_bandwidth(clock, 32 * size * size), _rate(clock, dtype, size))


def _bandwidth(clock: Clock, n_bytes: int) -> float:
    source = torch.randn(n_bytes // 4, device=clock.device)
    target = torch.empty_like(source)
    timing = take_turns({"copy": lambda: target.copy_(source)}, clock, 0.5)["copy"]
    return 2 * n_bytes / timing.median


def _rate(clock: Clock, dtype: torch.dtype, size: int) -> float:
    # random: on zeros GPUs clock higher
    a, b = torch.randn(2, size, size, device=clock.device).to(dtype)
    timing = take_turns({"product": lambda: a @ b}, clock, 0.5)["product"]
    return 2 * size**3 / timing.median


def peak_memory(run: Run, device: torch.device) -> float | None:
    """MiB by which a call raises the GPU's allocated memory; None on other devices."""
    if device.type != "cuda":
        return None
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    result = run()
    torch.cuda.synchronize(device)
    peak = torch.cuda.max_memory_allocated(device) - before
    del result
    return peak / 2**20
