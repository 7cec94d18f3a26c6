"""A residual block of a symmetric network with its norms folded in, rows of pairs to rows of pairs:
``block`` with half of the products.
"""

import triton
import triton.language as tl

from .halved import halved_convolve, load_halved_taps, load_pairs, store_pairs
from .tiles import first_output, relu, rows_of_program


@triton.jit
def halved_block(
    x,
    y,
    w1,
    b1,
    w2,
    b2,
    length,
    outputs,
    rows,
    steps,
    dilation,
    K: tl.constexpr,
    S: tl.constexpr,
    AGE: tl.constexpr,
    H: tl.constexpr,
    M: tl.constexpr,
    INPUTS: tl.constexpr,
):
    """``x`` (N, length, 2 H) -> ``y`` (N, outputs, 2 H); ``w1``, ``w2`` (2 K, H in, H out) of the
    same dtype, ``b1``, ``b2`` float32, whose first H count.

    ``S``, ``AGE``, ``rows``, ``steps`` as in ``block``. Sums and differences of the rows are formed
    once, as they are loaded or computed, and carried; the residual is loaded again from the cache,
    or registers overflow.
    """
    dtype: tl.constexpr = y.dtype.element_ty
    row, n = rows_of_program(rows, M)
    x += n * length * (2 * H)
    y += n * outputs * (2 * H)
    inside = row < rows
    taps1, taps2 = load_halved_taps(w1, K, H), load_halved_taps(w2, K, H)
    bias1, bias2 = tl.load(b1 + tl.arange(0, H)), tl.load(b2 + tl.arange(0, H))

    WARM: tl.constexpr = 2 * (K - 1) // S  # steps whose outputs lack inputs, and are not stored
    zero = tl.zeros((M, H), dtype)
    sums, differences, h_sums, h_differences = (), (), (), ()
    for _i in tl.static_range(K - 1):
        sums, differences = sums + (zero,), differences + (zero,)
    for _i in tl.static_range(K - S):
        h_sums, h_differences = h_sums + (zero,), h_differences + (zero,)
    out = first_output(row, dilation, steps)
    at = out * S + (2 * (K - 1) + 1 - S - WARM * S) * dilation
    out -= WARM * dilation
    for t in range(-WARM, steps):
        for _s in tl.static_range(S):
            u, v = load_pairs(x, at, length, inside, H)
            sums, differences = sums + (u + v,), differences + (u - v,)
            u, v = halved_convolve(sums[-K:], differences[-K:], taps1, bias1, K, INPUTS)
            h_sums += ((u + v).to(dtype),)
            h_differences += ((u - v).to(dtype),)
            at += dilation
        sums, differences = sums[S:], differences[S:]
        old_u, old_v = load_pairs(x, at - (AGE + 1) * dilation, length, inside, H)
        u, v = halved_convolve(h_sums[-K:], h_differences[-K:], taps2, bias2, K, INPUTS)
        u = relu(u + old_u.to(tl.float32))
        v = relu(v + old_v.to(tl.float32))
        store_pairs(y, out, outputs, inside & (t >= 0), u, v, H)
        h_sums, h_differences = h_sums[S:], h_differences[S:]
        out += dilation
