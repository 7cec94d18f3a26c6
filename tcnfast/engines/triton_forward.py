"""The forward pass of a block in training on the Triton kernels, and what the backward pass shares
with it; which kernel does what is in kernels/README.md."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from . import pairs, triton_walk
from .block_call import BlockCall, BlockOutputs
from .reference import DTYPES
from .triton_chip import Chip
from .triton_layout import INPUTS, Layout, layout_of
from .triton_walk import Tiles
from .triton_weights import pack

# kernels that sum over threads: a product fused with the first addition of a sum is rounded in one
# thread and not in its partner, and the copies of the sum that they store differ in the last bit
UNFUSED = {"enable_fp_fusion": False}
TILE = 64  # rows of a tile
SUMMED, COLUMNS = 256, 16  # tiles and channels that a program of a reduction takes, all at once
PART = 64  # letters of a one-hot tile in training: 128 overflow the registers
WINDOWS = 512  # positions whose codes a program puts together


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
    def in_registers(self) -> bool:
        """Whether convolutions of rows keep their tiles in registers."""
        return triton_walk.why_not(self) is None

    @property
    def halved(self) -> bool:
        """Whether they take half of the products: of pairs of channels, where tiles are not."""
        return self.symmetric and not self.in_registers

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
        """For kernels that make one-hot tiles."""
        return self.whole_products | {"PACKED": Chip.of(self.x.device).packed}

    @property
    def together(self) -> int:
        """Channels that have one norm: what kernels that know of pairs are told as HALVES."""
        return 2 if self.symmetric else 1

    @property
    def reduced(self) -> dict:
        """For reductions over tiles to numbers of the batch, of SUMMED tiles at most."""
        sizes = dict(C=self.padded // self.together, B=SUMMED, W=COLUMNS, HALVES=self.together)
        return sizes | dict(channels=self.channels // self.together, num_warps=4) | UNFUSED

    @property
    def columns(self) -> int:
        """Programs of such a reduction."""
        return self.padded // self.together // COLUMNS

    def rows(self, length: int) -> Tensor:
        shape = self.sequences, length, self.padded
        return torch.empty(shape, dtype=self.dtype, device=self.x.device)

    def sums(self, tiles: int) -> Tensor:
        """Two numbers of every tile and channel."""
        return torch.empty(tiles, 2, self.padded, device=self.x.device)

    def tiles(self, length: int) -> int:
        return -(-self.sequences * length // TILE)

    def dropout(self, mask: Tensor | None) -> dict:
        """What kernels are told of dropout."""
        return dict(masks=mask, channels=self.channels, DROPOUT=mask is not None)

    def whole(self, parameter: Tensor) -> Tensor:
        """A parameter whose first half may have been given."""
        return pairs.whole(parameter) if self.halves else parameter

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
    pass needs of the batch: ``rows`` (4, C') float32 are scale, shift, mean and inverse."""

    rows: Tensor

    def vectors(self) -> dict[str, Tensor]:
        """Each (C',), by name."""
        names = "scale", "shift", "mean", "inverse"
        return dict(zip(names, self.rows.unbind(), strict=True))

    def affine(self) -> dict[str, Tensor]:
        """Scale and shift alone."""
        return dict(scale=self.rows[0], shift=self.rows[1])


NO_NORM = dict(scale=None, shift=None)


def forward(call: Call, outputs: BlockOutputs) -> None:
    """Compute ``outputs``."""
    from ..kernels.pointwise import finish

    a1 = call.rows(call.length1) if call.codes else outputs.a1
    packed = pack(call, outputs.packed)
    norm1, norm2 = map(Norm, outputs.norms)
    windows = put_together(call, outputs.a1) if call.codes else None
    tiles = convolve_first(call, a1, packed.taps1, windows)
    of_norm1 = call.gain1, call.shift1, outputs.mean1, outputs.var1
    find_norm(call, norm1, tiles, call.length1, *of_norm1)
    more = norm1.affine() | call.dropout(call.mask1) | dict(NORMALISE=True)
    tiles = _conv(call, a1, packed.taps2, outputs.a2, call.taps2, call.stride, **more)
    of_norm2 = call.gain2, call.shift2, outputs.mean2, outputs.var2
    find_norm(call, norm2, tiles, call.length2, *of_norm2)
    finish[(call.tiles(call.length2),)](
        a=outputs.a2,
        x=call.x,
        table=call.table,
        y=outputs.y,
        **norm2.affine(),
        **call.dropout(call.mask2),
        length=call.length,
        outputs=call.length2,
        total=call.sequences * call.length2,
        tap=call.tap,
        stride=call.stride,
        HALVES=call.together,
        CODES=call.codes,
        **call.fixed,
    )


def put_together(call: Call, out: Tensor) -> Tensor:
    """Fill ``out``, int64 (N, length1), with the codes that each output of the first convolution
    sees."""
    from ..kernels.code_conv import code_windows

    code_windows[(-(-out.numel() // WINDOWS),)](
        codes=call.x,
        out=out,
        length=call.length,
        outputs=call.length1,
        total=out.numel(),
        K=call.taps1,
        M=WINDOWS,
        num_warps=4,
        **UNFUSED,
    )
    return out


def convolve_first(
    call: Call, a1: Tensor, taps: Tensor, windows: Tensor | None, statistics: bool = True
) -> Tiles:
    """``a1`` of rows or of the ``windows`` of codes by packed ``taps``; statistics of its tiles, if
    batch norm needs them."""
    from ..kernels.code_conv import code_conv

    if not call.codes:
        more = NO_NORM | call.dropout(None) | dict(NORMALISE=False)
        return _conv(call, call.x, taps, a1, call.taps1, 1, **more)
    sums = call.sums(call.tiles(call.length1)) if statistics and call.batch_norm else None
    code_conv[(call.tiles(call.length1),)](
        windows=windows,
        y=a1,
        w=taps,
        statistics=sums,
        total=call.sequences * call.length1,
        LETTERS=len(taps),
        PART=min(PART, len(taps)),
        STATISTICS=sums is not None,
        **call.code_products,
    )
    return Tiles(sums)


def _conv(call: Call, x, taps, y, count: int, stride: int, **more) -> Tiles:
    """``y`` of ``x`` by a convolution of ``count`` taps; statistics of its tiles, if batch norm
    needs them. ``more``: what is done to ``x`` before."""
    from ..kernels.conv import conv
    from ..kernels.halved_conv import halved_conv

    if call.in_registers:
        return triton_walk.convolve(call, x, taps, y, stride, call.batch_norm, **more)
    kernel = halved_conv if call.halved else conv
    outputs = y.shape[1]
    sums = call.sums(call.tiles(outputs)) if call.batch_norm else None
    kernel[(call.tiles(outputs),)](
        x=x,
        y=y,
        w=taps,
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
        K=count,
        RELU=False,
        RESIDUAL=False,
        RESIDUAL_STRIDE=1,
        STATISTICS=sums is not None,
        **more,
        **call.products,
    )
    return Tiles(sums)


def find_norm(call: Call, norm: Norm, tiles: Tiles, length: int, gain, shift, mean, var) -> None:
    """Fill ``norm``, and ``mean`` and ``var`` of this batch."""
    if tiles.statistics is None:
        norm.rows.fill_(1)
        norm.rows[2] = 0
        norm.rows[1] = call.pad(call.whole(shift))
        return
    from ..kernels.reduce import batch_statistics

    total, rows = call.sequences * length, TILE
    processes = call.processes
    if processes.count > 1:  # of each one group, all of as many rows: tiles again
        (statistics, _), _ = _few_tiles(call, tiles, total, rows, most=1)
        tiles = Tiles(processes.gather(statistics[0]))
        total, rows = processes.count * total, total
    (statistics, counts), rows = _few_tiles(call, tiles, total, rows)
    batch_statistics[(1, call.columns)](
        statistics=statistics,
        counted=counts,
        tiles=len(statistics),
        total=total,
        rows=rows,
        gain=gain,
        shift=shift,
        eps=call.eps,
        norm=norm.rows,
        mean_out=mean,
        var_out=var,
        **call.reduced,
    )


def _few_tiles(
    call: Call, tiles: Tiles, total: int, rows: int, most: int | None = None
) -> tuple[Tiles, int]:
    """Of ``tiles`` of ``rows`` of ``total`` rows, where they have no counts, those of ``most``
    (SUMMED) groups at most, and the rows of a group."""
    from ..kernels.reduce import group_statistics

    statistics, counts = tiles
    while len(statistics) > (most or SUMMED):
        told = dict(total=total, rows=rows, counted=counts)
        if counts is not None:
            counts = counts.new_empty(-(-len(statistics) // SUMMED))
        statistics = grouped(call, group_statistics, statistics, counts_out=counts, **told)
        rows *= SUMMED
    return Tiles(statistics, counts), rows


def grouped(call: Call, kernel, statistics: Tensor, **told) -> Tensor:
    """Of tiles (tiles, 2, C') those of groups of SUMMED, by ``kernel``."""
    groups = call.sums(-(-len(statistics) // SUMMED))
    kernel[(len(groups), call.padded // COLUMNS)](
        statistics=statistics,
        tiles=len(statistics),
        out=groups,
        C=call.padded,
        B=SUMMED,
        W=COLUMNS,
        num_warps=4,
        **UNFUSED,
        **told,
    )
    return groups
