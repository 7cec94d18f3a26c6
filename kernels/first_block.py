"""The first residual block, codes to rows: DNA becomes one-hot in registers, never in memory.

Each row of a tile holds the codes of its window in one integer, three bits a code, and shifts the
next one in at each step. One comparison makes the one-hot tile of all taps, and one matrix product
the first convolution.
"""

import triton
import triton.language as tl

from .letters import (
    code_of_age,
    first_window,
    lying_as_products,
    next_letters,
    ones_where_equal,
    read_codes,
)
from .tiles import convolve, load_taps, relu, rows_of_program, store_rows, tiles_of


@triton.jit
def residual_of(codes, zeros, table, INPUTS: tl.constexpr, PACKED: tl.constexpr):
    """What ``codes`` (M,) int32 add: of ``table`` (16, C) the sum of two rows, as ``first_block``
    has them; ``zeros`` (M, 16) of ``lying_as_products``."""
    column = tl.arange(0, 16)
    code = column % 8 // 2 + column // 8 * 4
    match = ones_where_equal(codes[:, None] | zeros, code[None, :], table.dtype, PACKED)
    return tl.dot(match, table, input_precision=INPUTS)


@triton.jit
def first_block(
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
    C: tl.constexpr,
    M: tl.constexpr,
    INPUTS: tl.constexpr,
    PACKED: tl.constexpr,
):
    """``codes`` uint8 (N, length) -> ``y`` (N, outputs, C).

    ``w1`` (LETTERS, C): a row for each base of each tap, in the order of
    ``triton_layout.fragment_order``, and zeros beyond tap K1; ``w2`` (K, C, C);
    ``table`` (16, C): what each of the five codes adds as residual, row 2 c for code c, and in row
    2 c + 1 what rounding took from it. ``AGE`` as in ``block``; the rows of a sequence lie one
    after the other. PACKED: see ``ones_where_equal``.
    """
    dtype: tl.constexpr = y.dtype.element_ty
    INTEGER: tl.constexpr = tl.int16 if dtype.primitive_bitwidth == 16 else tl.int32
    row, n = rows_of_program(rows, M)
    codes += n * length
    y += n * outputs * C
    inside = row < rows
    letters = load_taps(w1, 1, LETTERS, C)
    taps2 = load_taps(w2, K, C, C)
    bias1, bias2 = tl.load(b1 + tl.arange(0, C)), tl.load(b2 + tl.arange(0, C))
    added = load_taps(table, 1, 16, C)[0]

    WINDOW: tl.constexpr = max(K1, AGE + 1)
    REACH: tl.constexpr = K1 + K - 2  # bases from the first input of an output to the last
    WARM: tl.constexpr = (K - 1) // S  # steps whose outputs lack inputs, and are not stored
    BEFORE: tl.constexpr = REACH + 1 - S - WARM * S  # bases that are read before the first step
    hs = ()  # as integers: what a loop carries in a product's own type goes to shared memory
    for _i in tl.static_range(K - S):
        hs = hs + (tl.zeros((M, C), INTEGER),)
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
            h = convolve((letter,), letters, bias1, 1, INPUTS).to(dtype)
            hs = hs + (h.to(INTEGER, bitcast=True),)
        z = convolve(tiles_of(hs[-K:], K, dtype), taps2, bias2, K, INPUTS)
        code = code_of_age(window, AGE, WINDOW)
        z += residual_of(code, of_codes, added, INPUTS, PACKED)
        store_rows(y, out, outputs, inside & (t >= 0), relu(z), C)
        hs = hs[S:]
        out += 1
