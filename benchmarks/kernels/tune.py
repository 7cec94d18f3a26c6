"""Which form of the Triton kernels, and which tiles, are fastest on the GPU that is here:
`python -m benchmarks.kernels.tune forms`, `python -m benchmarks.kernels.tune tiles`.

forms   Are tiles in registers faster, or through shared memory (kernels/README.md)? Blocks of the
        default model and of a symmetric one, of the shapes that the model of time has in
        kernels/README.md, and passes of training of both, there and back. Both forms must give the
        same rows, or gradients, to rounding; they take turns. ``IN_REGISTERS`` of
        tcnfast/engines/triton_engine.py is what to set by blocks, and that of triton_walk.py by
        training: lines "chosen" are what to paste.
tiles   Each kernel of a block, in each of its forms, by rows, warps and stages; of the three
        fastest, and of a block whose tiles are in registers, also by the number of tiles that a
        multiprocessor gets. A result that differs from what is in use is wrong, what does not fit
        is said so. "chosen" says what to set ``Tiling.of`` and ``IN_REGISTERS`` of
        triton_engine.py to. Several processes compile first, into Triton's cache.

Times are the device's own, medians, the L2 cache flushed before each call. `--out FILE` keeps all
rows. With TRITON_INTERPRET=1, where only one form runs, it goes the way with toys.
"""

from __future__ import annotations

import argparse
import itertools
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from functools import cached_property, partial
from pathlib import Path
from statistics import median
from typing import NamedTuple
from unittest import mock

import torch

from benchmarks.harness import write_csv
from benchmarks.kernels.cases import random_codes, random_model
from tcnfast.base.errors import TcnfastError
from tcnfast.bench.speed import Clock, take_turns
from tcnfast.engines import backend, triton_engine, triton_walk
from tcnfast.engines.reference import DTYPES
from tcnfast.engines.triton_engine import BlockInRegisters, Chip, FirstBlock, FusedBlock, Tiling
from tcnfast.engines.triton_layout import layout_of
from tcnfast.engines.triton_wgmma import why_not_in_registers
from tcnfast.model.tcn import TCN, TCNConfig

FIRST, SHARED, REGISTERS = "first block", "through shared memory", "in registers"
KINDS = {FIRST: FirstBlock, SHARED: FusedBlock, REGISTERS: BlockInRegisters}
CLOSE = dict(rtol=2e-2, atol=2e-2)  # of rows of 16 bits whose sums have another order


class Shape(NamedTuple):
    """Which block: bases between scores, its number in the stack, and positions that it reads."""

    stride: int
    index: int
    length: int
    symmetric: bool = False


SHAPES = {
    "block, dense, dilation 8": Shape(1, 3, 2**21),
    "block, dense, dilation 128": Shape(1, 7, 2**21),
    "block, stride 32, second": Shape(32, 1, 2**22),
    "block, stride 32, sixth": Shape(32, 5, 2**18),
}
SECONDS = 2.0  # of a case
GRADIENTS = 0.05  # of their norm, that gradients of two forms may differ by: both round to bf16
WALK = "tcnfast/engines/triton_walk.py"
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


class BlockOnDevice:
    """A block of ``shape``; with Triton's interpreter a toy of it. ``why_not``: why it does not run
    with its tiles in registers, or None."""

    def __init__(self, shape: Shape, device: torch.device, precision: str) -> None:
        toy = triton_engine.interpreted()
        sizes = dict(channels=16 if toy else 64, first_kernel=15)
        sizes |= {"symmetric": True} if shape.symmetric else {}
        config = TCNConfig(labels=["a"], **sizes)
        self.geometry = config.grid(shape.stride).blocks[shape.index]
        weights = random_model(config).folded().to(device, torch.float32)
        self.weights, self.precision = weights.blocks[shape.index], precision
        self.layout = layout_of(config.channels, shape.symmetric)
        self.chip = Chip.of(device)
        self.tiling = Tiling.of(self.chip, self.geometry, self.layout)
        length = self.geometry.span // self.geometry.grid_in + 40 if toy else shape.length
        self.x = random_codes(1, length).to(device)
        if shape.index:
            rows = torch.randn(1, length, self.layout.padded, device=device)
            self.x = rows.relu_().to(DTYPES[precision])
        taps, wgmma = self.geometry.kernel_sizes[1], self.chip.wgmma
        self.why_not = why_not_in_registers(taps, self.layout, precision, wgmma)
        if toy:
            self.why_not = "Triton's interpreter does not know them"
        above = (SHARED,) if self.why_not else (SHARED, REGISTERS)
        self.forms = above if shape.index else (FIRST,)

    def run(self, form: str, tiling: Tiling | None = None) -> Callable[[], torch.Tensor]:
        """What one call is; ``tiling``: other than the one in use."""
        kind, told = KINDS[form], (self.geometry, self.layout, self.precision, self.chip)
        block = kind(self.weights, *told, tiling or self.tiling)
        return lambda: block(self.x)

    @cached_property
    def expected(self) -> torch.Tensor:
        """Rows of the form that every chip runs."""
        return self.run(self.forms[0])().float()

    def is_right(self, rows: torch.Tensor) -> bool:
        return torch.allclose(rows.float(), self.expected, **CLOSE)


def compare_forms(name: str, symmetric: bool, device: torch.device, precision: str) -> list[dict]:
    """Rows of one case, printed as they come. Raises TcnfastError where forms give other rows."""
    block = BlockOnDevice(SHAPES[name]._replace(symmetric=symmetric), device, precision)
    what = f"{name}, {'symmetric' if symmetric else 'plain'}, {precision}"
    if block.why_not:
        print(f"not run: {what}: tiles {REGISTERS}: {block.why_not}")
    found = {form: block.run(form) for form in block.forms}
    for form, run in found.items():
        if not block.is_right(run()):
            raise TcnfastError(f"tiles {form} give other rows than {block.forms[0]}")
    return timed(what, found, device)


def passes(symmetric: bool, device: torch.device, precision: str) -> dict[str, Callable]:
    """By form, a pass of training there and back, which gives all gradients in one vector. Raises
    TcnfastError where forms give other gradients."""
    toy = triton_engine.interpreted()
    shape = dict(channels=16, blocks=2) if toy else dict(channels=64, blocks=8)
    torch.manual_seed(0)
    config = TCNConfig(labels=["a"], first_kernel=15, symmetric=symmetric, **shape)
    model = TCN(config).train().to(device)
    tiles, steps, stride = (1, 2, 4) if toy else (64, 1024, 32)
    length = model.receptive_field + (steps - 1) * stride
    codes = torch.randint(4, (tiles, length), device=device).to(torch.uint8)

    def once(form: str) -> torch.Tensor:
        model.zero_grad(set_to_none=True)
        lesser = precision in ("bf16", "fp16")
        in_registers = mock.patch.object(triton_walk, "IN_REGISTERS", form == REGISTERS)
        named = mock.patch.dict(os.environ, {backend.VARIABLE: "triton"})
        lower = torch.autocast(device.type, DTYPES[precision], enabled=lesser)
        with in_registers, named, lower:
            model.dense(codes, stride).float().square().mean().backward()
        return torch.cat([p.grad.flatten() for p in model.parameters()])

    found = {form: partial(once, form) for form in ((SHARED,) if toy else (SHARED, REGISTERS))}
    first = found[SHARED]()
    for form, run in found.items():
        off = ((run() - first).norm() / first.norm()).item()
        if not off <= GRADIENTS:
            raise TcnfastError(f"tiles {form} give gradients that are off by {off:.2g}")
    return found


def compare_training(symmetric: bool, device: torch.device, precision: str) -> list[dict]:
    """Rows of a pass of training, printed as they come."""
    what = f"training, 64 tiles of 32 kb, {'symmetric' if symmetric else 'plain'}, {precision}"
    return timed(what, passes(symmetric, device, precision), device)


def choose_training(found: list[dict]) -> None:
    """Say by the sum over all passes of training which form is faster, and the line to paste."""
    spent = {form: 0.0 for form in (SHARED, REGISTERS)}
    for row in found:
        if row["case"].startswith("training"):
            spent[row["form"]] += float(row["us"])
    if not all(spent.values()):
        print(f"not run: training in both forms: IN_REGISTERS of {WALK} stays")
        return
    faster = spent[REGISTERS] < spent[SHARED]
    print(f"chosen: to paste into {WALK}: IN_REGISTERS = {faster}")


def timed(what: str, found: dict[str, Callable], device: torch.device) -> list[dict]:
    """Rows of what was ``found`` by form."""
    toy = triton_engine.interpreted()
    seconds, least = (0.0, 1) if toy else (SECONDS, 7)
    timings = take_turns(found, Clock(device), seconds, least=least, calls=1)
    medians = {form: timing.median for form, timing in timings.items()}
    best = min(medians, key=medians.get)
    words = ", ".join(f"{form} {median * 1e6:.1f} us" for form, median in medians.items())
    print(f"{what}: {words}; fastest: {best}", flush=True)
    return [
        {"case": what, "form": form, "us": f"{median * 1e6:.1f}", "fastest": form == best}
        for form, median in medians.items()
    ]


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
    command = [sys.executable, "-m", "benchmarks.kernels.tune", "tiles"]
    command += ["--precision", precision, "--share"]
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


def forms(args: argparse.Namespace, device: torch.device) -> int:
    """Both forms of every block and of training; 1 where one of them fails."""
    found, wrong = [], []
    for name in (*SHAPES, "training"):
        for symmetric in (False, True):
            case = compare_training if name == "training" else partial(compare_forms, name)
            try:
                found += case(symmetric, device, args.precision)
            except Exception as error:  # of Triton, or numbers that are wrong: the others go on
                wrong.append(name)
                print(f"failed: {name}: {type(error).__name__}: {' '.join(str(error).split())}")
            if args.out and found:
                write_csv(args.out, found)
    choose_training(found)
    return 1 if wrong else 0


def tiles(args: argparse.Namespace, device: torch.device) -> int:
    """All tiles of every kernel."""
    if args.share:
        compile_share(*args.share, device, args.precision)
        return 0
    if not triton_engine.interpreted():
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
            write_csv(args.out, rows)
    choose_form(blocks)
    return 0


CASES = {"forms": forms, "tiles": tiles}
TOYS = {"forms": "fp16", "tiles": "fp32"}  # precision in the interpreter


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("case", choices=CASES)
    parser.add_argument("--out", type=Path, metavar="FILE", help="a csv of all that was tried")
    parser.add_argument("--precision", help="default bf16")
    parser.add_argument("--processes", type=int, default=min(14, os.cpu_count() or 1))
    parser.add_argument("--share", nargs=2, type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    toy = triton_engine.interpreted()
    args.precision = args.precision or (TOYS[args.case] if toy else "bf16")
    device = torch.device("cpu" if toy else "cuda")
    reason = None if toy or torch.cuda.is_available() else "no NVIDIA GPU is here"
    if reason := reason or triton_engine.why_not_here(device, args.precision):
        raise TcnfastError(f"tune: {reason}")
    return CASES[args.case](args, device)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except TcnfastError as error:
        sys.exit(str(error))
