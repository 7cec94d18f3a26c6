"""From the sums of tiles to numbers of the batch, in a fixed order: one program, tile by tile."""

import triton
import triton.language as tl


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
):
    """Means and sums of squares of tiles (tiles, 2, C), each of M rows but the last, -> ``out``
    (5, C): the batch's mean and biased variance, 1 / sqrt(var + eps), and the norm's scale and
    shift, so that normalised rows are ``a * scale + shift``."""
    columns, block = tl.arange(0, C), tl.arange(0, B)
    sums = tl.zeros((C,), tl.float32)
    for start in range(0, tiles, B):
        tile = start + block
        count = tl.minimum(total - tile.to(tl.int64) * M, M).to(tl.float32)
        pointers = statistics + tile.to(tl.int64)[:, None] * 2 * C + columns[None, :]
        means = tl.load(pointers, mask=(tile < tiles)[:, None], other=0.0)
        sums += tl.sum(means * count[:, None], 0)
    mean = sums / total
    squares = tl.zeros((C,), tl.float32)
    for start in range(0, tiles, B):
        tile = start + block
        there = (tile < tiles)[:, None]
        count = tl.minimum(total - tile.to(tl.int64) * M, M).to(tl.float32)
        pointers = statistics + tile.to(tl.int64)[:, None] * 2 * C + columns[None, :]
        off = tl.load(pointers, mask=there, other=0.0) - mean[None, :]
        within = tl.load(pointers + C, mask=there, other=0.0)
        squares += tl.sum(tl.where(there, within + off * off * count[:, None], 0.0), 0)
    var = squares / total
    inverse = 1.0 / tl.sqrt_rn(var + eps)
    scale = tl.load(gain + columns) * inverse
    tl.store(out + columns, mean)
    tl.store(out + C + columns, var)
    tl.store(out + 2 * C + columns, inverse)
    tl.store(out + 3 * C + columns, scale)
    tl.store(out + 4 * C + columns, tl.load(shift + columns) - mean * scale)


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
):
    """Sums of dn and of dn times the normalised rows, (programs, 2, C), -> ``out`` (5, C): the
    gradients of gain and shift, and p, q, r, by which the gradient of the rows before the norm is
    ``p * dn + q * a + r``."""
    columns, block = tl.arange(0, C), tl.arange(0, B)
    shifts = tl.zeros((C,), tl.float32)
    gains = tl.zeros((C,), tl.float32)
    for start in range(0, programs, B):
        program = start + block
        there = (program < programs)[:, None]
        pointers = statistics + program.to(tl.int64)[:, None] * 2 * C + columns[None, :]
        shifts += tl.sum(tl.load(pointers, mask=there, other=0.0), 0)
        gains += tl.sum(tl.load(pointers + C, mask=there, other=0.0), 0)
    p = tl.load(scale + columns)
    q = -p * tl.load(inverse + columns) * (gains / total)
    tl.store(out + columns, gains)
    tl.store(out + C + columns, shifts)
    tl.store(out + 2 * C + columns, p)
    tl.store(out + 3 * C + columns, q)
    tl.store(out + 4 * C + columns, -p * (shifts / total) - q * tl.load(mean + columns))
