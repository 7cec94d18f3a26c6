"""Gradients of a halved convolution: of its input, and of the matrices that it multiplies by.

Half the sum S and half the difference D of a pair of outputs gave u = S + D and v = S - D, so that
their gradients are the sum and the difference of those of u and v.
"""

import triton
import triton.language as tl

from .conv import piece_of, pieces, positions
from .gradients import full_gradient, linear
from .halved_conv import middle_tap, mirrored_taps
from .pointwise import back_through
from .tiles import relu


@triton.jit
def gradient_sums(dn, a, p, q, r, index, known, H: tl.constexpr, BATCH_NORM: tl.constexpr):
    """Sum and difference over pairs of the gradient of what the convolution gave, at positions
    ``index`` (M,) of all sequences: float32 (M, H); zeros where it is not ``known``."""
    pointers = index[:, None] * (2 * H) + tl.arange(0, H)[None, :]
    u = full_gradient(dn, a, p, q, r, pointers, known[:, None], BATCH_NORM)
    v = full_gradient(dn, a, p, q, r, pointers + H, known[:, None], BATCH_NORM)
    return u + v, u - v


@triton.jit
def halved_input_gradient(
    dn,
    a,
    p,
    q,
    r,
    w,
    dx,
    before,
    scale,
    shift,
    mean,
    inverse,
    masks,
    statistics,
    dy,
    y,
    outputs,
    length,
    places,
    total,
    residual_outputs,
    tap,
    dilation,
    channels,
    K: tl.constexpr,
    S: tl.constexpr,
    PHASE: tl.constexpr,
    H: tl.constexpr,
    M: tl.constexpr,
    INPUTS: tl.constexpr,
    BATCH_NORM: tl.constexpr,
    ACTIVATED: tl.constexpr,
    DROPOUT: tl.constexpr,
    RESIDUAL: tl.constexpr,
    RESIDUAL_STRIDE: tl.constexpr,
):
    """Gradient ``dx`` (N, length, 2 H) of the rows of pairs that a convolution of stride S read.

    As ``input_gradient``, for one PHASE of inputs; ``w`` (2 K, H, H): what ``halved`` makes of the
    transposed weight. Of an even K mirrored taps meet different phases of stride 2: then S is 1.
    """
    n, v, inside = positions(places, total, M)
    u = v * S + PHASE
    inside = inside & (u < length)
    columns = tl.arange(0, H)
    p, q, r = linear(p, q, r, columns, BATCH_NORM)
    sums = tl.zeros((M, H), tl.float32)
    differences = tl.zeros((M, H), tl.float32)
    if K % 2 == 1 and K // 2 % S == PHASE:
        at = v - (K // 2 - PHASE) // S * dilation
        known = inside & (at >= 0) & (at < outputs)
        s, d = gradient_sums(dn, a, p, q, r, n * outputs + at, known, H, BATCH_NORM)
        sums, differences = middle_tap(s, d, sums, differences, w, K, H, INPUTS)
    for t in tl.static_range(PHASE, K // 2, S):
        at = v - (t - PHASE) // S * dilation
        known = inside & (at >= 0) & (at < outputs)
        near_s, near_d = gradient_sums(dn, a, p, q, r, n * outputs + at, known, H, BATCH_NORM)
        at = v - (K - 1 - t - PHASE) // S * dilation
        known = inside & (at >= 0) & (at < outputs)
        far_s, far_d = gradient_sums(dn, a, p, q, r, n * outputs + at, known, H, BATCH_NORM)
        sums, differences = mirrored_taps(
            near_s, near_d, far_s, far_d, sums, differences, w, t, K, H, INPUTS
        )
    for half in tl.static_range(2):
        acc = sums - differences if half else sums + differences
        mine = columns + half * H
        if RESIDUAL:
            at = (u - tap) // RESIDUAL_STRIDE
            known = inside & (u >= tap) & (at < residual_outputs)
            known = (known & ((u - tap) % RESIDUAL_STRIDE == 0))[:, None]
            pointers = (n * residual_outputs + at)[:, None] * (2 * H) + mine[None, :]
            dz = tl.load(dy + pointers, mask=known, other=0.0)
            positive = tl.load(y + pointers, mask=known, other=0.0) > 0
            acc += tl.where(positive, dz, 0.0).to(tl.float32)
        pointers = (n * length + u)[:, None] * (2 * H) + mine[None, :]
        if ACTIVATED:
            rows = tl.load(before + pointers, mask=inside[:, None], other=0.0)
            norm = scale, shift, mean, inverse, masks, statistics
            acc = back_through(acc, rows, n, inside, norm, mine, channels, 2 * H, 2, DROPOUT)
        tl.store(dx + pointers, acc.to(dx.dtype.element_ty), mask=inside[:, None])


@triton.jit
def store_matrix(partial, i, matrix, H: tl.constexpr):
    rows, columns = tl.arange(0, H), tl.arange(0, H)
    tl.store(partial + i * H * H + rows[:, None] * H + columns[None, :], matrix)


@triton.jit
def activated_sums(
    x,
    norm,
    steps,
    known,
    H: tl.constexpr,
    NORMALISE: tl.constexpr,
    DROPOUT: tl.constexpr,
):
    """u + v and u - v, float32 (M, H), of rows of pairs at ``x + steps``, which NORMALISE activates
    first; ``norm``: scales and shifts (H,), and what dropout multiplies them by."""
    scales, shifts, kept = norm
    u = tl.load(x + steps, mask=known, other=0.0).to(tl.float32)
    v = tl.load(x + steps + H, mask=known, other=0.0).to(tl.float32)
    if NORMALISE:
        u = relu(u * scales[None, :] + shifts[None, :])
        v = relu(v * scales[None, :] + shifts[None, :])
        if DROPOUT:
            u, v = u * kept[None, :], v * kept[None, :]
    return u + v, u - v


@triton.jit
def halved_weight_gradient(
    x,
    scale,
    shift,
    masks,
    dn,
    a,
    p,
    q,
    r,
    partial,
    length,
    outputs,
    total,
    cuts,
    chunk,
    per_part,
    dilation,
    stride,
    channels,
    K: tl.constexpr,
    H: tl.constexpr,
    M: tl.constexpr,
    INPUTS: tl.constexpr,
    NORMALISE: tl.constexpr,
    DROPOUT: tl.constexpr,
    BATCH_NORM: tl.constexpr,
    MIDDLE: tl.constexpr,
):
    """``partial`` (parts, 2 K, H in, H out) float32: of each part the sums over its outputs that
    make gradients of the matrices of ``halved_conv``: of the two that the middle tap has (MIDDLE),
    or of the four of a pair of mirrored taps, t of axis 1 and K - 1 - t. All else as in
    ``weight_gradient``."""
    columns, tile = tl.arange(0, H), tl.arange(0, M)
    part, t = tl.program_id(0).to(tl.int64), tl.program_id(1)
    p, q, r = linear(p, q, r, columns, BATCH_NORM)
    scales, shifts, kept = columns, columns, columns.to(tl.float32)
    if NORMALISE:
        scales, shifts = tl.load(scale + columns), tl.load(shift + columns)
    own_s, other_s = tl.zeros((H, H), tl.float32), tl.zeros((H, H), tl.float32)
    own_d, other_d = tl.zeros((H, H), tl.float32), tl.zeros((H, H), tl.float32)
    dtype: tl.constexpr = x.dtype.element_ty
    steps = (tile * stride)[:, None] * (2 * H) + columns[None, :]
    near = (K // 2 if MIDDLE else t) * dilation
    far = (K - 1 - t) * dilation
    begin, end = pieces(cuts, per_part, total)
    for piece in range(begin, end):
        n, first, size = piece_of(piece, cuts, chunk, outputs)
        if DROPOUT:
            mine = columns < channels // 2
            kept = tl.load(masks + n * channels + columns, mask=mine, other=0.0)
        for start in range(0, size, M):
            inside = start + tile < size
            base = (n * outputs + first + start) * 2 * H
            ds, dd = gradient_sums(dn + base, a + base, p, q, r, tile, inside, H, BATCH_NORM)
            ds, dd = ds.to(dtype), dd.to(dtype)
            at = n * length + (first + start) * stride
            norm, known, rows = (scales, shifts, kept), inside[:, None], x + (at + near) * 2 * H
            near_s, near_d = activated_sums(rows, norm, steps, known, H, NORMALISE, DROPOUT)
            if MIDDLE:
                own_s = tl.dot(tl.trans(near_s.to(dtype)), ds, own_s, input_precision=INPUTS)
                own_d = tl.dot(tl.trans(near_d.to(dtype)), dd, own_d, input_precision=INPUTS)
            else:
                rows = x + (at + far) * 2 * H
                far_s, far_d = activated_sums(rows, norm, steps, known, H, NORMALISE, DROPOUT)
                terms = tl.trans((near_s + far_s).to(dtype))
                own_s = tl.dot(terms, ds, own_s, input_precision=INPUTS)
                terms = tl.trans((far_d - near_d).to(dtype))
                other_s = tl.dot(terms, ds, other_s, input_precision=INPUTS)
                terms = tl.trans((near_d + far_d).to(dtype))
                own_d = tl.dot(terms, dd, own_d, input_precision=INPUTS)
                terms = tl.trans((far_s - near_s).to(dtype))
                other_d = tl.dot(terms, dd, other_d, input_precision=INPUTS)
    partial += part * 2 * K * H * H
    if MIDDLE:
        store_matrix(partial, 0, own_s, H)
        store_matrix(partial, K, own_d, H)
    else:
        i = K % 2 + 2 * t
        store_matrix(partial, i, own_s, H)
        store_matrix(partial, i + 1, other_s, H)
        store_matrix(partial, K + i, own_d, H)
        store_matrix(partial, K + i + 1, other_d, H)
