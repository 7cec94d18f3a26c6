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
    """Sequence and output (M,) int64 each of this program's tile, and which of them exist.

    One division of 64 bits, of the tile's first row. The others are of 32, for 2^32 outputs of a
    sequence are 128 GiB of rows, which with what they are made of no chip holds."""
    start = tl.program_id(0).to(tl.int64) * M
    n = start // outputs
    out = (start - n * outputs).to(tl.uint32) + tl.arange(0, M).to(tl.uint32)
    of_sequence = tl.cast(outputs, tl.uint32)
    more = out // of_sequence
    out -= more * of_sequence
    return n + more.to(tl.int64), out.to(tl.int64), start + tl.arange(0, M) < total


@triton.jit
def pieces(cuts, per_part, total):
    """First piece of this part (axis 0), and the one behind its last, of ``total``: each sequence
    is cut in ``cuts`` pieces of positions, and a part has ``per_part`` of them."""
    first = tl.program_id(0) * per_part
    return first, tl.minimum(first + per_part, total)


@triton.jit
def piece_of(piece, cuts, chunk, outputs):
    """Sequence and first output, int64, of a piece, and how many it has, int32: ``chunk`` but for
    the last of a sequence.

    What a piece has is counted in 32 bits: the host cuts at 2^24 outputs, and offsets in a tile are
    under 2^24 for the 1,024 channels and a stride of 2. All that is added to them is of 64."""
    n = piece // cuts
    first = (piece - n * cuts).to(tl.int64) * chunk
    return n.to(tl.int64), first, tl.minimum(outputs - first, chunk).to(tl.int32)


@triton.jit
def dropout_of(masks, n, columns, channels, C: tl.constexpr, HALVES: tl.constexpr):
    """``dropout_scales`` of one sequence ``n``, (W,)."""
    known = columns % (C // HALVES) < channels // HALVES
    return tl.load(masks + n * channels + columns % (C // HALVES), mask=known, other=0.0)


@triton.jit
def dropout_scales(masks, n, inside, columns, channels, C: tl.constexpr, HALVES: tl.constexpr):
    """What dropout multiplies ``columns`` (W,) of rows of C by, (M, W): ``masks`` (N, channels) is
    of channels in natural order, and of pairs (HALVES 2) both have the scale of the first."""
    known = columns % (C // HALVES) < channels // HALVES
    pointers = masks + n[:, None] * channels + (columns % (C // HALVES))[None, :]
    return tl.load(pointers, mask=inside[:, None] & known[None, :], other=0.0)


@triton.jit
def activated(
    rows,
    scale,
    shift,
    masks,
    n,
    inside,
    columns,
    channels,
    C: tl.constexpr,
    HALVES: tl.constexpr,
    DROPOUT: tl.constexpr,
):
    """relu(rows * scale + shift), times what dropout says, float32; of ``columns``."""
    kept = relu(rows.to(tl.float32) * scale[None, :] + shift[None, :])
    if DROPOUT:
        kept *= dropout_scales(masks, n, inside, columns, channels, C, HALVES)
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
    channels,
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

    NORMALISE: ``scale``, ``shift`` (C,) float32 and, with DROPOUT, ``masks`` (N, channels), before.
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
            kept = activated(
                rows, scales, shifts, masks, n, inside, columns, channels, C, 1, DROPOUT
            )
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
