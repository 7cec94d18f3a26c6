"""A residual block of a symmetric network for chips with wgmma: ``halved_block``, with its tiles in
registers from load to store, where their sums and differences are formed as well."""

from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.hopper import warpgroup_mma, warpgroup_mma_wait

from .wgmma_tiles import (
    as_channels,
    as_columns,
    as_operand,
    as_result,
    barrier,
    bias_of,
    first_output,
    pointers_to,
    relu,
    result_layout,
    rows_of_program,
    runs_layout,
    share_bias,
    share_taps,
)


@gluon.jit
def load_pairs(x, at, length, inside, H: gl.constexpr):
    """Tiles u and v (64, H) of ``x`` (length, 2 H) at positions ``at`` (64,) int64; zeros
    outside."""
    inside = (inside & (at >= 0) & (at < length))[:, None]
    pointers = pointers_to(x, at, 2 * H, H)
    u = gl.load(pointers, mask=inside, other=0.0)
    return u, gl.load(pointers + H, mask=inside, other=0.0)


@gluon.jit
def store_pairs(y, at, length, inside, u, v, H: gl.constexpr):
    """Store the results u and v in ``y`` (length, 2 H) at positions ``at`` that are ``inside``."""
    inside = (inside & (at < length))[:, None]
    pointers = pointers_to(y, at, 2 * H, H)
    gl.store(pointers, as_channels(u.to(y.dtype.element_ty)), mask=inside)
    gl.store(pointers + H, as_channels(v.to(y.dtype.element_ty)), mask=inside)


@gluon.jit
def halved_convolve(ss, ds, taps, bias, K: gl.constexpr):
    """relu(bias + convolution) for u and for v, float32 (64, H), as halved.py has it. All products
    are under way at a time, and waited for once."""
    H: gl.constexpr = ss[0].shape[1]
    total = gl.zeros((64, H), gl.float32, layout=result_layout(H))
    difference = gl.zeros((64, H), gl.float32, layout=result_layout(H))
    if K % 2:
        middle: gl.constexpr = K // 2
        total = warpgroup_mma(ss[middle], taps.index(0), total, use_acc=False, is_async=True)
        difference = warpgroup_mma(
            ds[middle], taps.index(K), difference, use_acc=False, is_async=True
        )
    for t in gl.static_range(K // 2):
        near_s, far_s, near_d, far_d = ss[t], ss[K - 1 - t], ds[t], ds[K - 1 - t]
        total = warpgroup_mma(
            near_s + far_s,
            taps.index(K % 2 + 2 * t),
            total,
            use_acc=K % 2 + t > 0,
            is_async=True,
        )
        total = warpgroup_mma(far_d - near_d, taps.index(K % 2 + 2 * t + 1), total, is_async=True)
        difference = warpgroup_mma(
            near_d + far_d,
            taps.index(K % 2 + 2 * t + K),
            difference,
            use_acc=K % 2 + t > 0,
            is_async=True,
        )
        difference = warpgroup_mma(
            far_s - near_s, taps.index(K % 2 + 2 * t + K + 1), difference, is_async=True
        )
    offset = bias_of(bias, H)
    total, difference = warpgroup_mma_wait(0, deps=(total, difference))
    total += offset
    return relu(total + difference), relu(total - difference)


@gluon.jit
def wgmma_halved_block(
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
    H: gl.constexpr,
    M: gl.constexpr,
):
    """``x`` (N, length, 2 H) -> ``y`` (N, outputs, 2 H), as ``halved_block``; M is 64. The rows of
    ``w1`` and the columns of ``w2`` and ``b2`` are in the order of columns (wgmma_tiles.py)."""
    gl.static_assert(M == 64)
    dtype: gl.constexpr = y.dtype.element_ty
    row, n = rows_of_program(rows, M, runs_layout(H))
    x += n * length * (2 * H)
    y += n * outputs * (2 * H)
    inside = row < rows
    taps1, taps2 = share_taps(w1, 2 * K, H), share_taps(w2, 2 * K, H)
    bias1, bias2 = share_bias(b1, H), share_bias(b2, H)
    barrier()

    WARM: gl.constexpr = 2 * (K - 1) // S  # steps whose outputs lack inputs, and are not stored
    zero = as_columns(gl.zeros((M, H), dtype, layout=runs_layout(H)))
    sums, differences, h_sums, h_differences = (), (), (), ()
    for _i in gl.static_range(K - 1):
        sums, differences = sums + (zero,), differences + (zero,)
    for _i in gl.static_range(K - S):
        h_sums, h_differences = h_sums + (zero,), h_differences + (zero,)
    out = first_output(row, dilation, steps)
    at = out * S + (2 * (K - 1) + 1 - S - WARM * S) * dilation
    out -= WARM * dilation
    ahead = ()
    for s in gl.static_range(S):
        ahead = ahead + load_pairs(x, at + s * dilation, length, inside, H)
    for t in range(-WARM, steps):
        loaded, ahead = ahead, ()
        at += S * dilation
        old_u, old_v = load_pairs(x, at - (AGE + 1) * dilation, length, inside, H)
        for s in gl.static_range(S):
            ahead = ahead + load_pairs(x, at + s * dilation, length, inside & (t < steps - 1), H)
        for s in gl.static_range(S):
            u, v = loaded[2 * s], loaded[2 * s + 1]
            sums, differences = sums + (as_columns(u + v),), differences + (as_columns(u - v),)
            h_u, h_v = halved_convolve(sums[-K:], differences[-K:], taps1, bias1, K)
            h_sums += (as_operand((h_u + h_v).to(dtype)),)
            h_differences += (as_operand((h_u - h_v).to(dtype)),)
        sums, differences = sums[S:], differences[S:]
        z_u, z_v = halved_convolve(h_sums[-K:], h_differences[-K:], taps2, bias2, K)
        z_u = relu(z_u + as_result(as_columns(old_u)).to(gl.float32))
        z_v = relu(z_v + as_result(as_columns(old_v)).to(gl.float32))
        store_pairs(y, out, outputs, inside & (t >= 0), z_u, z_v, H)
        h_sums, h_differences = h_sums[S:], h_differences[S:]
        out += dilation
