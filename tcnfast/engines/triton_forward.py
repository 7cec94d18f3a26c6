"""The forward pass of a block in training on the Triton kernels, and what the backward pass shares
with it; which kernel does what is in kernels/README.md."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .block_call import BlockCall, BlockOutputs
from .reference import DTYPES
from .triton_layout import INPUTS, Layout, layout_of

# kernels that sum over threads: a product fused with the first addition of a sum is rounded in one
# thread and not in its partner, and the copies of the sum that they store differ in the last bit
UNFUSED = {"enable_fp_fusion": False}
TILE = 64  # rows of a tile
SUMMED = 16  # tiles that a step of a reduction takes
PART = 64  # letters of a one-hot tile in training: 128 overflow the registers


class Call(BlockCall):
    """A block's arguments, and what kernels are told of them."""

    @property
    def layout(self) -> Layout:
        return layout_of(self.channels, self.symmetric)

    @property
    def padded(self) -> int:
        return self.layout.padded

    @property
    def dtype(self) -> torch.dtype:
        return DTYPES[self.precision]

    @property
    def fixed(self) -> dict:
        """What every kernel of rows is compiled for."""
        return dict(C=self.padded, M=TILE, num_warps=4) | UNFUSED

    @property
    def multiplied(self) -> dict:
        """What every kernel that multiplies matrices is."""
        return dict(INPUTS=INPUTS.get(self.precision, "ieee"), num_stages=2)

    @property
    def products(self) -> dict:
        """For convolutions of rows."""
        return self.layout.sizes | dict(M=TILE, num_warps=4) | UNFUSED | self.multiplied

    @property
    def whole_products(self) -> dict:
        """For convolutions of rows that know nothing of pairs."""
        return self.fixed | self.multiplied

    @property
    def code_products(self) -> dict:
        """For kernels that make one-hot tiles, whose registers four warps do not have."""
        return self.whole_products | {"num_warps": 8}

    @property
    def sums_of(self) -> dict:
        """For reductions over tiles."""
        halves = 2 if self.symmetric else 1
        return self.fixed | dict(C=self.padded // halves, B=SUMMED, HALVES=halves)

    def rows(self, length: int) -> Tensor:
        shape = self.sequences, length, self.padded
        return torch.empty(shape, dtype=self.dtype, device=self.x.device)

    def sums(self, tiles: int) -> Tensor:
        """Two numbers of every tile and channel."""
        return torch.empty(tiles, 2, self.padded, device=self.x.device)

    def tiles(self, length: int) -> int:
        return -(-self.sequences * length // TILE)

    def pad(self, vector: Tensor | None) -> Tensor | None:
        if vector is None:
            return None
        return self.layout.pad(vector)

    @property
    def table(self) -> Tensor | None:
        """What each code adds, (5, C')."""
        return self.pad(self.code_residual)


@dataclass(frozen=True)
class Norm:
    """How rows ``a`` become the argument of their ReLU, ``a * scale + shift``, with what a backward
    pass needs of the batch: float32 (C',) each."""

    scale: Tensor
    shift: Tensor
    mean: Tensor
    inverse: Tensor


def forward(call: Call, outputs: BlockOutputs) -> None:
    """Compute ``outputs``."""
    from ..kernels.pointwise import finish

    a1 = call.rows(call.length1) if call.codes else outputs.a1
    sums = convolve_first(call, a1)
    norm1 = _norm(call, sums, call.length1, call.gain1, call.shift1, outputs.mean1, outputs.var1)
    sums = _convolve_second(call, a1, norm1, outputs.a2)
    norm2 = _norm(call, sums, call.length2, call.gain2, call.shift2, outputs.mean2, outputs.var2)
    finish[(call.tiles(call.length2),)](
        a=outputs.a2,
        x=call.x,
        table=call.table,
        y=outputs.y,
        scale=norm2.scale,
        shift=norm2.shift,
        masks=call.pad(call.mask2),
        length=call.length,
        outputs=call.length2,
        total=call.sequences * call.length2,
        tap=call.tap,
        stride=call.stride,
        DROPOUT=call.mask2 is not None,
        CODES=call.codes,
        **call.fixed,
    )


def convolve_first(call: Call, a1: Tensor, statistics: bool = True) -> Tensor | None:
    """``a1`` of codes or rows; statistics of its tiles (tiles, 2, C'), if batch norm needs them."""
    from ..kernels.code_conv import code_conv

    sums = call.sums(call.tiles(call.length1)) if statistics and call.batch_norm else None
    if not call.codes:
        _conv(call, call.x, call.weight1, a1, sums, stride=1)
        return sums
    letters = call.layout.letters(call.weight1).to(call.dtype)
    code_conv[(call.tiles(call.length1),)](
        codes=call.x,
        y=a1,
        w=letters,
        statistics=sums,
        length=call.length,
        outputs=call.length1,
        total=call.sequences * call.length1,
        K=call.taps1,
        LETTERS=len(letters),
        PART=min(PART, len(letters)),
        STATISTICS=sums is not None,
        **call.code_products,
    )
    return sums


def _convolve_second(call: Call, a1: Tensor, norm1: Norm, a2: Tensor) -> Tensor | None:
    sums = call.sums(call.tiles(call.length2)) if call.batch_norm else None
    mask = call.pad(call.mask1)
    _conv(call, a1, call.weight2, a2, sums, stride=call.stride, norm=norm1, mask=mask)
    return sums


def _conv(call: Call, x, weight, y, sums, *, stride, norm=None, mask=None) -> None:
    from ..kernels.conv import conv
    from ..kernels.halved_conv import halved_conv

    kernel = halved_conv if call.symmetric else conv
    outputs = y.shape[1]
    kernel[(call.tiles(outputs),)](
        x=x,
        y=y,
        w=call.layout.taps(weight).to(call.dtype),
        scale=norm and norm.scale,
        shift=norm and norm.shift,
        masks=mask,
        bias=None,
        residual=None,
        statistics=sums,
        length=x.shape[1],
        outputs=outputs,
        total=call.sequences * outputs,
        residual_length=0,
        tap=0,
        dilation=call.dilation,
        stride=stride,
        K=weight.shape[2],
        NORMALISE=norm is not None,
        DROPOUT=mask is not None,
        RELU=False,
        RESIDUAL=False,
        RESIDUAL_STRIDE=1,
        STATISTICS=sums is not None,
        **call.products,
    )


def _norm(call: Call, statistics, length: int, gain, shift, mean, var) -> Norm:
    """The norm of this batch, whose mean and variance go to ``mean`` and ``var``."""
    if statistics is None:
        return no_norm(call, shift)
    from ..kernels.reduce import batch_statistics

    out = torch.empty(5, call.padded, device=statistics.device)
    batch_statistics[(1,)](
        statistics=statistics,
        tiles=len(statistics),
        total=call.sequences * length,
        gain=call.pad(gain),
        shift=call.pad(shift),
        eps=call.eps,
        out=out,
        **call.sums_of,
    )
    mean.copy_(call.layout.unpad(out[0]))
    var.copy_(call.layout.unpad(out[1]))
    return Norm(mean=out[0], inverse=out[2], scale=out[3], shift=out[4])


def no_norm(call: Call, bias: Tensor) -> Norm:
    one = torch.ones(call.padded, device=bias.device)
    return Norm(one, call.pad(bias), torch.zeros_like(one), one)
