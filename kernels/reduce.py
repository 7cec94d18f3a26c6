"""From the sums of tiles to numbers of the batch, in a fixed order.

A program takes up to B tiles and W channels, all at once. More tiles than B are first put together
to groups of B, which are like larger tiles, until B or fewer are left: shapes alone decide the
order of every sum.
"""

import triton
import triton.language as tl


@triton.jit
def loaded(
    statistics, tiles, row, R: tl.constexpr, C: tl.constexpr, B: tl.constexpr, W: tl.constexpr
):
    """Of ``statistics`` (tiles, R, C): this program's tiles (B,) int64, which of them exist, and
    row ``row`` of each, (B, W), zeros where there is none; W columns, see ``column_of``."""
    tile = tl.program_id(0).to(tl.int64) * B + tl.arange(0, B)
    there = tile < tiles
    pointers = statistics + (tile * R * C)[:, None] + column_of(row, C, W)[None, :]
    return tile, there, tl.load(pointers, mask=there[:, None], other=0.0)


@triton.jit
def column_of(row, C: tl.constexpr, W: tl.constexpr):
    """Where this program's W columns of row ``row`` lie among rows of C."""
    return row * C + tl.program_id(1) * W + tl.arange(0, W)


@triton.jit
def counts(tile, there, total, rows, counted):
    """Rows (B,) float32 that each tile has: what ``counted`` (tiles,) says or, if it is None,
    ``rows`` but the last, of ``total`` in all."""
    if counted is not None:
        return tl.load(counted + tile, mask=there, other=0.0)
    left = total - tile * rows
    return tl.where(there, tl.minimum(left, rows), 0).to(tl.float32)


@triton.jit
def group_statistics(
    statistics,
    counted,
    tiles,
    total,
    rows,
    out,
    counts_out,
    C: tl.constexpr,
    B: tl.constexpr,
    W: tl.constexpr,
):
    """Means and squares about them of tiles, (tiles, 2, C), -> the same of groups of B tiles,
    ``out`` (groups, 2, C); of how many rows each is, see ``counts``, and where they are
    ``counted``, ``counts_out`` (groups,)."""
    tile, there, means = loaded(statistics, tiles, 0, 2, C, B, W)
    _, _, within = loaded(statistics, tiles, 1, 2, C, B, W)
    count = counts(tile, there, total, rows, counted)
    number = tl.sum(count, 0)
    mean = tl.sum(means * count[:, None], 0) / tl.maximum(number, 1.0)
    if counts_out is not None:
        tl.store(counts_out + tl.program_id(0), number, mask=tl.program_id(1) == 0)
    off = means - mean[None, :]
    base = out + tl.program_id(0).to(tl.int64) * 2 * C
    tl.store(base + column_of(0, C, W), mean)
    tl.store(base + column_of(1, C, W), tl.sum(within + off * off * count[:, None], 0))


@triton.jit
def group_sums(statistics, tiles, out, C: tl.constexpr, B: tl.constexpr, W: tl.constexpr):
    """Sums of tiles (tiles, 2, C) -> of groups of B tiles, ``out`` (groups, 2, C)."""
    base = out + tl.program_id(0).to(tl.int64) * 2 * C
    for row in tl.static_range(2):
        _, _, found = loaded(statistics, tiles, row, 2, C, B, W)
        tl.store(base + column_of(row, C, W), tl.sum(found, 0))


@triton.jit
def store_natural(out, values, columns, channels, HALVES: tl.constexpr):
    """``values`` of ``columns`` to ``out``, channels in natural order: of pairs (HALVES 2) to both
    channels of each, ``channels`` pairs."""
    tl.store(out + columns, values, mask=columns < channels)
    if HALVES == 2:
        tl.store(out + 2 * channels - 1 - columns, values, mask=columns < channels)


@triton.jit
def store_gradient(out, values, columns, channels, HALVES: tl.constexpr, WHOLE: tl.constexpr):
    """The mean of both of a pair, ``values``, as the gradient of both, or of the one that there is:
    it counts twice."""
    if WHOLE:
        store_natural(out, values, columns, channels, HALVES)
    else:
        store_natural(out, 2 * values, columns, channels, 1)


@triton.jit
def store_padded(out, row, values, columns, C: tl.constexpr, HALVES: tl.constexpr):
    """``values`` of ``columns`` to row ``row`` of ``out`` (rows, HALVES * C), each half alike."""
    for half in tl.static_range(HALVES):
        tl.store(out + (row * HALVES + half) * C + columns, values)


@triton.jit
def batch_statistics(
    statistics,
    counted,
    tiles,
    total,
    rows,
    gain,
    shift,
    eps,
    channels,
    norm,
    mean_out,
    var_out,
    C: tl.constexpr,
    B: tl.constexpr,
    W: tl.constexpr,
    HALVES: tl.constexpr,
):
    """Statistics (tiles, 2, HALVES * C) of B tiles at most (of how many rows, see ``counts``) ->
    the batch's mean and biased variance, and ``norm`` (4, HALVES * C): the norm's scale and shift,
    so that normalised rows are ``a * scale + shift``, then mean and 1 / sqrt(var + eps).

    ``gain``, ``shift``, ``mean_out`` and ``var_out`` are of channels in natural order, ``channels``
    of them. HALVES: 1, or 2 for rows of pairs, ``channels`` pairs: a pair has one gain and shift,
    and one mean and variance, of both."""
    R: tl.constexpr = 2 * HALVES
    columns = column_of(0, C, W)
    sums = tl.zeros((W,), tl.float32)
    for half in tl.static_range(HALVES):
        tile, there, means = loaded(statistics, tiles, half, R, C, B, W)
        sums += tl.sum(means * counts(tile, there, total, rows, counted)[:, None], 0)
    mean = sums / (total * HALVES)
    squares = tl.zeros((W,), tl.float32)
    for half in tl.static_range(HALVES):
        tile, there, means = loaded(statistics, tiles, half, R, C, B, W)
        _, _, within = loaded(statistics, tiles, HALVES + half, R, C, B, W)
        off = means - mean[None, :]
        count = counts(tile, there, total, rows, counted)
        squares += tl.sum(within + off * off * count[:, None], 0)
    var = squares / (total * HALVES)
    inverse = 1.0 / tl.sqrt_rn(var + eps)
    known = columns < channels
    scale = tl.load(gain + columns, mask=known, other=0.0) * inverse
    shifts = tl.load(shift + columns, mask=known, other=0.0) - mean * scale
    store_natural(mean_out, mean, columns, channels, HALVES)
    store_natural(var_out, var, columns, channels, HALVES)
    store_padded(norm, 0, scale, columns, C, HALVES)
    store_padded(norm, 1, shifts, columns, C, HALVES)
    store_padded(norm, 2, mean, columns, C, HALVES)
    store_padded(norm, 3, inverse, columns, C, HALVES)


@triton.jit
def norm_gradients(
    statistics,
    tiles,
    total,
    norm,
    channels,
    gain_out,
    shift_out,
    out,
    C: tl.constexpr,
    B: tl.constexpr,
    W: tl.constexpr,
    HALVES: tl.constexpr,
    WHOLE: tl.constexpr,
):
    """Sums of dn and of dn times the normalised rows, (tiles, 2, HALVES * C) of B tiles at most, ->
    the gradients of gain and shift (None where not wanted), and ``out`` (3, HALVES * C): p, q, r,
    by which the gradient of the rows before the norm is ``p * dn + q * a + r``. ``norm``,
    ``channels`` and HALVES: as ``batch_statistics`` has it; gradients are means of both, or where
    the parameters are halves (not WHOLE) their sums."""
    R: tl.constexpr = 2 * HALVES
    columns = column_of(0, C, W)
    shifts = tl.zeros((W,), tl.float32)
    gains = tl.zeros((W,), tl.float32)
    for half in tl.static_range(HALVES):
        _, _, found = loaded(statistics, tiles, half, R, C, B, W)
        shifts += tl.sum(found, 0)
        _, _, found = loaded(statistics, tiles, HALVES + half, R, C, B, W)
        gains += tl.sum(found, 0)
    gains, shifts = gains / HALVES, shifts / HALVES
    p = tl.load(norm + columns)
    q = -p * tl.load(norm + 3 * HALVES * C + columns) * (gains / total)
    r = -p * (shifts / total) - q * tl.load(norm + 2 * HALVES * C + columns)
    if gain_out is not None:
        store_gradient(gain_out, gains, columns, channels, HALVES, WHOLE)
    if shift_out is not None:
        store_gradient(shift_out, shifts, columns, channels, HALVES, WHOLE)
    store_padded(out, 0, p, columns, C, HALVES)
    store_padded(out, 1, q, columns, C, HALVES)
    store_padded(out, 2, r, columns, C, HALVES)
