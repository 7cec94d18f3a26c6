"""From the sums of tiles to numbers of the batch, in a fixed order: one program, tile by tile."""

import triton
import triton.language as tl


@triton.jit
def store_rows_of_five(out, columns, a, b, c, d, e, C: tl.constexpr, HALVES: tl.constexpr):
    """Five rows of ``out``, each half of them the same."""
    for half in tl.static_range(HALVES):
        base = out + half * C + columns
        tl.store(base, a)
        tl.store(base + HALVES * C, b)
        tl.store(base + 2 * HALVES * C, c)
        tl.store(base + 3 * HALVES * C, d)
        tl.store(base + 4 * HALVES * C, e)


@triton.jit
def batch_statistics(
    statistics,
    tiles,
    total,
    gain,
    shift,
    eps,
    out,
    C: tl.constexpr,
    M: tl.constexpr,
    B: tl.constexpr,
    HALVES: tl.constexpr,
):
    """Means and sums of squares of tiles (tiles, 2, C), each of M rows but the last, -> ``out``
    (5, C): the batch's mean and biased variance, 1 / sqrt(var + eps), and the norm's scale and
    shift, so that normalised rows are ``a * scale + shift``.

    HALVES: 1, or 2 for rows of pairs, 2 C wide: a pair has one mean and variance, of both."""
    columns, block = tl.arange(0, C), tl.arange(0, B)
    sums = tl.zeros((C,), tl.float32)
    for start in range(0, tiles, B):
        tile = start + block
        count = tl.minimum(total - tile.to(tl.int64) * M, M).to(tl.float32)
        pointers = statistics + tile.to(tl.int64)[:, None] * 2 * HALVES * C + columns[None, :]
        for half in tl.static_range(HALVES):
            means = tl.load(pointers + half * C, mask=(tile < tiles)[:, None], other=0.0)
            sums += tl.sum(means * count[:, None], 0)
    mean = sums / (total * HALVES)
    squares = tl.zeros((C,), tl.float32)
    for start in range(0, tiles, B):
        tile = start + block
        there = (tile < tiles)[:, None]
        count = tl.minimum(total - tile.to(tl.int64) * M, M).to(tl.float32)
        pointers = statistics + tile.to(tl.int64)[:, None] * 2 * HALVES * C + columns[None, :]
        for half in tl.static_range(HALVES):
            off = tl.load(pointers + half * C, mask=there, other=0.0) - mean[None, :]
            within = tl.load(pointers + (HALVES + half) * C, mask=there, other=0.0)
            squares += tl.sum(tl.where(there, within + off * off * count[:, None], 0.0), 0)
    var = squares / (total * HALVES)
    inverse = 1.0 / tl.sqrt_rn(var + eps)
    scale = tl.load(gain + columns) * inverse
    shifts = tl.load(shift + columns) - mean * scale
    store_rows_of_five(out, columns, mean, var, inverse, scale, shifts, C, HALVES)


@triton.jit
def norm_gradients(
    statistics,
    programs,
    total,
    scale,
    mean,
    inverse,
    out,
    C: tl.constexpr,
    B: tl.constexpr,
    HALVES: tl.constexpr,
):
    """Sums of dn and of dn times the normalised rows, (programs, 2, C), -> ``out`` (5, C): the
    gradients of gain and shift, and p, q, r, by which the gradient of the rows before the norm is
    ``p * dn + q * a + r``. HALVES: as ``batch_statistics`` has it; gradients are means of both."""
    columns, block = tl.arange(0, C), tl.arange(0, B)
    shifts = tl.zeros((C,), tl.float32)
    gains = tl.zeros((C,), tl.float32)
    for start in range(0, programs, B):
        program = start + block
        there = (program < programs)[:, None]
        pointers = statistics + program.to(tl.int64)[:, None] * 2 * HALVES * C + columns[None, :]
        for half in tl.static_range(HALVES):
            shifts += tl.sum(tl.load(pointers + half * C, mask=there, other=0.0), 0)
            gains += tl.sum(tl.load(pointers + (HALVES + half) * C, mask=there, other=0.0), 0)
    gains, shifts = gains / HALVES, shifts / HALVES
    p = tl.load(scale + columns)
    q = -p * tl.load(inverse + columns) * (gains / total)
    r = -p * (shifts / total) - q * tl.load(mean + columns)
    store_rows_of_five(out, columns, gains, shifts, p, q, r, C, HALVES)
