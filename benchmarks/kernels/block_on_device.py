"""One block of the default model, or of a symmetric one, ready to run on a GPU in each of its
forms: what block_forms.py and tune.py time."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import NamedTuple

import torch

from benchmarks.kernels import torch_stacks
from benchmarks.kernels.cases import random_codes
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
