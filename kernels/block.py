"""A residual block with its norms folded in, rows to rows: one kernel, activations on the chip.

The maths, and the picture of a tile, are in README.md.
"""

import triton
import triton.language as tl

from .tiles import convolve, first_output, load_rows, load_taps, relu, rows_of_program, store_rows


@triton.jit
def block(
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
    C: tl.constexpr,
    M: tl.constexpr,
    RELOAD: tl.constexpr,
    INPUTS: tl.constexpr,
):
    """``x`` (N, length, C) -> ``y`` (N, outputs, C); ``w1``, ``w2`` (K, C in, C out) of the same
    dtype, ``b1``, ``b2`` (C,) float32.

    ``S``: stride, 1 or 2. ``AGE``: how many steps before the last input of an output its residual
    lies. ``RELOAD``: taps of the first convolution are loaded again from the cache
    instead of kept in registers. ``rows`` of a sequence with ``steps`` outputs each.
    """
    dtype: tl.constexpr = y.dtype.element_ty
    row, n = rows_of_program(rows, M)
    x += n * length * C
    y += n * outputs * C
    inside = row < rows
    taps1, taps2 = load_taps(w1, K, C, C), load_taps(w2, K, C, C)
    bias1, bias2 = tl.load(b1 + tl.arange(0, C)), tl.load(b2 + tl.arange(0, C))

    XS: tl.constexpr = max(K - 1, AGE + 1 - S)  # inputs carried from step to step
    WARM: tl.constexpr = 2 * (K - 1) // S  # steps whose outputs lack inputs, and are not stored
    xs, hs = (), ()
    for _i in tl.static_range(XS):
        xs = xs + (tl.zeros((M, C), dtype),)
    for _i in tl.static_range(K - S):
        hs = hs + (tl.zeros((M, C), dtype),)
    out = first_output(row, dilation, steps)
    at = out * S + (2 * (K - 1) + 1 - S - WARM * S) * dilation
    out -= WARM * dilation
    for t in range(-WARM, steps):
        for _s in tl.static_range(S):
            if RELOAD:
                now = ()
                for m in tl.static_range(K):
                    now = now + (load_rows(x, at - (K - 1 - m) * dilation, length, inside, C),)
            else:
                xs = xs + (load_rows(x, at, length, inside, C),)
                now = xs[-K:]
            hs = hs + (convolve(now, taps1, bias1, K, INPUTS).to(dtype),)
            at += dilation
        if RELOAD:
            residual = load_rows(x, at - (AGE + 1) * dilation, length, inside, C)
        else:
            residual = xs[len(xs) - 1 - AGE]
            xs = xs[-XS:]
        z = convolve(hs[-K:], taps2, bias2, K, INPUTS) + residual.to(tl.float32)
        store_rows(y, out, outputs, inside & (t >= 0), relu(z), C)
        hs = hs[S:]
        out += dilation
