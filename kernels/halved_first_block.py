"""The first residual block of a symmetric network, codes to rows of pairs: ``first_block`` whose
second convolution has half of the products.
"""

import triton
import triton.language as tl

from .first_block import residual_of
from .halved import halved_convolve, load_halved_taps, store_pairs
from .letters import code_of_age, first_window, lying_as_products, next_letters, read_codes
from .tiles import convolve, load_taps, relu, rows_of_program, tiles_of


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
    PACKED: tl.constexpr,
):
    """``codes`` uint8 (N, length) -> ``y`` (N, outputs, 2 H).

    ``w1`` (2, LETTERS, H) and ``table`` (2, 16, H): as ``first_block`` has them, for channels and
    for their partners; ``w2`` (2 K, H, H) as in ``halved_block``; the first H of ``b1``, ``b2``.
    """
    dtype: tl.constexpr = y.dtype.element_ty
    INTEGER: tl.constexpr = tl.int16 if dtype.primitive_bitwidth == 16 else tl.int32
    row, n = rows_of_program(rows, M)
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
    BEFORE: tl.constexpr = REACH + 1 - S - WARM * S  # bases that are read before the first step
    sums, differences = (), ()  # as integers, as in ``first_block``
    for _i in tl.static_range(K - S):
        zero = tl.zeros((M, H), INTEGER)
        sums, differences = sums + (zero,), differences + (zero,)
    of_letters = lying_as_products(M, LETTERS, dtype)
    of_codes = lying_as_products(M, 16, dtype)
    of_rows = tl.sum(of_codes, 1)
    out = row.to(tl.int64) * steps
    window, at = first_window(codes, out * S, length, inside, of_rows, BEFORE, WINDOW)
    out -= WARM
    ahead = read_codes(codes, at, length, inside, S)  # a step before they are needed
    for t in range(-WARM, steps):
        now, at = ahead | of_rows, at + S
        ahead = read_codes(codes, at, length, inside, S)
        for s in tl.static_range(S):
            window, letter = next_letters(window, now, s, of_letters, K1, WINDOW, dtype, PACKED)
            u = convolve((letter,), letters[:1], bias1, 1, INPUTS)
            v = convolve((letter,), letters[1:], bias1, 1, INPUTS)
            sums += ((u + v).to(dtype).to(INTEGER, bitcast=True),)
            differences += ((u - v).to(dtype).to(INTEGER, bitcast=True),)
        ss, ds = tiles_of(sums[-K:], K, dtype), tiles_of(differences[-K:], K, dtype)
        u, v = halved_convolve(ss, ds, taps2, bias2, K, INPUTS)
        code = code_of_age(window, AGE, WINDOW)
        u = relu(u + residual_of(code, of_codes, added[0], INPUTS, PACKED))
        v = relu(v + residual_of(code, of_codes, added[1], INPUTS, PACKED))
        store_pairs(y, out, outputs, inside & (t >= 0), u, v, H)
        sums, differences = sums[S:], differences[S:]
        out += 1
