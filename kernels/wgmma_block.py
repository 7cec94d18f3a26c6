"""A residual block for chips with wgmma: ``block``, with its tiles in registers from load to store.

Rows are loaded a step ahead, as left operands; what the first convolution gives is the second's
left operand where it lies. There is no barrier in a step.
"""

from triton.experimental import gluon
from triton.experimental.gluon import language as gl

from .wgmma_tiles import (
    as_columns,
    as_operand,
    as_result,
    barrier,
    convolve,
    first_output,
    load_rows,
    relu,
    rows_of_program,
    runs_layout,
    share_bias,
    share_taps,
    store_rows,
)


@gluon.jit
def wgmma_block(
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
    K: gl.constexpr,
    S: gl.constexpr,
    AGE: gl.constexpr,
    C: gl.constexpr,
    M: gl.constexpr,
):
    """``x`` (N, length, C) -> ``y`` (N, outputs, C), as ``block``; M is 64. The rows of ``w1`` and
    the columns of ``w2`` and ``b2`` are in the order of columns (wgmma_tiles.py)."""
    gl.static_assert(M == 64)
    dtype: gl.constexpr = y.dtype.element_ty
    row, n = rows_of_program(rows, M, runs_layout(C))
    x += n * length * C
    y += n * outputs * C
    inside = row < rows
    taps1, taps2 = share_taps(w1, K, C), share_taps(w2, K, C)
    bias1, bias2 = share_bias(b1, C), share_bias(b2, C)
    barrier()

    AGAIN: gl.constexpr = AGE >= K  # the residual is loaded again, or registers overflow
    WARM: gl.constexpr = 2 * (K - 1) // S  # steps whose outputs lack inputs, and are not stored
    nothing = gl.zeros((M, C), dtype, layout=runs_layout(C))
    xs, hs = (), ()
    for _i in gl.static_range(K - 1):
        xs = xs + (as_columns(nothing),)
    for _i in gl.static_range(K - S):
        hs = hs + (as_columns(nothing),)
    out = first_output(row, dilation, steps)
    at = out * S + (2 * (K - 1) + 1 - S - WARM * S) * dilation
    out -= WARM * dilation
    ahead = ()
    for s in gl.static_range(S):
        ahead = ahead + (load_rows(x, at + s * dilation, length, inside, C),)
    for t in range(-WARM, steps):
        loaded, ahead = ahead, ()
        at += S * dilation
        if AGAIN:
            residual = as_columns(load_rows(x, at - (AGE + 1) * dilation, length, inside, C))
        for s in gl.static_range(S):
            ahead = ahead + (load_rows(x, at + s * dilation, length, inside & (t < steps - 1), C),)
        for s in gl.static_range(S):
            xs = xs + (as_columns(loaded[s]),)
            hs = hs + (as_operand(convolve(xs[-K:], taps1, bias1, K).to(dtype)),)
        z = convolve(hs[-K:], taps2, bias2, K)
        if not AGAIN:
            residual = xs[len(xs) - 1 - AGE]
        z += as_result(residual).to(gl.float32)
        store_rows(y, out, outputs, inside & (t >= 0), relu(z), C)
        xs, hs = xs[S:], hs[S:]
        out += dilation
