"""Weights as kernels multiply by them, and gradients of weights as parameters have them: one launch
in the place of a dozen of PyTorch's permutations.

A weight is (channels, channels, K), float32 and contiguous, or of a symmetric network its first
half along the first axis: no more is read. A matrix of the whole form is (C, C), of rows as
``Layout`` pads them, or ``PairLayout`` (HALVES 2); of the halved form it is (H, H), as
``triton_layout.halved`` has it. Forwards it is (in, out), backwards (out, in).
"""

import triton
import triton.language as tl


@triton.jit
def place(index, F1: tl.constexpr, F2: tl.constexpr, B1: tl.constexpr):
    """Of matrix ``index`` of all that are packed: whether it is of the second weight, whether it is
    backwards, and its number there. First are F1 of the first weight and F2 of the second,
    forwards, then B1 of the first and the rest, of the second, backwards."""
    back = index >= F1 + F2
    number = index - tl.where(back, F1 + F2, 0)
    before = tl.where(back, B1, F1)
    second = number >= before
    return second, back, number - tl.where(second, before, 0)


@triton.jit
def weights_at(
    weight1,
    weight2,
    second,
    back,
    rows,
    columns,
    tap,
    k,
    known,
    channels,
    HALVES: tl.constexpr,
):
    """Of the second weight or the first, what meets channels ``rows`` (R,) and gives ``columns``
    (W,) at ``tap`` of ``k``, or the other way round (``back``): (R, W), zeros where not ``known``.
    """
    back = tl.zeros_like(known.to(tl.int32)) + back.to(tl.int32) > 0
    o = tl.where(back, rows[:, None], columns[None, :])
    i = tl.where(back, columns[None, :], rows[:, None])
    taps = tl.zeros_like(o) + tap
    if HALVES == 2:  # of the second half of outputs, the flip in the first
        flipped = o >= channels // 2
        o, i = tl.where(flipped, channels - 1 - o, o), tl.where(flipped, channels - 1 - i, i)
        taps = tl.where(flipped, k - 1 - taps, taps)
    pointers = (o * channels + i) * k + taps
    second = tl.zeros_like(pointers) + second.to(tl.int32) > 0
    values = tl.load(weight1 + pointers, mask=known & ~second, other=0.0)
    return values + tl.load(weight2 + pointers, mask=known & second, other=0.0)


@triton.jit
def pack_whole(
    weight1,
    weight2,
    packed,
    channels,
    K1: tl.constexpr,
    K2: tl.constexpr,
    F1: tl.constexpr,
    F2: tl.constexpr,
    B1: tl.constexpr,
    C: tl.constexpr,
    R: tl.constexpr,
    HALVES: tl.constexpr,
):
    """``packed`` (matrices, C, C), see ``place``, one a tap; zeros for taps from k on. R rows of a
    matrix (axis 1) of one (axis 0) a program."""
    index = tl.program_id(0)
    second, back, tap = place(index, F1, F2, B1)
    rows, columns = tl.program_id(1) * R + tl.arange(0, R), tl.arange(0, C)
    row, row_known = natural(rows, channels, C, HALVES)
    column, column_known = natural(columns, channels, C, HALVES)
    k = tl.where(second, K2, K1)
    row_known = row_known & (tl.zeros_like(rows) + tap < k)
    known = row_known[:, None] & column_known[None, :]
    values = weights_at(
        weight1, weight2, second, back, row, column, tap, k, known, channels, HALVES
    )
    out = packed + index.to(tl.int64) * C * C + rows[:, None] * C + columns[None, :]
    tl.store(out, values.to(packed.dtype.element_ty))


@triton.jit
def natural(columns, channels, C: tl.constexpr, HALVES: tl.constexpr):
    """The channel of each column of rows of C, and which of them exist."""
    if HALVES == 1:
        return columns, columns < channels
    u = columns % (C // 2)
    return tl.where(columns < C // 2, u, channels - 1 - u), u < channels // 2


@triton.jit
def pack_halved(
    weight1,
    weight2,
    packed,
    channels,
    K1: tl.constexpr,
    K2: tl.constexpr,
    F1: tl.constexpr,
    F2: tl.constexpr,
    B1: tl.constexpr,
    H: tl.constexpr,
    R: tl.constexpr,
):
    """``packed`` (matrices, H, H), see ``place``: of a weight of k taps the 2 k of ``halved``."""
    index = tl.program_id(0)
    second, back, number = place(index, F1, F2, B1)
    rows, columns = tl.program_id(1) * R + tl.arange(0, R), tl.arange(0, H)
    known = (rows < channels // 2)[:, None] & (columns < channels // 2)[None, :]
    k = tl.where(second, K2, K1)
    odd = k % 2
    of_differences, number = number >= k, number % k
    middle = (odd == 1) & (number == 0)
    near = tl.where(middle, k // 2, (number - odd) // 2)
    far = k - 1 - near
    near_s, near_d = half_sums(
        weight1, weight2, second, back, rows, columns, near, k, known, channels
    )
    far_s, far_d = half_sums(weight1, weight2, second, back, rows, columns, far, k, known, channels)
    same_near, same_far = (
        tl.where(of_differences, near_d, near_s),
        tl.where(of_differences, far_d, far_s),
    )
    other_near, other_far = (
        tl.where(of_differences, near_s, near_d),
        tl.where(of_differences, far_s, far_d),
    )
    crossed = ~middle & ((number - odd) % 2 == 1)
    values = tl.where(crossed, (other_far - other_near) / 2, (same_near + same_far) / 2)
    out = packed + index.to(tl.int64) * H * H + rows[:, None] * H + columns[None, :]
    tl.store(out, values.to(packed.dtype.element_ty))


@triton.jit
def half_sums(weight1, weight2, second, back, rows, columns, tap, k, known, channels):
    """Half the sum and half the difference of what meets a channel and what meets its partner."""
    here = weights_at(weight1, weight2, second, back, rows, columns, tap, k, known, channels, 2)
    partners = channels - 1 - rows
    partner = weights_at(
        weight1, weight2, second, back, partners, columns, tap, k, known, channels, 2
    )
    return (here + partner) / 2, (here - partner) / 2


@triton.jit
def part_sums(partial, parts, number, matrices, elements, SIZE: tl.constexpr, P: tl.constexpr):
    """The sum over parts of ``elements`` of matrix ``number`` of ``partial`` (parts, matrices,
    SIZE), P parts at a time."""
    some = tl.arange(0, P)
    total = tl.zeros_like(elements).to(tl.float32)
    for start in range(0, parts, P):
        part = start + some
        pointers = partial + ((part.to(tl.int64) * matrices + number) * SIZE)[:, None]
        there = (part < parts)[:, None]
        total += tl.sum(tl.load(pointers + elements[None, :], mask=there, other=0.0), 0)
    return total


@triton.jit
def sum_whole(
    partial,
    out,
    parts,
    channels,
    k,
    C: tl.constexpr,
    E: tl.constexpr,
    P: tl.constexpr,
    HALVES: tl.constexpr,
    WHOLE: tl.constexpr,
):
    """Sums of parts, ``partial`` (parts, k, C in, C out) -> the gradient ``out`` of a weight: of
    one tap (axis 0) E elements (axis 1). Of pairs (HALVES 2) elements are those of the first half
    of outputs, and what is said of ``sum_halved`` holds."""
    tap, elements = tl.program_id(0), tl.program_id(1) * E + tl.arange(0, E)
    OUT: tl.constexpr = C // HALVES
    i, o = elements // OUT, elements % OUT
    values = part_sums(partial, parts, tap, k, i * C + o, C * C, P)
    channel, known = natural(i, channels, C, HALVES)
    known = known & (o < channels // HALVES)
    if HALVES == 2:
        partner = (i + OUT) % C * C + o + OUT
        values += part_sums(partial, parts, k - 1 - tap, k, partner, C * C, P)
        if WHOLE:
            values /= 2
            flipped = (channels - 1 - o) * channels + channels - 1 - channel
            tl.store(out + flipped * k + k - 1 - tap, values, mask=known)
    tl.store(out + (o * channels + channel) * k + tap, values, mask=known)


@triton.jit
def sum_halved(
    partial,
    out,
    parts,
    channels,
    K: tl.constexpr,
    H: tl.constexpr,
    E: tl.constexpr,
    P: tl.constexpr,
    WHOLE: tl.constexpr,
):
    """The same of the halved form, (parts, 2 K, H in, H out): of one tap and its mirror image
    (axis 0). The gradient is the mean of what it would be for each weight alone and of the flip of
    that; of a weight that is a half (not WHOLE), for which both count, twice that."""
    t, elements = tl.program_id(0), tl.program_id(1) * E + tl.arange(0, E)
    if K % 2 == 1 and t == K // 2:
        s = part_sums(partial, parts, 0, 2 * K, elements, H * H, P)
        d = part_sums(partial, parts, K, 2 * K, elements, H * H, P)
        store_pairs(out, s, d, t, elements, channels, K, H, WHOLE)
    else:
        i = K % 2 + 2 * t
        own_s = part_sums(partial, parts, i, 2 * K, elements, H * H, P)
        other_s = part_sums(partial, parts, i + 1, 2 * K, elements, H * H, P)
        own_d = part_sums(partial, parts, K + i, 2 * K, elements, H * H, P)
        other_d = part_sums(partial, parts, K + i + 1, 2 * K, elements, H * H, P)
        near_s, near_d = (own_s - other_d) / 2, (own_d - other_s) / 2
        far_s, far_d = (own_s + other_d) / 2, (own_d + other_s) / 2
        store_pairs(out, near_s, near_d, t, elements, channels, K, H, WHOLE)
        store_pairs(out, far_s, far_d, K - 1 - t, elements, channels, K, H, WHOLE)


@triton.jit
def store_pairs(
    out, s, d, t, elements, channels, K: tl.constexpr, H: tl.constexpr, WHOLE: tl.constexpr
):
    """What meets sums and differences of pairs at tap ``t`` -> the weights of both channels of each
    pair of outputs, or of the first."""
    i, o = elements // H, elements % H
    known = (i < channels // 2) & (o < channels // 2)
    shared = 4 if WHOLE else 2
    here, partner = (s + d) / shared, (s - d) / shared
    i_partner, o_partner = channels - 1 - i, channels - 1 - o
    tl.store(out + (o * channels + i) * K + t, here, mask=known)
    tl.store(out + (o * channels + i_partner) * K + t, partner, mask=known)
    if WHOLE:
        mirrored = K - 1 - t
        tl.store(out + (o_partner * channels + i_partner) * K + mirrored, here, mask=known)
        tl.store(out + (o_partner * channels + i) * K + mirrored, partner, mask=known)
