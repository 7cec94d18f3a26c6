"""Which form of a block is faster on the GPU that is here: tiles in registers, or through shared
memory (kernels/README.md)? `python -m benchmarks.kernels.block_forms`

Blocks of the default model and of a symmetric one, of the shapes that the model of time has in
kernels/README.md, and passes of training of both, there and back. Both forms must give the same
rows, or gradients, to rounding; they take turns, medians of the device's own times, the L2 cache
flushed before each call. ``IN_REGISTERS`` of tcnfast/engines/triton_engine.py is what to set by
blocks, and that of triton_walk.py by training: lines "chosen" are what to paste. `--out FILE` keeps
the rows. With TRITON_INTERPRET=1, where only one form runs, it goes the way with toys.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import torch

from benchmarks.kernels import torch_stacks
from benchmarks.kernels.cases import random_codes
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


class BlockOnDevice:
    """A block of ``shape``; with Triton's interpreter a toy of it. ``why_not``: why it does not run
    with its tiles in registers, or None."""

    def __init__(self, shape: Shape, device: torch.device, precision: str) -> None:
        toy = triton_engine.interpreted()
        sizes = dict(channels=16 if toy else 64, first_kernel=15)
        sizes |= {"symmetric": True} if shape.symmetric else {}
        config = TCNConfig(labels=["a"], **sizes)
        self.geometry = config.grid(shape.stride).blocks[shape.index]
        weights = torch_stacks.random_model(config).folded().to(device, torch.float32)
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


def runs(block: BlockOnDevice) -> dict[str, Callable[[], torch.Tensor]]:
    """By form. Raises TcnfastError where forms give other rows."""
    found = {form: block.run(form) for form in block.forms}
    for form, run in found.items():
        if not block.is_right(run()):
            raise TcnfastError(f"tiles {form} give other rows than {block.forms[0]}")
    return found


def compare(name: str, symmetric: bool, device: torch.device, precision: str) -> list[dict]:
    """Rows of one case, printed as they come."""
    block = BlockOnDevice(SHAPES[name]._replace(symmetric=symmetric), device, precision)
    what = f"{name}, {'symmetric' if symmetric else 'plain'}, {precision}"
    if block.why_not:
        print(f"not run: {what}: tiles {REGISTERS}: {block.why_not}")
    return timed(what, runs(block), device)


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
    codes = torch.randint(4, (tiles, length), device=device)
    codes = codes.to(torch.uint8)

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
    kind = "symmetric" if symmetric else "plain"
    what = f"training, 64 tiles of 32 kb, {kind}, {precision}"
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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("?")[0])
    parser.add_argument("--out", type=Path, metavar="FILE", help="a csv of what was timed")
    toy = triton_engine.interpreted()
    parser.add_argument("--precision", default="fp16" if toy else "bf16")
    args = parser.parse_args()
    device = torch.device("cpu" if toy else "cuda")
    reason = None if toy or torch.cuda.is_available() else "no NVIDIA GPU is here"
    reason = reason or triton_engine.why_not_here(device, args.precision)
    if reason:
        raise TcnfastError(f"block_forms: {reason}")
    found, wrong = [], []
    for name in (*SHAPES, "training"):
        for symmetric in (False, True):
            case = compare_training if name == "training" else partial(compare, name)
            try:
                found += case(symmetric, device, args.precision)
            except Exception as error:  # of Triton, or numbers that are wrong: the others go on
                wrong.append(name)
                print(f"failed: {name}: {type(error).__name__}: {' '.join(str(error).split())}")
            if args.out and found:
                with open(args.out, "w", newline="") as file:
                    writer = csv.DictWriter(file, found[0], lineterminator="\n")
                    writer.writeheader()
                    writer.writerows(found)
    choose_training(found)
    return 1 if wrong else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except TcnfastError as error:
        sys.exit(str(error))
