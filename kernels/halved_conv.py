"""One dilated, possibly strided convolution of a symmetric network, rows of pairs to rows of pairs:
``conv`` with half of the products.
"""

import triton
import triton.language as tl

from .conv import activated, positions, store_statistics
from .tiles import relu


@triton.jit
def pair_sums(
    x,
    scales,
    shifts,
    masks,
    n,
    at,
    length,
    inside,
    channels,
    H: tl.constexpr,
    NORMALISE: tl.constexpr,
    DROPOUT: tl.constexpr,
):
    """u + v and u - v, float32 (M, H), of rows ``at`` of sequences ``n`` of ``x`` (N, length, 2 H),
    which NORMALISE activates first."""
    columns = tl.arange(0, H)
    pointers = x + (n * length + at)[:, None] * (2 * H) + columns[None, :]
    u = tl.load(pointers, mask=inside[:, None], other=0.0).to(tl.float32)
    v = tl.load(pointers + H, mask=inside[:, None], other=0.0).to(tl.float32)
    if NORMALISE:
        u = activated(u, scales, shifts, masks, n, inside, columns, channels, 2 * H, 2, DROPOUT)
        v = activated(v, scales, shifts, masks, n, inside, columns, channels, 2 * H, 2, DROPOUT)
    return u + v, u - v


@triton.jit
def matrix(w, i: tl.constexpr, H: tl.constexpr):
    """Matrix ``i`` (H, H) of ``w``."""
    rows, columns = tl.arange(0, H), tl.arange(0, H)
    return tl.load(w + i * H * H + rows[:, None] * H + columns[None, :])


@triton.jit
def middle_tap(s, d, total, difference, w, K: tl.constexpr, H: tl.constexpr, INPUTS: tl.constexpr):
    """``total`` and ``difference`` with the middle of K taps added, which meets ``s`` and ``d``."""
    dtype: tl.constexpr = w.dtype.element_ty
    total = tl.dot(s.to(dtype), matrix(w, 0, H), total, input_precision=INPUTS)
    return total, tl.dot(d.to(dtype), matrix(w, K, H), difference, input_precision=INPUTS)


@triton.jit
def mirrored_taps(
    near_s,
    near_d,
    far_s,
    far_d,
    total,
    difference,
    w,
    t: tl.constexpr,
    K: tl.constexpr,
    H: tl.constexpr,
    INPUTS: tl.constexpr,
):
    """The same for taps t, which meets ``near_s`` and ``near_d``, and K - 1 - t of K."""
    dtype: tl.constexpr = w.dtype.element_ty
    i: tl.constexpr = K % 2 + 2 * t
    total = tl.dot((near_s + far_s).to(dtype), matrix(w, i, H), total, input_precision=INPUTS)
    total = tl.dot((far_d - near_d).to(dtype), matrix(w, i + 1, H), total, input_precision=INPUTS)
    difference = tl.dot(
        (near_d + far_d).to(dtype), matrix(w, K + i, H), difference, input_precision=INPUTS
    )
    difference = tl.dot(
        (far_s - near_s).to(dtype), matrix(w, K + i + 1, H), difference, input_precision=INPUTS
    )
    return total, difference


@triton.jit
def halved_conv(
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
    H: tl.constexpr,
    M: tl.constexpr,
    INPUTS: tl.constexpr,
    NORMALISE: tl.constexpr,
    DROPOUT: tl.constexpr,
    RELU: tl.constexpr,
    RESIDUAL: tl.constexpr,
    RESIDUAL_STRIDE: tl.constexpr,
    STATISTICS: tl.constexpr,
):
    """``x`` (N, length, 2 H) -> ``y`` (N, outputs, 2 H); ``w`` (2 K, H in, H out) of its dtype.

    All else as ``conv`` has it, with vectors and statistics of 2 H; of the vectors that are equal
    over a pair the first H are read.
    """
    n, out, inside = positions(outputs, total, M)
    columns = tl.arange(0, H)
    scales, shifts = columns, columns
    if NORMALISE:
        scales, shifts = tl.load(scale + columns), tl.load(shift + columns)
    sums = tl.zeros((M, H), tl.float32)
    differences = tl.zeros((M, H), tl.float32)
    at = out * stride
    if K % 2:
        s, d = pair_sums(
            x,
            scales,
            shifts,
            masks,
            n,
            at + K // 2 * dilation,
            length,
            inside,
            channels,
            H,
            NORMALISE,
            DROPOUT,
        )
        sums, differences = middle_tap(s, d, sums, differences, w, K, H, INPUTS)
    for t in tl.static_range(K // 2):
        near, far = at + t * dilation, at + (K - 1 - t) * dilation
        near_s, near_d = pair_sums(
            x, scales, shifts, masks, n, near, length, inside, channels, H, NORMALISE, DROPOUT
        )
        far_s, far_d = pair_sums(
            x, scales, shifts, masks, n, far, length, inside, channels, H, NORMALISE, DROPOUT
        )
        sums, differences = mirrored_taps(
            near_s, near_d, far_s, far_d, sums, differences, w, t, K, H, INPUTS
        )
    for half in tl.static_range(2):
        acc = sums - differences if half else sums + differences
        mine = columns + half * H
        if RELU:
            acc = relu(acc + tl.load(bias + columns)[None, :])
        if RESIDUAL:
            at = n * residual_length + out * RESIDUAL_STRIDE + tap
            pointers = residual + at[:, None] * (2 * H) + mine[None, :]
            acc += tl.load(pointers, mask=inside[:, None], other=0.0).to(tl.float32)
            acc = relu(acc)
        stored = acc.to(y.dtype.element_ty)
        index = (n * outputs + out)[:, None] * (2 * H)
        tl.store(y + index + mine[None, :], stored, mask=inside[:, None])
        if STATISTICS:
            store_statistics(stored, inside, statistics, mine, 2 * H)
