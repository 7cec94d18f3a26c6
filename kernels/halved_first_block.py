"""The first residual block of a symmetric network, codes to rows of pairs: ``first_block`` whose
second convolution has half of the products.
"""

import triton
import triton.language as tl

from .first_block import residual_of
from .halved import halved_convolve, load_halved_taps, store_pairs
from .letters import BITS, next_code, one_hot
from .tiles import convolve, load_taps, relu


@triton.jit
def halved_first_block(
    codes,
    y,
    w1,
    b1,
    w2,
    b2,
    table,
    length,
    outputs,
    rows,
    steps,
    K1: tl.constexpr,
    K: tl.constexpr,
    S: tl.constexpr,
    AGE: tl.constexpr,
    LETTERS: tl.constexpr,
    H: tl.constexpr,
    M: tl.constexpr,
    INPUTS: tl.constexpr,
):
    """``codes`` uint8 (N, length) -> ``y`` (N, outputs, 2 H).

    ``w1`` (2, LETTERS, H) and ``table`` (2, 16, H): as ``first_block`` has them, for channels and
    for their partners; ``w2`` (2 K, H, H) as in ``halved_block``; the first H of ``b1``, ``b2``.
    """
    dtype: tl.constexpr = y.dtype.element_ty
    tiles = tl.cdiv(rows, M)
    row = tl.program_id(0) % tiles * M + tl.arange(0, M)
    n = (tl.program_id(0) // tiles).to(tl.int64)
    codes += n * length
    y += n * outputs * (2 * H)
    inside = row < rows
    letters = load_taps(w1, 2, LETTERS, H)
    taps2 = load_halved_taps(w2, K, H)
    bias1, bias2 = tl.load(b1 + tl.arange(0, H)), tl.load(b2 + tl.arange(0, H))
    added = load_taps(table, 2, 16, H)

    WINDOW: tl.constexpr = max(K1, AGE + 1)
    REACH: tl.constexpr = K1 + K - 2  # bases from the first input of an output to the last
    WARM: tl.constexpr = (K - 1) // S  # steps whose outputs lack inputs, and are not stored
    sums, differences = (), ()
    for _i in tl.static_range(K - S):
        zero = tl.zeros((M, H), dtype)
        sums, differences = sums + (zero,), differences + (zero,)
    out = row.to(tl.int64) * steps
    at = out * S
    window = tl.zeros((M,), tl.int64)
    for _base in range(REACH + 1 - S - WARM * S):
        window = next_code(window, codes, at, length, inside, WINDOW)
        at += 1
    out -= WARM
    for t in range(-WARM, steps):
        for _s in tl.static_range(S):
            window = next_code(window, codes, at, length, inside, WINDOW)
            letter = one_hot(window >> (BITS * (WINDOW - K1)), LETTERS, dtype)
            u = convolve((letter,), letters[:1], bias1, 1, INPUTS)
            v = convolve((letter,), letters[1:], bias1, 1, INPUTS)
            sums += ((u + v).to(dtype),)
            differences += ((u - v).to(dtype),)
            at += 1
        u, v = halved_convolve(sums[-K:], differences[-K:], taps2, bias2, K, INPUTS)
        code = (window >> (BITS * (WINDOW - 1 - AGE))) & 7
        u = relu(u + residual_of(code, added[0], H, INPUTS))
        v = relu(v + residual_of(code, added[1], H, INPUTS))
        store_pairs(y, out, outputs, inside & (t >= 0), u, v, H)
        sums, differences = sums[S:], differences[S:]
        out += 1
