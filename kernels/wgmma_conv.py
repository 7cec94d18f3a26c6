"""A convolution in training for chips with wgmma: ``conv``, with its tiles in registers.

Each row of a tile walks along a sequence as in ``block``: a row of input is loaded, normalised and
cut at zero once, not at every tap.
"""

from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.hopper import warpgroup_mma_wait

from .wgmma_tiles import (
    as_channels,
    as_columns,
    barrier,
    first_output,
    load_rows,
    pointers_to,
    products,
    relu,
    rows_of_program,
    runs_layout,
    share_taps,
)


@gluon.jit
def dropout_of(masks, n, channels, C: gl.constexpr, HALVES: gl.constexpr, layout: gl.constexpr):
    """What dropout multiplies each channel (C,) of rows of sequence ``n`` by; ``masks``
    (N, channels) as ``conv.dropout_scales`` has it."""
    channel = gl.arange(0, C, layout=layout) % (C // HALVES)
    return gl.load(masks + n * channels + channel, mask=channel < channels // HALVES, other=0.0)


@gluon.jit
def activation_of(
    scale,
    shift,
    masks,
    n,
    channels,
    C: gl.constexpr,
    HALVES: gl.constexpr,
    DROPOUT: gl.constexpr,
    layout: gl.constexpr,
):
    """Scale and shift (C,) of rows of sequence ``n``, such that relu(rows * scale + shift) is what
    a convolution reads: what dropout multiplies by, which is not negative, is in them."""
    columns = gl.arange(0, C, layout=layout)
    scales, shifts = gl.load(scale + columns), gl.load(shift + columns)
    if DROPOUT:
        kept = dropout_of(masks, n, channels, C, HALVES, layout)
        scales, shifts = scales * kept, shifts * kept
    return scales, shifts


@gluon.jit
def activated(rows, scales, shifts, NORMALISE: gl.constexpr):
    """A tile of rows as the convolution reads them."""
    if NORMALISE:
        kept = relu(rows.to(gl.float32) * scales[None, :] + shifts[None, :])
        rows = kept.to(rows.dtype)
    return rows


@gluon.jit
def sums_of_threads(tile):
    """Sums over the rows of ``tile`` (M, C) that one thread holds, (M / 16, 8, C)."""
    M: gl.constexpr = tile.shape[0]
    C: gl.constexpr = tile.shape[1]
    return gl.sum(tile.reshape(M // 16, 2, 8, C), 1)


@gluon.jit
def of_rows(sums):
    """Numbers of threads, (M / 16, 8, C), beside the rows that each holds, (M, C)."""
    T: gl.constexpr = sums.shape[0]
    C: gl.constexpr = sums.shape[2]
    both = gl.expand_dims(sums, 1).broadcast_to((T, 2, 8, C))
    return gl.convert_layout(both.reshape(16 * T, C), runs_layout(C, 16 * T), assert_trivial=True)


@gluon.jit
def sum_of_threads(sums):
    """What ``sums_of_threads`` gave -> sums over all rows, (C,)."""
    return gl.sum(gl.sum(sums, 0), 0)


@gluon.jit
def store_statistics(pivots, sums, squares, numbers, statistics, counts, vector: gl.constexpr):
    """Statistics of a program's rows, of which each thread has seen ``numbers``, with these sums
    and sums of squares about its ``pivots``, all (M / 16, 8, C)."""
    C: gl.constexpr = sums.shape[2]
    own = gl.maximum(numbers, 1.0)
    means = pivots + sums / own
    number = sum_of_threads(numbers)
    mean = sum_of_threads(numbers * means) / gl.maximum(number, 1.0)
    off = means - mean[None, :][None, :, :]
    within = gl.maximum(squares - sums * sums / own, 0.0)
    base = statistics + gl.program_id(0).to(gl.int64) * 2 * C + gl.arange(0, C, layout=vector)
    gl.store(base, gl.convert_layout(mean, vector))
    square = sum_of_threads(within + numbers * off * off)
    gl.store(base + C, gl.convert_layout(square, vector))
    gl.store(counts + gl.program_id(0), gl.max(number, 0))


@gluon.jit
def wgmma_conv(
    x,
    y,
    w,
    scale,
    shift,
    masks,
    statistics,
    counts,
    length,
    outputs,
    rows,
    steps,
    dilation,
    channels,
    K: gl.constexpr,
    S: gl.constexpr,
    C: gl.constexpr,
    M: gl.constexpr,
    HALVES: gl.constexpr,
    NORMALISE: gl.constexpr,
    DROPOUT: gl.constexpr,
    STATISTICS: gl.constexpr,
):
    """``x`` (N, length, C) -> ``y`` (N, outputs, C) of stride S, K at least; ``w`` (K, C in, C out)
    of their dtype. ``rows`` of a sequence walk ``steps`` outputs each; M is 64.

    NORMALISE, DROPOUT: as ``conv`` has them. STATISTICS: mean and sum of squares about it of each
    program's outputs, as stored, in ``statistics`` (programs, 2, C), and in ``counts`` (programs,)
    how many they are.
    """
    gl.static_assert(M == 64 and K >= S)
    LAYOUT: gl.constexpr = runs_layout(C)
    VECTOR: gl.constexpr = gl.SliceLayout(0, LAYOUT)
    dtype: gl.constexpr = y.dtype.element_ty
    row, n = rows_of_program(rows, M, LAYOUT)
    x += n * length * C
    y += n * outputs * C
    inside = row < rows
    taps = share_taps(w, K, C, IN=True, OUT=True)
    scales, shifts = 0.0, 0.0
    if NORMALISE:
        scales, shifts = activation_of(scale, shift, masks, n, channels, C, HALVES, DROPOUT, VECTOR)
    barrier()

    out = first_output(row, dilation, steps)
    at = out * S
    xs = ()
    for m in gl.static_range(K - S):
        known = load_rows(x, at + m * dilation, length, inside, C)
        xs = xs + (as_columns(activated(known, scales, shifts, NORMALISE)),)
    at += (K - S) * dilation
    ahead = ()
    for s in gl.static_range(S):
        ahead = ahead + (load_rows(x, at + s * dilation, length, inside, C),)
    sums = sums_of_threads(gl.zeros((M, C), gl.float32, layout=LAYOUT))
    pivots, squares, numbers = sums, sums, sums
    for t in range(0, steps):
        loaded, ahead = ahead, ()
        at += S * dilation
        for s in gl.static_range(S):
            ahead = ahead + (load_rows(x, at + s * dilation, length, inside & (t < steps - 1), C),)
        for s in gl.static_range(S):
            xs = xs + (as_columns(activated(loaded[s], scales, shifts, NORMALISE)),)
        total = warpgroup_mma_wait(0, deps=(products(xs, taps, K),))
        tile = as_channels(total.to(dtype))
        there = inside & (out < outputs)
        gl.store(pointers_to(y, out, C, C), tile, mask=there[:, None])
        if STATISTICS:
            ones = gl.where(there, 1.0, 0.0)[:, None] + gl.zeros((M, C), gl.float32, layout=LAYOUT)
            values = tile.to(gl.float32)
            if t == 0:  # squares are about a number of the data, or they would drown in it
                some = sums_of_threads(gl.where(there[:, None], values, 0.0))
                pivots = some / gl.maximum(sums_of_threads(ones), 1.0)
            about = values - of_rows(pivots)
            off = gl.where(there[:, None], about, 0.0)
            sums += sums_of_threads(off)
            squares += sums_of_threads(off * off)
            numbers += sums_of_threads(ones)
        xs = xs[S:]
        out += dilation
    if STATISTICS:
        store_statistics(pivots, sums, squares, numbers, statistics, counts, VECTOR)
