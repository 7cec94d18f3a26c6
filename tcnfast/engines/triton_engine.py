"""The Triton kernels (kernels/): whether they can run here, and a stack of weights made ready.

With TRITON_INTERPRET=1 in the environment they run in Triton's interpreter, on the processor and
slowly, to check their numbers where there is no GPU.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..base.extras import install
from . import reference
from .cpu_engine import code_residual
from .grid import BlockGrid, StackGrid
from .reference import DTYPES
from .triton_chip import Chip, interpreted, version_of
from .triton_first import FirstInParts
from .triton_head import Head
from .triton_layout import (
    FUSION,
    INPUTS,
    Layout,
    fragment_order,
    layout_of,
    padded_channels,
)
from .triton_wgmma import InRegisters, why_not_in_registers

MAX_LETTERS = 20  # taps of a convolution of codes: ten in each half of a one-hot tile's integer
MAX_FIRST = 21  # codes of the first block's window: three bits each of an integer of 64
WIDE_TILE = 64  # rows of a tile of a convolution that is a kernel of its own
LEAST_STEPS = 32  # outputs of a row at least: warm-up takes an eighth
# whether blocks keep their tiles in registers where they can: faster by the model of time, and
# right as the executor of PTX runs them; `make gpu-check` times both forms
IN_REGISTERS = True


def why_not_interpreted(precision: str) -> str | None:
    """Why Triton's interpreter would give wrong numbers, or none; tests mend it."""
    if precision == "bf16":
        return "Triton's interpreter gets bf16 products wrong; fp32 and fp16 run"
    triton, numpy = (version_of(name) for name in ("triton", "numpy"))
    if triton < (3, 7) and numpy >= (2, 4):
        return "the interpreter of Triton 3.6 and earlier needs numpy before 2.4"
    return None


def why_not_here(device: torch.device, precision: str) -> str | None:
    """Why no kernel can run on ``device`` in ``precision``; None if they can."""
    if importlib.util.find_spec("triton") is None:
        return f"Triton is not installed (on Linux: {install('gpu')})"
    if precision not in DTYPES:
        return f"it computes in {', '.join(DTYPES)}, not {precision}"
    if interpreted():
        reason = why_not_interpreted(precision)
        if reason:
            return reason
        if device.type != "cpu":
            return f"Triton's interpreter (TRITON_INTERPRET=1) runs on cpu, not on {device}"
    elif device.type != "cuda" or torch.version.cuda is None:
        return f"it runs on NVIDIA GPUs, not on {device}"
    return None


def why_not(device: torch.device, precision: str, grid: StackGrid, channels: int = 1) -> str | None:
    """Why the kernels cannot run a stack of ``channels``; None if they can."""
    span = grid.blocks[0].span + 1
    if span > MAX_FIRST:
        return f"its first block spans {MAX_FIRST} bases at most, not {span}"
    return why_not_here(device, precision) or why_not_wide(device, precision, channels)


def why_not_wide(device: torch.device, precision: str, channels: int) -> str | None:
    """Why a convolution of ``channels`` cannot be a kernel of its own; None if it can."""
    padded, size = padded_channels(channels), DTYPES[precision].itemsize
    # weights of fp32 twice: as tf32, and what that leaves; else a tile beside them
    needed = padded * max(padded * (1 + (precision == "fp32")), padded + WIDE_TILE) * size
    shared = Chip.of(device).shared
    if needed > shared:
        return (
            f"{padded} channels in {precision} need {needed >> 10} KiB of shared memory, "
            f"{shared >> 10} are there"
        )
    return None


def why_not_fused(geometry: BlockGrid, layout: Layout, precision: str, chip: Chip) -> str | None:
    """Why a block above the first cannot run as one kernel; None if it can. Then it runs as two,
    a convolution each. Figures are those of kernels as compiled by Triton 3.6 and 3.9."""
    k, padded = geometry.kernel_sizes[1], layout.padded
    size = DTYPES[precision].itemsize
    if k * padded * size > _registers(layout, size):
        halved = ", halved," if layout.symmetric else ""
        return f"kernel {k} of {padded} channels{halved} in {precision} overflows the registers"
    rows = Tiling.of(chip, geometry, layout).rows
    # both weights, and the tiles on their way to the matrix units
    needed = (2 * k * padded + (2 * k - 1) * rows) * padded * size
    if layout.symmetric:  # weights of fp32 twice: as tf32, and what that leaves
        needed = (k * padded * size + 2 * k * rows) * padded // 2 * size
    if needed > chip.shared:
        return f"{needed >> 10} KiB of shared memory are needed, {chip.shared >> 10} there"
    return None


def why_not_first(geometry: BlockGrid, layout: Layout, precision: str, chip: Chip) -> str | None:
    """Why the first block cannot run as one kernel; None if it can. Then it runs as three. An upper
    bound of what Triton 3.6 and 3.9 compiled, and for most shapes what they did."""
    (k1, k), padded, size = geometry.kernel_sizes, layout.padded, DTYPES[precision].itemsize
    letters = max(16, 1 << (4 * k1 - 1).bit_length())
    wide = k * padded // 2 if layout.symmetric else k * padded
    weights, rows = (letters + wide + 16) * padded, Tiling.of(chip, geometry, layout).rows
    if precision == "fp32":  # weights twice: as tf32, and what that leaves
        needed = 2 * weights + 64 * max(letters, padded)
    else:  # and the tiles on their way to the matrix units
        needed = weights + (letters + k * padded) * rows
    needed *= size
    if needed > chip.shared:
        return f"{needed >> 10} KiB of shared memory are needed, {chip.shared >> 10} there"
    return None


def _registers(layout: Layout, size: int) -> int:
    """Bytes of a row and all taps that leave registers enough. Of pairs fewer: sums and differences
    are made in registers, and tiles of them do not go through shared memory."""
    if layout.symmetric:
        return 7 * 32 * 2 if size == 2 else 2 * 32 * 4
    return 5 * 64 * 2


@dataclass(frozen=True)
class Tiling:
    """How a block's kernel cuts its work; what is best is for benchmarks/kernels/tune.py to say."""

    rows: int  # of a tile
    warps: int = 4
    stages: int = 1
    reload: bool = False  # taps of the first convolution: from the cache, not from registers
    tiles: int = 4  # that every multiprocessor gets, at least

    @classmethod
    def of(cls, chip: Chip, geometry: BlockGrid, layout: Layout) -> Tiling:
        if layout.symmetric:
            # of 32 rows two warps would do what the other two do, but registers overflow at 64
            return cls(64 if chip.wgmma or geometry.stride == 1 else 32)
        return cls(chip.tile_rows, reload=geometry.kernel_sizes[1] > 3)


def row_steps(
    outputs: int,
    dilation: int,
    sequences: int,
    chip: Chip,
    tiling: Tiling,
    least: int = LEAST_STEPS,
) -> int:
    """Outputs of a row: as many as leave every multiprocessor its tiles, and ``least``."""
    rows = tiling.tiles * chip.multiprocessors * tiling.rows
    wanted = max(1, rows // (sequences * dilation))
    return max(least, -(-outputs // (dilation * wanted)))


def prepare(
    weights: reference.StackWeights, grid: StackGrid, precision: str, device: torch.device
) -> Stack:
    """Pack the weights; the result maps uint8 codes (B, T) to float32 logits (B, P, labels)."""
    weights = weights.to(device, torch.float32)
    chip = Chip.of(device)
    layout = layout_of(weights.head_weight.shape[1], weights.symmetric)
    whole = why_not_first(grid.blocks[0], layout, precision, chip) is None
    kind = FirstBlock if whole else FirstInParts
    first = kind(weights.blocks[0], grid.blocks[0], layout, precision, chip)
    blocks = []
    for block, geometry in zip(weights.blocks[1:], grid.blocks[1:], strict=True):
        kind = kind_of(geometry, layout, precision, chip)
        blocks.append(kind(block, geometry, layout, precision, chip))
    return Stack((first, *blocks), Head(weights, grid.sample, layout, precision, chip), grid)


@dataclass(frozen=True)
class Stack:
    """A stack ready to run: codes to logits, or to the features that its head reads."""

    blocks: tuple[Callable[[Tensor], Tensor], ...]
    head: Head
    grid: StackGrid

    def rows(self, codes: Tensor) -> Tensor:
        """uint8 codes (B, T) -> features (B, L, C')."""
        with torch.cuda.device_of(codes):  # where Triton launches
            x = codes.contiguous()
            for block in self.blocks:
                x = block(x)
        return x

    def __call__(self, codes: Tensor) -> Tensor:
        with torch.cuda.device_of(codes):
            return self.head(self.rows(codes), self.grid.n_scores(codes.shape[1]))


def kind_of(geometry: BlockGrid, layout: Layout, precision: str, chip: Chip) -> type[_Block]:
    """How a block above the first runs."""
    if why_not_fused(geometry, layout, precision, chip) is not None:
        return TwoConvolutions
    wgmma = IN_REGISTERS and chip.wgmma and not interpreted()
    reason = why_not_in_registers(geometry.kernel_sizes[1], layout, precision, wgmma)
    return FusedBlock if reason else BlockInRegisters


class _Block:
    """Weights and biases of a block, packed for rows of ``layout``."""

    def __init__(self, weights, geometry, layout, precision, chip, tiling=None) -> None:
        self.geometry, self.layout, self.chip = geometry, layout, chip
        self.dtype = DTYPES[precision]
        self.tiling = tiling or Tiling.of(chip, geometry, layout)
        self.inputs = INPUTS.get(precision, "ieee")
        self.tap = weights.tap // geometry.grid_in
        # steps of a row from the residual of an output to the last of its inputs
        self.age = (geometry.span // geometry.grid_in - self.tap) // geometry.dilation
        self.weight2 = layout.taps(weights.weight2).to(self.dtype)
        self.bias1, self.bias2 = layout.pad(weights.bias1), layout.pad(weights.bias2)

    def outputs(self, length: int) -> int:
        reach = self.geometry.span // self.geometry.grid_in
        return (length - reach - 1) // self.geometry.stride + 1

    def arguments(self, y: Tensor, length: int) -> dict:
        """What the kernels of whole blocks are told alike."""
        return dict(
            y=y,
            w1=self.weight1,
            b1=self.bias1,
            w2=self.weight2,
            b2=self.bias2,
            length=length,
            outputs=y.shape[1],
            S=self.geometry.stride,
            AGE=self.age,
            M=self.tiling.rows,
            INPUTS=self.inputs,
            num_warps=self.tiling.warps,
            num_stages=self.tiling.stages,
            **self.layout.sizes,
            **FUSION,
        )

    def empty(self, like: Tensor, positions: int) -> Tensor:
        size = len(like), positions, self.layout.padded
        return torch.empty(size, dtype=self.dtype, device=like.device)


class FirstBlock(_Block):
    """Codes (N, L) to rows (N, L', C')."""

    def __init__(self, weights, geometry, layout, precision, chip, tiling=None) -> None:
        super().__init__(weights, geometry, layout, precision, chip, tiling)
        letters = layout.letters(weights.weight1).to(self.dtype)
        self.letters = len(letters)
        order = fragment_order(self.letters).to(letters.device)
        self.weight1 = layout.whole(letters[order])
        exact = layout.pad(code_residual(weights.residual).to(letters.device))
        rounded = exact.to(self.dtype)
        table = torch.zeros(16, layout.padded, dtype=self.dtype, device=exact.device)
        table[0:10:2], table[1:10:2] = rounded, exact - rounded.float()
        self.table = layout.whole(table)

    def __call__(self, codes: Tensor) -> Tensor:
        from ..kernels.first_block import first_block
        from ..kernels.halved_first_block import halved_first_block

        kernel = halved_first_block if self.layout.symmetric else first_block
        n, length = codes.shape
        outputs = self.outputs(length)
        y = self.empty(codes, outputs)
        cut = self.tiling
        steps = row_steps(outputs, 1, n, self.chip, cut)
        rows = -(-outputs // steps)
        k1, k = self.geometry.kernel_sizes
        kernel[(-(-rows // cut.rows) * n,)](
            codes=codes,
            table=self.table,
            rows=rows,
            steps=steps,
            K1=k1,
            K=k,
            LETTERS=self.letters,
            PACKED=self.chip.packed,
            **self.arguments(y, length),
        )
        return y


class FusedBlock(_Block):
    """Rows (N, L, C') to rows (N, L', C'), both convolutions in one kernel."""

    least_steps = LEAST_STEPS

    def __init__(self, weights, geometry, layout, precision, chip, tiling=None) -> None:
        super().__init__(weights, geometry, layout, precision, chip, tiling)
        self.weight1 = layout.taps(weights.weight1).to(self.dtype)

    def __call__(self, x: Tensor) -> Tensor:
        n, length = x.shape[:2]
        dilation = self.geometry.dilation
        outputs = self.outputs(length)
        y = self.empty(x, outputs)
        cut = self.tiling
        steps = row_steps(outputs, dilation, n, self.chip, cut, self.least_steps)
        rows = -(-outputs // (dilation * steps)) * dilation
        self.kernel[(-(-rows // cut.rows) * n,)](
            x=x,
            rows=rows,
            steps=steps,
            dilation=dilation,
            K=self.geometry.kernel_sizes[1],
            **self.arguments(y, length),
        )
        return y

    @property
    def kernel(self):
        from ..kernels.block import block
        from ..kernels.halved_block import halved_block

        return halved_block if self.layout.symmetric else block

    def arguments(self, y: Tensor, length: int) -> dict:
        more = {} if self.layout.symmetric else {"RELOAD": self.tiling.reload}
        return super().arguments(y, length) | more


class BlockInRegisters(InRegisters, FusedBlock):
    """The same with its tiles in registers."""


class TwoConvolutions(FusedBlock):
    """The same, a kernel for each convolution."""

    def __call__(self, x: Tensor) -> Tensor:
        k, dilation = self.geometry.kernel_sizes[1], self.geometry.dilation
        middle = self.empty(x, x.shape[1] - (k - 1) * dilation)
        self.convolve(x, middle, self.weight1, self.bias1, 1)
        y = self.empty(x, self.outputs(x.shape[1]))
        self.convolve(middle, y, self.weight2, self.bias2, self.geometry.stride, x)
        return y

    def convolve(self, x, y, weight, bias, stride, residual=None) -> None:
        from ..kernels.conv import conv
        from ..kernels.halved_conv import halved_conv

        kernel = halved_conv if self.layout.symmetric else conv
        n, outputs, _ = y.shape
        tile = WIDE_TILE
        kernel[(-(-n * outputs // tile),)](
            x=x,
            y=y,
            w=weight,
            scale=None,
            shift=None,
            masks=None,
            bias=bias,
            residual=residual,
            statistics=None,
            channels=self.layout.channels,  # of masks, which there are none of
            length=x.shape[1],
            outputs=outputs,
            total=n * outputs,
            residual_length=0 if residual is None else residual.shape[1],
            tap=self.tap,
            dilation=self.geometry.dilation,
            stride=stride,
            K=self.geometry.kernel_sizes[1],
            M=tile,
            INPUTS=self.inputs,
            NORMALISE=False,
            DROPOUT=False,
            RELU=True,
            RESIDUAL=residual is not None,
            RESIDUAL_STRIDE=stride,
            STATISTICS=False,
            num_warps=4,
            num_stages=2,
            **self.layout.sizes,
            **FUSION,
        )
