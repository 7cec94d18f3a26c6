"""What the kernels share: tiles of rows, tiles of weights, and one convolution of tiles.

A tile has M rows, and a row is one sequence of positions, ``dilation`` apart, that the kernel walks
one position a step ("time-step tiling", README.md). So the tap ``m`` of a convolution is the whole
tile that was loaded, or computed, ``K - 1 - m`` steps ago, whatever the dilation.
"""

import triton
import triton.language as tl


@triton.jit
def rows_of_program(rows, M: tl.constexpr):
    """Numbers (M,) of the rows that a program makes, of ``rows`` a sequence, and its sequence."""
    tiles = tl.cdiv(rows, M)
    row = tl.program_id(0) % tiles * M + tl.arange(0, M)
    return row, (tl.program_id(0) // tiles).to(tl.int64)


@triton.jit
def relu(x):
    """``x`` cut at zero; NaN stays NaN, which ``tl.maximum`` alone would make zero."""
    return tl.maximum(x, 0.0, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def load_rows(x, at, length, inside, C: tl.constexpr):
    """Tile (M, C) of ``x`` (length, C) at positions ``at`` (M,) int64; zeros outside."""
    columns = tl.arange(0, C)
    inside = inside & (at >= 0) & (at < length)
    return tl.load(x + at[:, None] * C + columns[None, :], mask=inside[:, None], other=0.0)


@triton.jit
def store_rows(y, at, length, inside, tile, C: tl.constexpr):
    """Store the tile (M, C) in ``y`` (length, C) at positions ``at`` (M,) that are ``inside``."""
    columns = tl.arange(0, C)
    inside = inside & (at < length)
    pointers = y + at[:, None] * C + columns[None, :]
    tl.store(pointers, tile.to(y.dtype.element_ty), mask=inside[:, None])


@triton.jit
def load_taps(w, K: tl.constexpr, C_IN: tl.constexpr, C: tl.constexpr):
    """The matrices (C_IN, C) of ``w`` (K, C_IN, C), one a tap."""
    i, j = tl.arange(0, C_IN), tl.arange(0, C)
    taps = ()
    for m in tl.static_range(K):
        taps = taps + (tl.load(w + m * C_IN * C + i[:, None] * C + j[None, :]),)
    return taps


@triton.jit
def tiles_of(carried, K: tl.constexpr, dtype: tl.constexpr):
    """K tiles of ``dtype`` that were carried from step to step as integers of their size."""
    tiles = ()
    for m in tl.static_range(K):
        tiles = tiles + (carried[m].to(dtype, bitcast=True),)
    return tiles


@triton.jit
def convolve(tiles, taps, bias, K: tl.constexpr, INPUTS: tl.constexpr):
    """relu(bias + sum of ``tiles[m] @ taps[m]``), float32 (M, C); taps in their order."""
    total = tl.dot(tiles[0], taps[0], input_precision=INPUTS)
    for m in tl.static_range(1, K):
        total = tl.dot(tiles[m], taps[m], total, input_precision=INPUTS)
    return relu(total + bias[None, :])


@triton.jit
def first_output(row, dilation, steps):
    """Output (M,) int64 with which each row begins: rows are phases, ``dilation`` of them a
    segment, and a segment is ``dilation * steps`` outputs that lie together."""
    return (row // dilation).to(tl.int64) * dilation * steps + row % dilation
