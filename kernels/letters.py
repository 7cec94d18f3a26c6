"""Codes in registers: a window of them in one integer, three bits each, and its one-hot form."""

import triton
import triton.language as tl

BITS = tl.constexpr(3)
N_CODE = tl.constexpr(4)


@triton.jit
def known_code(code):
    """``code`` as it was read: N for what is none of the five, which the host cannot look for on a
    GPU without waiting."""
    return tl.minimum(code, N_CODE)


@triton.jit
def next_code(window, codes, at, length, inside, WINDOW: tl.constexpr):
    """``window`` (M,) int64 with the codes at ``at`` shifted in."""
    code = tl.load(codes + at, mask=inside & (at < length), other=N_CODE)
    code = known_code(code).to(tl.int64)
    return (window >> BITS) | (code << (BITS * (WINDOW - 1)))


@triton.jit
def one_hot(codes, LETTERS: tl.constexpr, dtype: tl.constexpr):
    """Codes (M,) int64, three bits each, the oldest lowest -> (M, LETTERS): column 4 m + b says
    whether code m is base b."""
    low, high = (codes & 0x3FFFFFFF).to(tl.int32), (codes >> 30).to(tl.int32)  # ten codes each
    column = tl.arange(0, LETTERS)
    tap = column // 4
    half = tl.where((tap < 10)[None, :], low[:, None], high[:, None])
    # beyond the window weights are zero, and any code will do
    code = (half >> (tap % 10 * BITS)[None, :]) & 7
    return (code == (column % 4)[None, :]).to(dtype)


@triton.jit
def windows(codes, n, at, length, inside, K: tl.constexpr):
    """Codes ``at`` .. ``at + K - 1`` of sequences ``n`` (M,), three bits each, the first lowest; N
    beyond the sequence."""
    window = tl.zeros_like(at)
    for m in tl.static_range(K):
        there = inside & (at + m < length)
        code = tl.load(codes + n * length + at + m, mask=there, other=N_CODE)
        code = known_code(code).to(tl.int64)
        window |= code << (BITS * m)
    return window
