"""Which form of a block is faster on the GPU that is here: tiles in registers, or through shared
memory (kernels/README.md)? `python -m benchmarks.kernels.block_forms`

Blocks of the default model and of a symmetric one, of the shapes that the model of time has in
kernels/README.md. Both forms must give the same rows to rounding; they take turns, medians of the
device's own times, the L2 cache flushed before each call. ``IN_REGISTERS`` of
tcnfast/engines/triton_engine.py is what to set by it. `--out FILE` keeps the rows. With
TRITON_INTERPRET=1, where only one form runs, it goes the way with toys.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import torch

from benchmarks.kernels import torch_stacks
from benchmarks.kernels.cases import random_codes
from tcnfast.base.errors import TcnfastError
from tcnfast.bench.speed import Clock, take_turns
from tcnfast.engines import triton_engine
from tcnfast.engines.reference import DTYPES
from tcnfast.engines.triton_engine import BlockInRegisters, Chip, FirstBlock, FusedBlock, Tiling
from tcnfast.engines.triton_layout import layout_of
from tcnfast.engines.triton_wgmma import why_not_in_registers
from tcnfast.model.tcn import TCNConfig

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
    toy = triton_engine.interpreted()
    seconds, least = (0.0, 1) if toy else (SECONDS, 7)
    timings = take_turns(runs(block), Clock(device), seconds, least=least, calls=1)
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
    for name in SHAPES:
        for symmetric in (False, True):
            try:
                found += compare(name, symmetric, device, args.precision)
            except Exception as error:  # of Triton, or numbers that are wrong: the others go on
                wrong.append(name)
                print(f"failed: {name}: {type(error).__name__}: {' '.join(str(error).split())}")
            if args.out and found:
                with open(args.out, "w", newline="") as file:
                    writer = csv.DictWriter(file, found[0], lineterminator="\n")
                    writer.writeheader()
                    writer.writerows(found)
    return 1 if wrong else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except TcnfastError as error:
        sys.exit(str(error))
