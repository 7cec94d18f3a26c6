"""The first residual block, codes to rows: DNA becomes one-hot in registers, never in memory.

Each row of a tile holds the codes of its window in one integer, three bits a code, and shifts the
next one in at each step. One comparison makes the one-hot tile of all taps, and one matrix product
the first convolution.
"""

import triton
import triton.language as tl

from .letters import BITS, next_code, one_hot
from .tiles import convolve, load_taps, relu, store_rows


@triton.jit
def residual_of(codes, table, C: tl.constexpr, INPUTS: tl.constexpr):
    """Rows of ``table`` (16, C): of its rows c and c + 5 the sum, for codes c (M,)."""
    i = tl.arange(0, 16)
    match = (codes[:, None] == i[None, :]) | (codes[:, None] + 5 == i[None, :])
    return tl.dot(match.to(table.dtype), table, input_precision=INPUTS)


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
):
    """``codes`` uint8 (N, length) -> ``y`` (N, outputs, C).

    ``w1`` (LETTERS, C): row 4 m + b is tap m, base b, and zeros from 4 K1 on; ``w2`` (K, C, C);
    ``table`` (16, C): what each of the five codes adds as residual, and in rows 5 to 9 what
    rounding took from it. ``AGE`` as in ``block``; the rows of a sequence lie one after the other.
    """
    dtype: tl.constexpr = y.dtype.element_ty
    tiles = tl.cdiv(rows, M)
    row = tl.program_id(0) % tiles * M + tl.arange(0, M)
    n = (tl.program_id(0) // tiles).to(tl.int64)
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
    hs = ()
    for _i in tl.static_range(K - S):
        hs = hs + (tl.zeros((M, C), dtype),)
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
            hs = hs + (convolve((letter,), letters, bias1, 1, INPUTS).to(dtype),)
            at += 1
        z = convolve(hs[-K:], taps2, bias2, K, INPUTS)
        z += residual_of((window >> (BITS * (WINDOW - 1 - AGE))) & 7, added, C, INPUTS)
        store_rows(y, out, outputs, inside & (t >= 0), relu(z), C)
        hs = hs[S:]
        out += 1
