"""One dilated, possibly strided convolution, rows to rows, with what stands before and after it.

Before: rows may be normalised, cut at zero and scaled by dropout as they are read. After: either
bias, ReLU and residual (a trained model that runs), or the sums of which batch statistics are made
(training). A tile is M outputs of any sequence and all channels.
"""

import triton
import triton.language as tl

from .tiles import relu


@triton.jit
def positions(outputs, total, M: tl.constexpr):
    """Sequence and output (M,) int64 each of this program's tile, and which of them exist."""
    index = tl.program_id(0).to(tl.int64) * M + tl.arange(0, M)
    return index // outputs, index % outputs, index < total


@triton.jit
def activated(
    rows, scale, shift, masks, n, inside, columns, C: tl.constexpr, DROPOUT: tl.constexpr
):
    """relu(rows * scale + shift), times the mask (N, C) of dropout, float32; of ``columns``."""
    kept = relu(rows.to(tl.float32) * scale[None, :] + shift[None, :])
    if DROPOUT:
        kept *= tl.load(masks + n[:, None] * C + columns[None, :], mask=inside[:, None], other=0.0)
    return kept


@triton.jit
def store_statistics(tile, inside, statistics, columns, C: tl.constexpr):
    """Store the mean of the rows of ``tile`` that exist, and their squares about it, as this
    program's of ``statistics`` (tiles, 2, C), ``columns`` of them."""
    tile = tile.to(tl.float32)
    mean = tl.sum(tl.where(inside[:, None], tile, 0.0), 0) / tl.sum(inside.to(tl.float32), 0)
    off = tl.where(inside[:, None], tile - mean[None, :], 0.0)
    base = statistics + tl.program_id(0).to(tl.int64) * 2 * C + columns
    tl.store(base, mean)
    tl.store(base + C, tl.sum(off * off, 0))


@triton.jit
def conv(
    x,
    y,
    w,
    scale,
    shift,
    masks,
    bias,
    residual,
    statistics,
    length,
    outputs,
    total,
    residual_length,
    tap,
    dilation,
    stride,
    K: tl.constexpr,
    C: tl.constexpr,
    M: tl.constexpr,
    INPUTS: tl.constexpr,
    NORMALISE: tl.constexpr,
    DROPOUT: tl.constexpr,
    RELU: tl.constexpr,
    RESIDUAL: tl.constexpr,
    RESIDUAL_STRIDE: tl.constexpr,
    STATISTICS: tl.constexpr,
):
    """``x`` (N, length, C) -> ``y`` (N, outputs, C); ``w`` (K, C in, C out) of its dtype.

    NORMALISE: ``scale``, ``shift`` (C,) float32 and, with DROPOUT, ``masks`` (N, C), before.
    RELU: ``bias`` (C,) float32 and ReLU after; RESIDUAL: plus row ``tap + RESIDUAL_STRIDE j`` of
    ``residual`` (N, residual_length, C), and ReLU again. STATISTICS: mean and sum of squares about
    it of each tile of outputs, as stored, in ``statistics`` (tiles, 2, C).
    """
    n, out, inside = positions(outputs, total, M)
    columns = tl.arange(0, C)
    if NORMALISE:
        scales, shifts = tl.load(scale + columns), tl.load(shift + columns)
    sequence = x + (n * length * C)[:, None]
    acc = tl.zeros((M, C), tl.float32)
    for m in tl.static_range(K):
        at = out * stride + m * dilation
        rows = tl.load(
            sequence + at[:, None] * C + columns[None, :], mask=inside[:, None], other=0.0
        )
        if NORMALISE:
            kept = activated(rows, scales, shifts, masks, n, inside, columns, C, DROPOUT)
            rows = kept.to(rows.dtype)
        taps = tl.load(w + m * C * C + columns[:, None] * C + columns[None, :])
        acc = tl.dot(rows, taps, acc, input_precision=INPUTS)
    if RELU:
        acc = relu(acc + tl.load(bias + columns)[None, :])
    if RESIDUAL:
        at = n * residual_length + out * RESIDUAL_STRIDE + tap
        pointers = residual + at[:, None] * C + columns[None, :]
        acc += tl.load(pointers, mask=inside[:, None], other=0.0).to(tl.float32)
        acc = relu(acc)
    stored = acc.to(y.dtype.element_ty)
    index = n * outputs + out
    tl.store(y + index[:, None] * C + columns[None, :], stored, mask=inside[:, None])
    if STATISTICS:
        store_statistics(stored, inside, statistics, columns, C)
