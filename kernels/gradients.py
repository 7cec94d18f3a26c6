"""Gradients of a convolution: of its input, and of its weights.

The gradient of what a convolution gave is never stored: behind batch norm it is
``p * dn + q * a + r`` for each channel, with ``dn`` the gradient of the normalised rows and ``a``
the rows before, and every kernel makes it of the two as it reads them.
"""

import triton
import triton.language as tl

from .conv import piece_of, pieces, positions
from .letters import BITS, letter_of, lying_as_products, one_hot_rows
from .pointwise import back_through
from .tiles import relu


@triton.jit
def full_gradient(dn, a, p, q, r, pointers, mask, BATCH_NORM: tl.constexpr):
    """Rows of the gradient of what the convolution gave, float32; zeros outside. ``p``, ``q`` and
    ``r`` are vectors in registers."""
    rows = tl.load(dn + pointers, mask=mask, other=0.0).to(tl.float32)
    if BATCH_NORM:
        before = tl.load(a + pointers, mask=mask, other=0.0).to(tl.float32)
        full = rows * p[None, :]
        full += before * q[None, :] + r[None, :]
        rows = tl.where(mask, full, 0.0)
    return rows


@triton.jit
def convolved_gradient(dn, a, p, q, r, pointers, mask, BATCH_NORM: tl.constexpr):
    """The same of the dtype of ``dn``."""
    full = full_gradient(dn, a, p, q, r, pointers, mask, BATCH_NORM)
    return full.to(dn.dtype.element_ty)


@triton.jit
def linear(p, q, r, columns, BATCH_NORM: tl.constexpr):
    """``p``, ``q`` and ``r`` of ``columns``, in registers."""
    if BATCH_NORM:
        return tl.load(p + columns), tl.load(q + columns), tl.load(r + columns)
    else:
        return p, q, r


@triton.jit
def input_gradient(
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
    residual,
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
    C: tl.constexpr,
    CX: tl.constexpr,
    M: tl.constexpr,
    HALVES: tl.constexpr,
    INPUTS: tl.constexpr,
    BATCH_NORM: tl.constexpr,
    ACTIVATED: tl.constexpr,
    DROPOUT: tl.constexpr,
    RESIDUAL: tl.constexpr,
    RESIDUAL_STRIDE: tl.constexpr,
    ONE_HOT: tl.constexpr,
):
    """Gradient ``dx`` (N, length, CX) of the rows that a convolution of stride S read.

    ``dn``, ``a`` (N, outputs, C): see above; ``w`` (K, C, CX), transposed, with zeros up to a K
    that is a multiple of S. Input u = S v + phase was read by outputs v - j dilation through taps
    S j + phase alone: a gather, one phase a program (axis 1), ``places`` values of v a sequence.
    ACTIVATED: the rows were relu(before * scale + shift) * masks; ``dx`` is then the gradient of
    the argument, and ``statistics`` gets its sums (see ``back_through``).
    RESIDUAL: plus what the block's residual gives back to rows ``tap + RESIDUAL_STRIDE j``:
    ``dy`` where ``y`` > 0, (N, residual_outputs, C); ONE_HOT: times ``residual`` (C, CX).
    """
    n, v, inside = positions(places, total, M)
    phase = tl.program_id(1)
    u = v * S + phase
    inside = inside & (u < length)
    columns, x_columns = tl.arange(0, C), tl.arange(0, CX)
    p, q, r = linear(p, q, r, columns, BATCH_NORM)
    acc = tl.zeros((M, CX), tl.float32)
    for j in tl.static_range(K // S):
        m = j * S + phase
        at = v - j * dilation
        known = (inside & (at >= 0) & (at < outputs))[:, None]
        pointers = (n * outputs + at)[:, None] * C + columns[None, :]
        rows = convolved_gradient(dn, a, p, q, r, pointers, known, BATCH_NORM)
        weights = w + m * C * CX + columns[:, None] * CX + x_columns[None, :]
        acc = tl.dot(rows, tl.load(weights), acc, input_precision=INPUTS)
    if RESIDUAL:
        at = (u - tap) // RESIDUAL_STRIDE
        known = inside & (u >= tap) & (at < residual_outputs)
        known = (known & ((u - tap) % RESIDUAL_STRIDE == 0))[:, None]
        pointers = (n * residual_outputs + at)[:, None] * C + columns[None, :]
        dz = tl.load(dy + pointers, mask=known, other=0.0)
        dz = tl.where(tl.load(y + pointers, mask=known, other=0.0) > 0, dz, 0.0)
        if ONE_HOT:
            back = tl.load(residual + columns[:, None] * CX + x_columns[None, :])
            acc = tl.dot(dz, back, acc, input_precision=INPUTS)
        else:
            acc += dz.to(tl.float32)
    pointers = (n * length + u)[:, None] * CX + x_columns[None, :]
    if ACTIVATED:
        rows = tl.load(before + pointers, mask=inside[:, None], other=0.0)
        norm = scale, shift, mean, inverse, masks, statistics
        acc = back_through(acc, rows, n, inside, norm, columns, channels, C, HALVES, DROPOUT)
    tl.store(dx + pointers, acc.to(dx.dtype.element_ty), mask=inside[:, None])


@triton.jit
def weight_gradient(
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
    C: tl.constexpr,
    M: tl.constexpr,
    INPUTS: tl.constexpr,
    NORMALISE: tl.constexpr,
    DROPOUT: tl.constexpr,
    BATCH_NORM: tl.constexpr,
):
    """``partial`` (parts, K, C in, C out) float32: of each part, see ``pieces`` (``total`` of
    them), and tap (axis 1) the sum over its outputs of input rows times gradients. Inputs are rows
    of ``x`` (N, length, C) or, NORMALISE, relu(x * scale + shift) * masks."""
    columns, tile = tl.arange(0, C), tl.arange(0, M)
    part, m = tl.program_id(0).to(tl.int64), tl.program_id(1)
    acc = tl.zeros((C, C), tl.float32)
    p, q, r = linear(p, q, r, columns, BATCH_NORM)
    if NORMALISE:
        scales, shifts = tl.load(scale + columns), tl.load(shift + columns)
    steps = (tile * stride)[:, None] * C + columns[None, :]
    offsets = tile[:, None] * C + columns[None, :]
    begin, end = pieces(cuts, per_part, total)
    for piece in range(begin, end):
        n, first, size = piece_of(piece, cuts, chunk, outputs)
        if DROPOUT:
            kept = tl.load(masks + n * channels + columns, mask=columns < channels, other=0.0)
        for start in range(0, size, M):
            known = (start + tile < size)[:, None]
            at = n * length + (first + start) * stride + m * dilation
            rows = tl.load(x + at * C + steps, mask=known, other=0.0)
            if NORMALISE:
                normal = relu(rows.to(tl.float32) * scales[None, :] + shifts[None, :])
                if DROPOUT:
                    normal *= kept[None, :]
                rows = normal.to(rows.dtype)
            base = (n * outputs + first + start) * C
            da = convolved_gradient(dn + base, a + base, p, q, r, offsets, known, BATCH_NORM)
            acc = tl.dot(tl.trans(rows), da, acc, input_precision=INPUTS)
    base = partial + (part * K + m) * C * C
    tl.store(base + columns[:, None] * C + columns[None, :], acc)


@triton.jit
def code_weight_gradient(
    windows,
    dn,
    a,
    p,
    q,
    r,
    partial,
    outputs,
    total,
    cuts,
    chunk,
    per_part,
    LETTERS: tl.constexpr,
    PART: tl.constexpr,
    C: tl.constexpr,
    M: tl.constexpr,
    INPUTS: tl.constexpr,
    BATCH_NORM: tl.constexpr,
    PACKED: tl.constexpr,
):
    """``weight_gradient`` for codes, of which ``windows`` (N, outputs) are those of
    ``code_windows``: ``partial`` (parts, LETTERS, C), row 4 m + b tap m, base b; PART letters a
    program (axis 1). PACKED: see ``ones_where_equal``."""
    dtype: tl.constexpr = dn.dtype.element_ty
    skipped = tl.program_id(1) * PART
    columns, letters = tl.arange(0, C), skipped + letter_of(tl.arange(0, PART))
    part, tile = tl.program_id(0).to(tl.int64), tl.arange(0, M)
    acc = tl.zeros((PART, C), tl.float32)
    zeros = lying_as_products(PART, M, dtype)
    p, q, r = linear(p, q, r, columns, BATCH_NORM)
    offsets = tile[:, None] * C + columns[None, :]
    begin, end = pieces(cuts, per_part, total)
    for piece in range(begin, end):
        n, first, size = piece_of(piece, cuts, chunk, outputs)
        for start in range(0, size, M):
            inside = start + tile < size
            at = n * outputs + first + start
            # what lies beyond the piece meets a gradient of zero
            window = tl.load(windows + at + tile, mask=inside, other=0)
            base = at * C
            known = inside[:, None]
            da = convolved_gradient(dn + base, a + base, p, q, r, offsets, known, BATCH_NORM)
            letter = one_hot_rows(window >> (skipped // 4 * BITS), zeros, PART, dtype, PACKED)
            acc = tl.dot(letter, da, acc, input_precision=INPUTS)
    pointers = partial + part * LETTERS * C + letters[:, None] * C + columns[None, :]
    tl.store(pointers, acc)
