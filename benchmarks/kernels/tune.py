"""What the engines' cuts were tuned on: `python -m benchmarks.kernels.tune`.

On a GPU, tiles of the inference kernels. For the first block and blocks above it, plain and
symmetric, dense and pruned, every tile height, number of warps and of pipeline stages, and taps
loaded again or kept, is run; what gives other numbers than the tiling that is in use is wrong, what
does not fit is said so. Of the three fastest of each kernel the number of tiles a multiprocessor
gets is tried as well. A block whose tiles are in registers has one height; of it that number alone
is tried. Times are the device's own, medians, the L2 cache flushed before each call. What was
chosen is printed, of each block and of all together: ``Tiling.of`` and ``IN_REGISTERS`` of
tcnfast/engines/triton_engine.py are what to set by it. Kernels are compiled by several processes
first, into Triton's cache. `--out FILE` keeps all rows. With TRITON_INTERPRET=1 it goes the way
with toys.

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
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from statistics import median
from typing import NamedTuple
from unittest import mock

import torch

from benchmarks.harness import PROCESSOR, append, compare, report
from benchmarks.harness import show as show_rows
from benchmarks.kernels.block_forms import REGISTERS, SHARED, BlockOnDevice, Shape
from tcnfast.base.errors import TcnfastError
from tcnfast.bench.speed import Clock
from tcnfast.bench.symmetric_twin import random_letters
from tcnfast.engines import cpu_engine, reference, triton_engine
from tcnfast.engines.grid import stack_grid
from tcnfast.engines.plan import Plan
from tcnfast.engines.reference import StackWeights
from tcnfast.engines.triton_engine import Tiling
from tcnfast.model.tcn import TCN, TCNConfig

ROWS, WARPS, STAGES = (32, 64, 128), (4, 8), (1, 2, 3)
TILES = (1, 2, 4, 8, 16)
SAMPLES = 11
KERNELS = {
    "first block, dense": Shape(1, 0, 2**22),
    "first block, pruned": Shape(32, 0, 2**22),
    "first block, pruned, symmetric": Shape(32, 0, 2**22, True),
    "block, dense, dilation 8": Shape(1, 3, 2**20),
    "block, dense, dilation 128": Shape(1, 7, 2**20),
    "block, pruned, stride 2": Shape(32, 3, 2**20),
    "block, pruned, dilation 2": Shape(32, 6, 2**20),
    "block, dense, dilation 8, symmetric": Shape(1, 3, 2**20, True),
    "block, pruned, stride 2, symmetric": Shape(32, 3, 2**20, True),
}
# on a processor
CHUNKS = [448, 896, 1792, 3584, 7168, 14336]
SEGMENTS = [2**k for k in range(12, 19)]
STRIDE = 32
SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)  # of inputs that are not 0
SHAPES = ((64, 3), (128, 3), (64, 5))
ISAS = (("avx2", "fp32"), ("avx512", "fp32"), ("avx512_bf16", "bf16"))


class Variant(NamedTuple):
    """A form of a block, and how it cuts its work."""

    form: str
    tiling: Tiling

    @property
    def columns(self) -> dict:
        return {"form": self.form, **asdict(self.tiling)}

    @property
    def words(self) -> str:
        return ", ".join(f"{key}={value}" for key, value in self.columns.items())


def variants(block: BlockOnDevice) -> Iterator[Variant]:
    """All that are compiled apart."""
    default, form = block.tiling, block.forms[0]
    if REGISTERS in block.forms:
        yield Variant(REGISTERS, default)
    if triton_engine.interpreted():
        yield from (Variant(form, default), Variant(form, replace(default, rows=32)))
        return
    kept_or_not = (False, True) if form == SHARED and not block.layout.symmetric else (False,)
    for rows, warps, stages, again in itertools.product(ROWS, WARPS, STAGES, kept_or_not):
        cut = replace(default, rows=rows, warps=warps, stages=stages, reload=again)
        yield Variant(form, cut)


def measure(block: BlockOnDevice, clock: Clock, variant: Variant) -> tuple[float | None, str]:
    """Median seconds, or None and why there are none."""
    try:
        run = block.run(*variant)
        if not block.is_right(run()):
            return None, "wrong"
        hold = clock.warm(run)
        samples = 1 if triton_engine.interpreted() else SAMPLES
        return median(clock(run, hold) for _ in range(samples)), ""
    except Exception as error:  # of Triton: no shared memory, no registers, a compiler's bug
        return None, f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"


def compile_share(share: int, shares: int, device, precision: str) -> None:
    """Compile every ``shares``-th variant."""
    number = itertools.count()
    for shape in KERNELS.values():
        block = BlockOnDevice(shape, device, precision)
        for variant in variants(block):
            if next(number) % shares == share:
                try:
                    block.run(*variant)()
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


def tune(block: BlockOnDevice, clock: Clock) -> dict[Variant, tuple[float | None, str]]:
    """Seconds of each variant, or why there are none."""
    found = {variant: measure(block, clock, variant) for variant in variants(block)}
    counts = TILES[:1] if triton_engine.interpreted() else TILES
    for form in block.forms:
        for variant in fastest(found, form)[:3]:
            for count in counts:
                other = Variant(form, replace(variant.tiling, tiles=count))
                if other not in found:
                    found[other] = measure(block, clock, other)
    return found


def fastest(found: dict, form: str | None = None) -> list[Variant]:
    """Variants that ran, of a form or of all, the fastest first."""
    timed = [one for one in found if found[one][0] is not None and form in (None, one.form)]
    return sorted(timed, key=lambda one: found[one][0])


def show(name: str, found: dict, block: BlockOnDevice) -> None:
    timed = fastest(found)
    print(f"\n{name}: {len(timed)} variants timed, {len(found) - len(timed)} do not run")
    for variant in timed[:6]:
        print(f"  {found[variant][0] * 1e6:9.1f} us  {variant.words}")
    for variant in timed:
        if variant.tiling == block.tiling:
            print(f"  {found[variant][0] * 1e6:9.1f} us  in use: {variant.form}")
    for why in sorted({why for _, why in found.values() if why})[:3]:
        print(f"  {why}")


def choose(name: str, found: dict, block: BlockOnDevice) -> dict[str, float]:
    """Say which variant is fastest; gives the best seconds of each form of a block."""
    best = {form: fastest(found, form)[:1] for form in block.forms}
    best = {form: one[0] for form, one in best.items() if one}
    if not best:
        print(f"failed: {name}: nothing runs")
        return {}
    seconds = {form: found[one][0] for form, one in best.items()}
    form = min(seconds, key=seconds.get)
    others = "".join(f", {other} {s * 1e6:.1f}" for other, s in seconds.items() if other != form)
    print(f"chosen: {name}: {seconds[form] * 1e6:.1f} us, {best[form].words}{others}", flush=True)
    return seconds


def choose_form(blocks: list[dict[str, float]]) -> None:
    """Say by the sum over all blocks that have both forms what IN_REGISTERS should be."""
    both = [seconds for seconds in blocks if {SHARED, REGISTERS} <= seconds.keys()]
    if not both:
        print(f"not run: no block ran both {SHARED} and {REGISTERS}: IN_REGISTERS stays")
        return
    shared, registers = (sum(seconds[form] for seconds in both) for form in (SHARED, REGISTERS))
    faster = sum(seconds[REGISTERS] < seconds[SHARED] for seconds in both)
    print(
        f"chosen: IN_REGISTERS = {registers < shared}: {REGISTERS} {registers * 1e6:.1f} us, "
        f"{SHARED} {shared * 1e6:.1f}; faster {REGISTERS} in {faster} of {len(both)} blocks"
    )
    line = f"IN_REGISTERS = {registers < shared}"
    print(f"chosen: to paste into tcnfast/engines/triton_engine.py: {line}")


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
    clock, rows, blocks = Clock(device), [], []
    for name, shape in KERNELS.items():
        block = BlockOnDevice(shape, device, args.precision)
        found = tune(block, clock)
        show(name, found, block)
        blocks.append(choose(name, found, block))
        for variant, (seconds, why) in found.items():
            us = "" if seconds is None else f"{seconds * 1e6:.1f}"
            rows.append({"kernel": name, **variant.columns, "us": us, "note": why})
        if args.out:
            with open(args.out, "w", newline="") as file:
                writer = csv.DictWriter(file, rows[0], lineterminator="\n")
                writer.writeheader()
                writer.writerows(rows)
    choose_form(blocks)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except TcnfastError as error:
        sys.exit(str(error))
