"""What tiles suit the inference kernels here: `python -m benchmarks.kernels.tune`, on a GPU.

For the first block and blocks above it of the default model, dense and pruned, every tile height,
number of warps and of pipeline stages, and taps loaded again or kept, is run; what gives other
numbers than the tiling that is in use is wrong, what does not fit is said so. Of the three fastest
of each kernel the number of tiles a multiprocessor gets is tried as well. Times are the device's
own, medians, the L2 cache flushed before each call. ``Tiling.of`` in
tcnfast/engines/triton_engine.py is what to set by it.

Kernels are compiled by several processes first, into Triton's cache. `--out FILE` keeps all rows.
With TRITON_INTERPRET=1 it goes the way with toys.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from statistics import median

import torch

from benchmarks.kernels import torch_stacks
from benchmarks.kernels.cases import random_codes
from tcnfast.base.errors import TcnfastError
from tcnfast.bench.speed import Clock
from tcnfast.engines import triton_engine
from tcnfast.engines.backend import DTYPES
from tcnfast.engines.triton_engine import Chip, FirstBlock, FusedBlock, Tiling
from tcnfast.engines.triton_layout import Layout
from tcnfast.model.tcn import TCNConfig

ROWS, WARPS, STAGES = (32, 64, 128), (4, 8), (1, 2, 3)
TILES = (1, 2, 4, 8, 16)
SAMPLES = 11
# name: stride of the scores, block, positions that it reads
KERNELS = {
    "first block, dense": (1, 0, 2**22),
    "first block, pruned": (32, 0, 2**22),
    "block, dense, dilation 8": (1, 3, 2**20),
    "block, dense, dilation 128": (1, 7, 2**20),
    "block, pruned, stride 2": (32, 3, 2**20),
    "block, pruned, dilation 2": (32, 6, 2**20),
}


class Kernel:
    """One of KERNELS on the device, for any tiling."""

    def __init__(self, name: str, device: torch.device, precision: str) -> None:
        stride, index, length = KERNELS[name]
        toy = triton_engine.interpreted()
        config = TCNConfig(labels=["a"], channels=16 if toy else 64, first_kernel=15)
        self.weights = torch_stacks.random_model(config).folded().to(device, torch.float32)
        self.geometry, self.index = config.grid(stride).blocks[index], index
        self.block = self.weights.blocks[index]
        self.precision, self.chip = precision, Chip.of(device)
        length = self.geometry.span // self.geometry.grid_in + 40 if toy else length
        self.x = random_codes(1, length).to(device)
        if index:
            shape = 1, length, config.channels
            self.x = torch.randn(shape, device=device).relu_().to(DTYPES[precision])
        self.layout = Layout(config.channels)
        self.default = Tiling.of(self.chip, self.geometry, self.layout)

    @cached_property
    def expected(self) -> torch.Tensor:
        return self.run(self.default)()

    def run(self, tiling: Tiling) -> Callable[[], torch.Tensor]:
        kind = FusedBlock if self.index else FirstBlock
        block = kind(self.block, self.geometry, self.layout, self.precision, self.chip, tiling)
        return lambda: block(self.x)

    def tilings(self) -> Iterator[Tiling]:
        """All that are compiled apart."""
        reload = (False, True) if self.index else (False,)
        if triton_engine.interpreted():
            yield from (self.default, replace(self.default, rows=32))
            return
        for rows, warps, stages, again in itertools.product(ROWS, WARPS, STAGES, reload):
            yield replace(self.default, rows=rows, warps=warps, stages=stages, reload=again)

    def measure(self, clock: Clock, tiling: Tiling) -> tuple[float | None, str]:
        """Median seconds, or None and why there are none."""
        try:
            run = self.run(tiling)
            if not torch.allclose(run(), self.expected, rtol=1e-2, atol=1e-2):
                return None, "wrong"
            hold = clock.warm(run)
            samples = 1 if triton_engine.interpreted() else SAMPLES
            return median(clock(run, hold) for _ in range(samples)), ""
        except Exception as error:  # of Triton: no shared memory, no registers, a compiler's bug
            return None, f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"


def compile_share(share: int, shares: int, device, precision: str) -> None:
    """Compile every ``shares``-th variant."""
    number = itertools.count()
    for name in KERNELS:
        kernel = Kernel(name, device, precision)
        for tiling in kernel.tilings():
            if next(number) % shares == share:
                try:
                    kernel.run(tiling)()
                except Exception:  # the process that measures says what
                    continue


def compile_all(processes: int, precision: str) -> float:
    start = time.perf_counter()
    command = [sys.executable, "-m", "benchmarks.kernels.tune", "--precision", precision, "--share"]
    children = [
        subprocess.Popen([*command, str(share), str(processes)]) for share in range(processes)
    ]
    if any([child.wait() for child in children]):
        print("a process that compiles ended early; the rest is compiled as it is measured")
    return time.perf_counter() - start


def tune(kernel: Kernel, name: str, clock: Clock) -> list[dict]:
    def measured(tiling: Tiling) -> dict:
        seconds, why = kernel.measure(clock, tiling)
        row = {"kernel": name, **asdict(tiling)}
        return row | {"us": "" if seconds is None else f"{seconds * 1e6:.1f}", "note": why}

    rows = [measured(tiling) for tiling in kernel.tilings()]
    best = sorted((row for row in rows if row["us"]), key=lambda row: float(row["us"]))[:3]
    for row in best:
        tiling = Tiling(*(row[key] for key in ("rows", "warps", "stages", "reload", "tiles")))
        others = [count for count in TILES if count != tiling.tiles]
        rows += [measured(replace(tiling, tiles=count)) for count in others]
    return rows


def show(name: str, rows: list[dict], default: Tiling) -> None:
    timed = sorted((row for row in rows if row["us"]), key=lambda row: float(row["us"]))
    left = len(rows) - len(timed)
    print(f"\n{name}: {len(timed)} tilings timed, {left} do not run")
    for row in timed[:6]:
        print(f"  {row['us']:>9} us  {tiling_words(row)}")
    used = [row for row in timed if tiling_words(row) == tiling_words(asdict(default))]
    for row in used:
        print(f"  {row['us']:>9} us  in use")
    for why in sorted({row["note"] for row in rows if row["note"]})[:3]:
        print(f"  {why}")
    sys.stdout.flush()


def tiling_words(row: dict) -> str:
    return ", ".join(f"{key}={row[key]}" for key in ("rows", "warps", "stages", "reload", "tiles"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("--out", type=Path, metavar="FILE", help="a csv of all that was tried")
    parser.add_argument("--precision", default="fp32" if triton_engine.interpreted() else "bf16")
    parser.add_argument("--processes", type=int, default=min(14, os.cpu_count() or 1))
    parser.add_argument("--share", nargs=2, type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    toy = triton_engine.interpreted()
    device = torch.device("cpu" if toy else "cuda")
    reason = None if toy or torch.cuda.is_available() else "no NVIDIA GPU is here"
    reason = reason or triton_engine.why_not_here(device, args.precision)
    if reason:
        raise TcnfastError(f"tune_kernels: {reason}")
    if args.share:
        compile_share(*args.share, device, args.precision)
        return 0
    if not toy:
        print(f"compiled in {compile_all(args.processes, args.precision):.0f} s")
    clock, found = Clock(device), []
    for name in KERNELS:
        kernel = Kernel(name, device, args.precision)
        rows = tune(kernel, name, clock)
        show(name, rows, kernel.default)
        found += rows
        if args.out:
            with open(args.out, "w", newline="") as file:
                writer = csv.DictWriter(file, found[0], lineterminator="\n")
                writer.writeheader()
                writer.writerows(found)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except TcnfastError as error:
        sys.exit(str(error))
