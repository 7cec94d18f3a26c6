"""The Triton kernels (kernels/): whether they can run here, and a stack of weights made ready.

With TRITON_INTERPRET=1 in the environment they run in Triton's interpreter, on the processor and
slowly, to check their numbers where there is no GPU.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from . import reference
from .cpu_engine import code_residual
from .grid import BlockGrid, StackGrid
from .reference import DTYPES

# how a product is taken. fp32: as three of tf32, exact to a bit or two of float32; by float32's own
# arithmetic registers overflow a hundredfold and compilation takes half a minute
INPUTS = {"tf32": "tf32", "fp32": "tf32x3"}
FUSION = {"enable_fp_fusion": True}  # Triton 3.9 warns where nobody says
MAX_LETTERS = 20  # taps of a convolution of codes: ten in each half of a one-hot tile's integer
MAX_FIRST = 21  # codes of the first block's window: three bits each of an integer of 64
H100_SHARED = 232_448  # bytes a program may have there; what the interpreter takes for granted
INTERPRETED = 1 << 20  # multiprocessors: rows as short as they may be


def interpreted() -> bool:
    """Whether kernels run in Triton's interpreter."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def why_not_here(device: torch.device, precision: str) -> str | None:
    """Why no kernel can run on ``device`` in ``precision``; None if they can."""
    if importlib.util.find_spec("triton") is None:
        return "Triton is not installed (pip install triton, on Linux)"
    if precision not in DTYPES:
        return f"it computes in {', '.join(DTYPES)}, not {precision}"
    if interpreted():
        if precision == "bf16":
            return "Triton's interpreter gets bf16 products wrong; fp32 and fp16 run"
        if device.type != "cpu":
            return f"Triton's interpreter (TRITON_INTERPRET=1) runs on cpu, not on {device}"
    elif device.type != "cuda" or torch.version.cuda is None:
        return f"it runs on NVIDIA GPUs, not on {device}"
    return None


def why_not(device: torch.device, precision: str, grid: StackGrid) -> str | None:
    """Why the kernels cannot run a stack; None if they can."""
    span = grid.blocks[0].span + 1
    if span > MAX_FIRST:
        return f"its first block spans {MAX_FIRST} bases at most, not {span}"
    return why_not_here(device, precision)


def padded_channels(channels: int) -> int:
    """Channels of a row: matrix instructions take powers of two, from 16 on."""
    return max(16, 1 << (channels - 1).bit_length())


def letters_of(weight: Tensor, padded: int, dtype: torch.dtype) -> Tensor:
    """Weights (C, 4, k) of a convolution of one-hot DNA -> (letters, ``padded``) of ``dtype``: row
    4 m + b is tap m, base b; zeros up to a power of two of letters."""
    rows = weight.permute(2, 1, 0).flatten(0, 1)
    letters = max(16, 1 << (len(rows) - 1).bit_length())
    extra = padded - rows.shape[1], letters - len(rows)
    return torch.nn.functional.pad(rows, (0, extra[0], 0, extra[1])).to(dtype).contiguous()


@dataclass(frozen=True)
class Chip:
    """What the shapes of tiles depend on."""

    multiprocessors: int
    shared: int  # bytes a program may have
    wgmma: bool  # matrix instructions of 64 rows by four warps; else of 16 rows by one

    @classmethod
    def of(cls, device: torch.device) -> Chip:
        if device.type != "cuda":
            return cls(INTERPRETED, H100_SHARED, True)
        properties = torch.cuda.get_device_properties(device)
        shared = properties.shared_memory_per_block_optin
        return cls(properties.multi_processor_count, shared, properties.major == 9)

    @property
    def tile_rows(self) -> int:
        """Rows of a tile by four warps: with 64 rows the registers of other chips overflow
        (tests/kernel_resources.tsv)."""
        return 64 if self.wgmma else 32


def why_not_fused(geometry: BlockGrid, channels: int, precision: str, chip: Chip) -> str | None:
    """Why a block above the first cannot run as one kernel; None if it can. Then it runs as two,
    a convolution each."""
    k, padded = geometry.kernel_sizes[1], padded_channels(channels)
    size = DTYPES[precision].itemsize
    if k * padded * size > 5 * 64 * 2:
        return f"kernel {k} of {padded} channels in {precision} overflows the registers"
    # both weights, and the tiles on their way to the matrix units: as compiled by Triton 3.6
    needed = (2 * k * padded + (2 * k - 1) * chip.tile_rows) * padded * size
    if needed > chip.shared:
        return f"{needed >> 10} KiB of shared memory are needed, {chip.shared >> 10} there"
    return None


@dataclass(frozen=True)
class Tiling:
    """How a block's kernel cuts its work; what is best is for benchmarks/kernels/tune.py to say."""

    rows: int  # of a tile
    warps: int = 4
    stages: int = 1
    reload: bool = False  # taps of the first convolution: from the cache, not from registers
    tiles: int = 4  # that every multiprocessor gets, at least

    @classmethod
    def of(cls, chip: Chip, kernel_size: int) -> Tiling:
        return cls(chip.tile_rows, reload=kernel_size > 3)


def row_steps(outputs: int, dilation: int, sequences: int, chip: Chip, tiling: Tiling) -> int:
    """Outputs of a row: as many as leave every multiprocessor its tiles, and at least 32, of which
    warm-up takes an eighth."""
    rows = tiling.tiles * chip.multiprocessors * tiling.rows
    wanted = max(1, rows // (sequences * dilation))
    return max(32, -(-outputs // (dilation * wanted)))


def prepare(
    weights: reference.StackWeights, grid: StackGrid, precision: str, device: torch.device
) -> Callable[[Tensor], Tensor]:
    """Pack the weights; the result maps uint8 codes (B, T) to float32 logits (B, P, labels)."""
    dtype = DTYPES[precision]
    weights = weights.to(device, torch.float32)
    chip = Chip.of(device)
    channels = weights.head_weight.shape[1]
    first = FirstBlock(weights.blocks[0], grid.blocks[0], dtype, precision, chip)
    blocks = []
    for block, geometry in zip(weights.blocks[1:], grid.blocks[1:], strict=True):
        fits = why_not_fused(geometry, channels, precision, chip) is None
        kind = FusedBlock if fits else TwoConvolutions
        blocks.append(kind(block, geometry, dtype, precision, chip))
    head = Head(weights, grid.sample, dtype, precision)

    def run(codes: Tensor) -> Tensor:
        with torch.cuda.device_of(codes):  # where Triton launches
            x = first(codes.contiguous())
            for block in blocks:
                x = block(x)
            return head(x, grid.n_scores(codes.shape[1]))

    return run


class _Block:
    """Weights (K, C in, C out) and biases of a block, padded with zeros to a row's channels."""

    def __init__(self, weights, geometry, dtype, precision, chip, tiling=None) -> None:
        self.geometry, self.dtype, self.chip = geometry, dtype, chip
        self.tiling = tiling or Tiling.of(chip, geometry.kernel_sizes[1])
        self.inputs = INPUTS.get(precision, "ieee")
        self.padded = padded_channels(len(weights.weight1))
        self.tap = weights.tap // geometry.grid_in
        # steps of a row from the residual of an output to the last of its inputs
        self.age = (geometry.span // geometry.grid_in - self.tap) // geometry.dilation
        self.weight2 = self.pack(weights.weight2, self.padded)
        self.bias1, self.bias2 = self.pad(weights.bias1), self.pad(weights.bias2)

    def pad(self, vector: Tensor) -> Tensor:
        return torch.nn.functional.pad(vector, (0, self.padded - vector.shape[-1])).contiguous()

    def pack(self, weight: Tensor, inputs: int) -> Tensor:
        """(C, C_in, K) -> (K, ``inputs``, C')."""
        weight = self.pad(weight.permute(2, 1, 0))
        missing = inputs - weight.shape[1]
        return torch.nn.functional.pad(weight, (0, 0, 0, missing)).to(self.dtype).contiguous()

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
            C=self.padded,
            M=self.tiling.rows,
            INPUTS=self.inputs,
            num_warps=self.tiling.warps,
            num_stages=self.tiling.stages,
            **FUSION,
        )

    def empty(self, like: Tensor, positions: int) -> Tensor:
        return torch.empty(len(like), positions, self.padded, dtype=self.dtype, device=like.device)


class FirstBlock(_Block):
    """Codes (N, L) to rows (N, L', C')."""

    def __init__(self, weights, geometry, dtype, precision, chip, tiling=None) -> None:
        super().__init__(weights, geometry, dtype, precision, chip, tiling)
        self.weight1 = letters_of(weights.weight1, self.padded, dtype)
        exact = self.pad(code_residual(weights.residual).to(self.bias1.device))
        rounded = exact.to(dtype)
        self.table = torch.zeros(16, self.padded, dtype=dtype, device=exact.device)
        self.table[:5], self.table[5:10] = rounded, exact - rounded.float()

    def __call__(self, codes: Tensor) -> Tensor:
        from ..kernels.first_block import first_block

        n, length = codes.shape
        outputs = self.outputs(length)
        y = self.empty(codes, outputs)
        cut = self.tiling
        steps = row_steps(outputs, 1, n, self.chip, cut)
        rows = -(-outputs // steps)
        k1, k = self.geometry.kernel_sizes
        first_block[(-(-rows // cut.rows) * n,)](
            codes=codes,
            table=self.table,
            rows=rows,
            steps=steps,
            K1=k1,
            K=k,
            LETTERS=len(self.weight1),
            **self.arguments(y, length),
        )
        return y


class FusedBlock(_Block):
    """Rows (N, L, C') to rows (N, L', C'), both convolutions in one kernel."""

    def __init__(self, weights, geometry, dtype, precision, chip, tiling=None) -> None:
        super().__init__(weights, geometry, dtype, precision, chip, tiling)
        self.weight1 = self.pack(weights.weight1, self.padded)

    def __call__(self, x: Tensor) -> Tensor:
        from ..kernels.block import block

        n, length = x.shape[:2]
        dilation = self.geometry.dilation
        outputs = self.outputs(length)
        y = self.empty(x, outputs)
        cut = self.tiling
        steps = row_steps(outputs, dilation, n, self.chip, cut)
        rows = -(-outputs // (dilation * steps)) * dilation
        k = self.geometry.kernel_sizes[1]
        block[(-(-rows // cut.rows) * n,)](
            x=x,
            rows=rows,
            steps=steps,
            dilation=dilation,
            K=k,
            RELOAD=cut.reload,
            **self.arguments(y, length),
        )
        return y


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

        n, outputs, channels = y.shape
        tile = 64
        conv[(-(-n * outputs // tile),)](
            x=x,
            y=y,
            w=weight,
            scale=None,
            shift=None,
            masks=None,
            bias=bias,
            residual=residual,
            statistics=None,
            length=x.shape[1],
            outputs=outputs,
            total=n * outputs,
            residual_length=0 if residual is None else residual.shape[1],
            tap=self.tap,
            dilation=self.geometry.dilation,
            stride=stride,
            K=len(weight),
            C=channels,
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
            **FUSION,
        )


class Head:
    """Rows (N, L, C') to logits (N, outputs, labels) float32."""

    TILE = 64  # positions, and labels

    def __init__(self, weights, sample, dtype, precision) -> None:
        labels, channels = weights.head_weight.shape
        self.labels, self.sample = labels, sample
        self.inputs = INPUTS.get(precision, "ieee")
        extra = -labels % self.TILE
        pad = torch.nn.functional.pad
        matrix = pad(weights.head_weight.T, (0, extra, 0, padded_channels(channels) - channels))
        self.weight = matrix.to(dtype).contiguous()
        self.bias = pad(weights.head_bias, (0, extra)).contiguous()

    def __call__(self, x: Tensor, outputs: int) -> Tensor:
        from ..kernels.head import head

        n, length, channels = x.shape
        y = torch.empty(n, outputs, self.labels, device=x.device)
        head[(-(-outputs // self.TILE) * n, len(self.bias) // self.TILE)](
            x=x,
            y=y,
            w=self.weight,
            b=self.bias,
            length=length,
            outputs=outputs,
            labels=self.labels,
            sample=self.sample,
            C=channels,
            LABELS=self.TILE,
            M=self.TILE,
            INPUTS=self.inputs,
            num_warps=4,
            num_stages=1,
            **FUSION,
        )
        return y
