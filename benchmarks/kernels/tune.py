"""What the engines' cuts were tuned on: `python -m benchmarks.kernels.tune`.

On a GPU, tiles of the inference kernels. For the first block and blocks above it of the default
model, dense and pruned, every tile height, number of warps and of pipeline stages, and taps loaded
again or kept, is run; what gives other numbers than the tiling that is in use is wrong, what does
not fit is said so. Of the three fastest of each kernel the number of tiles a multiprocessor gets is
tried as well. Times are the device's own, medians, the L2 cache flushed before each call.
``Tiling.of`` in tcnfast/engines/triton_engine.py is what to set by it. Kernels are compiled by
several processes first, into Triton's cache. `--out FILE` keeps all rows. With TRITON_INTERPRET=1
it goes the way with toys.

On a processor, cases by name; rows go to results/chunk.csv, plan.csv and zeros.csv, unless `--dry`:

chunk     positions that pass through all layers at once (CHUNK_BYTES of csrc/cpu/stream.h): seconds
          for 2^18 bases on one thread.
segments  bases of a segment of a scan (SEGMENT_BASES): seconds for 2^20 bases.
lists     one convolution over lists of its inputs that are not 0, and how many times faster that is
          than the dense kernel, or the halved one of a symmetric network, by the share of inputs
          that are there (thresholds of csrc/cpu/lists.cpp). With what surrounds the convolution, a
          look-up of 3 taps and a head of one label; processor time of one thread.
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
from unittest import mock

import torch

from benchmarks.harness import PROCESSOR, append, compare, report
from benchmarks.harness import show as show_rows
from benchmarks.kernels import torch_stacks
from benchmarks.kernels.cases import random_codes
from tcnfast.base.errors import TcnfastError
from tcnfast.bench.speed import Clock
from tcnfast.bench.symmetric_twin import random_letters
from tcnfast.engines import cpu_engine, reference, triton_engine
from tcnfast.engines.backend import DTYPES
from tcnfast.engines.grid import stack_grid
from tcnfast.engines.plan import Plan
from tcnfast.engines.reference import StackWeights
from tcnfast.engines.triton_engine import Chip, FirstBlock, FusedBlock, Tiling
from tcnfast.engines.triton_layout import Layout
from tcnfast.model.tcn import TCN, TCNConfig

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
# on a processor
CHUNKS = [448, 896, 1792, 3584, 7168, 14336]
SEGMENTS = [2**k for k in range(12, 19)]
STRIDE = 32
SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)  # of inputs that are not 0
SHAPES = ((64, 3), (128, 3), (64, 5))
ISAS = (("avx2", "fp32"), ("avx512", "fp32"), ("avx512_bf16", "bf16"))


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


def chunk(args: argparse.Namespace) -> None:
    torch.manual_seed(0)
    model = TCN(TCNConfig(labels=["a"], first_kernel=15)).eval()
    for precision in ("fp32", "bf16"):
        if reason := cpu_engine.why_not(precision):
            print(f"left out: {precision}: {reason}")
            continue
        for stride, bases in ((1, 2**15), (STRIDE, 2**18)):
            grid, weights = model.config.grid(stride), model.folded()
            codes = random_letters(bases + model.receptive_field - stride)
            runs = {c: cpu_engine.prepare(weights, grid, precision, chunk=c) for c in CHUNKS}
            sides = {f"{c} positions": lambda r=run, x=codes: r(x) for c, run in runs.items()}
            scale = dict.fromkeys(sides, 2**18 / bases)
            _, medians = compare(sides, args.rounds, scale=scale)
            case = f"2^18 bp, s={stride}, {precision}, one thread"
            report("chunk", case, medians, f"{CHUNKS[0]} positions", args.dry)


def segments(args: argparse.Namespace) -> None:
    torch.manual_seed(0)
    labels = [f"label{i}" for i in range(112)]
    model = TCN(TCNConfig(labels=labels, first_kernel=19)).eval()
    plan = Plan(model, device="cpu", stride=STRIDE)
    codes = random_letters(SEGMENTS[-1] + model.receptive_field - STRIDE)
    pieces = {n: codes[:, : n + model.receptive_field - STRIDE] for n in SEGMENTS}
    sides = {f"{n} bp": lambda x=piece: plan(x) for n, piece in pieces.items()}
    scale = {f"{n} bp": 2**20 / n for n in SEGMENTS}
    _, medians = compare(sides, args.rounds, scale=scale)
    case = f"2^20 bp in segments, s={STRIDE}, {plan.backend} {plan.precision}"
    report("plan", case, medians, f"{SEGMENTS[0]} bp", args.dry)


@torch.no_grad()
def lists(args: argparse.Namespace) -> None:
    codes = random_letters(2**14)
    for (channels, taps), symmetric in itertools.product(SHAPES, (False, True)):
        torch.manual_seed(0)
        shape = dict(channels=channels, kernel_size=taps, blocks=1, symmetric=symmetric)
        plain, grid = TCN(TCNConfig(labels=["a"], **shape)).eval().folded(), stack_grid(taps, 1, 1)
        for isa, precision in ISAS:
            if cpu_engine.isas().get(isa, "unknown") is not None:
                continue
            rows = []
            for share in SHARES:
                weights, sides = with_share(plain, codes[:, :8192], share), {}
                with mock.patch.dict(os.environ, {cpu_engine.ISA_VARIABLE: isa}):
                    for listed in (False, True):
                        run = cpu_engine.prepare(weights, grid, precision, lists=listed)
                        sides[listed] = lambda run=run: run(codes)
                _, medians = compare(sides, args.rounds, PROCESSOR)
                gain = f"{medians[False] / medians[True]:.2f}"
                side = f"{share} of inputs"
                rows.append({"side": side, "median_s": f"{medians[True]:.4g}", "ratio": gain})
            form = "halved" if symmetric else "direct"
            case = f"C={channels} k={taps}, lists against {form}, {isa} {precision}"
            print(f"# {case}")
            show_rows(rows)
            if not args.dry:
                append("zeros", case, rows)


def with_share(weights: StackWeights, codes: torch.Tensor, share: float) -> StackWeights:
    """One block, biases such that each channel is there at ``share`` of the positions between its
    convolutions."""
    (block,) = weights.blocks
    one_hot = reference.one_hot(codes, torch.float32)
    before = reference.conv(one_hot, block.weight1, block.bias1)
    where = before.flatten(2).quantile(1 - share, dim=2).mean(0)
    if weights.symmetric:
        where = (where + where.flip(0)) / 2
    return replace(weights, blocks=(replace(block, bias1=block.bias1 - where),))


CASES = {"chunk": chunk, "segments": segments, "lists": lists}


def on_processor(args: argparse.Namespace) -> int:
    threads = torch.get_num_threads()
    for case in args.cases or CASES:
        torch.set_num_threads(threads if case == "segments" else 1)
        CASES[case](args)
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("cases", nargs="*", help=f"on a processor: {', '.join(CASES)}")
    parser.add_argument("--rounds", type=int, default=7, help="on a processor")
    parser.add_argument("--dry", action="store_true", help="on a processor: write no results")
    parser.add_argument("--out", type=Path, metavar="FILE", help="a csv of all that was tried")
    parser.add_argument("--precision", default="fp32" if triton_engine.interpreted() else "bf16")
    parser.add_argument("--processes", type=int, default=min(14, os.cpu_count() or 1))
    parser.add_argument("--share", nargs=2, type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    toy = triton_engine.interpreted()
    if not toy and not torch.cuda.is_available():
        return on_processor(args)
    device = torch.device("cpu" if toy else "cuda")
    if reason := triton_engine.why_not_here(device, args.precision):
        raise TcnfastError(f"tune: {reason}")
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
