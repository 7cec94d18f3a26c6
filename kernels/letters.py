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
def read_codes(codes, at, length, inside, S: tl.constexpr):
    """Codes ``at`` .. ``at + S - 1`` in one integer (M,), eight bits each; N beyond the
    sequence."""
    read = tl.zeros_like(at).to(tl.int32)
    for s in tl.static_range(S):
        code = tl.load(codes + at + s, mask=inside & (at + s < length), other=N_CODE)
        read |= known_code(code).to(tl.int32) << (8 * s)
    return read


@triton.jit
def shifted(window, code, WINDOW: tl.constexpr):
    """``window`` (M,) int64 of WINDOW codes, three bits each, the oldest lowest, with ``code`` (M,)
    shifted in."""
    return (window >> BITS) | (code.to(tl.int64) << (BITS * (WINDOW - 1)))


@triton.jit
def first_window(codes, at, length, inside, of_rows, BASES: tl.constexpr, WINDOW: tl.constexpr):
    """A window of WINDOW codes whose last BASES are those from ``at`` on, and where the next is;
    ``of_rows`` (M,): zeros that lie as the window shall."""
    window = tl.zeros_like(at)
    for _base in tl.static_range(BASES):
        window = shifted(window, read_codes(codes, at, length, inside, 1) | of_rows, WINDOW)
        at += 1
    return window, at


@triton.jit
def lying_as_products(M: tl.constexpr, N: tl.constexpr, dtype: tl.constexpr):
    """Zeros int32 (M, N) that lie in registers as the result of a product does.

    What is computed with them lies the same, and goes into the next product without a way through
    shared memory. They cost a product outside of the loop; LLVM, not Triton, sees that they are 0.
    """
    product = tl.dot(tl.zeros((M, 16), dtype), tl.zeros((16, N), dtype))
    return (product.to(tl.int32, bitcast=True) & 1) >> 1


@triton.jit
def ones_where_equal(codes, own, dtype: tl.constexpr, PACKED: tl.constexpr):
    """1 where ``codes`` (M, N) int32 of three bits are ``own`` (1, N), else 0, as ``dtype``.
    PACKED: numbers of 16 bits two at a time, by an instruction that chips have from sm_90 on."""
    # a code is the lowest bits of a one: of numbers below them hardware may make zero
    if PACKED and dtype == tl.bfloat16:
        pairs = [(codes | 0x3F80).to(tl.int16), (own | 0x3F80).to(tl.int16)]
        asm: tl.constexpr = "set.eq.bf16x2.bf16x2 $0, $1, $2;"
        equal = tl.inline_asm_elementwise(asm, "=r,r,r", pairs, tl.bfloat16, True, 2)
    elif PACKED and dtype == tl.float16:
        pairs = [(codes | 0x3C00).to(tl.int16), (own | 0x3C00).to(tl.int16)]
        asm: tl.constexpr = "set.eq.f16x2.f16x2 $0, $1, $2;"
        equal = tl.inline_asm_elementwise(asm, "=r,r,r", pairs, tl.float16, True, 2)
    else:
        one, zero = tl.full((1, 1), 1.0, dtype), tl.full((1, 1), 0.0, dtype)
        equal = tl.where(codes == own, one, zero)
    return equal


@triton.jit
def letter_of(column):
    """The row 4 m + b of ``Layout.letters`` of each ``column`` of a one-hot tile: as
    ``triton_layout.fragment_order`` has it."""
    return 4 * (column // 16 * 4 + column % 8 // 2) + base_of(column)


@triton.jit
def base_of(column):
    """The base that each ``column`` of a one-hot tile is of."""
    return column % 2 + column // 8 % 2 * 2


@triton.jit
def one_hot_fragments(
    codes, zeros, LETTERS: tl.constexpr, dtype: tl.constexpr, PACKED: tl.constexpr
):
    """Codes (M,) int64, three bits each, the oldest lowest -> (M, LETTERS), columns in the order of
    ``triton_layout.fragment_order``; ``zeros`` of ``lying_as_products``.

    Of 16 columns a thread holds 2 q, 2 q + 1, 2 q + 8 and 2 q + 9 (q, its lane modulo 4), which are
    the bases of tap q here: it shifts by 3 q once, and by constants after.
    """
    column = tl.arange(0, LETTERS)
    base = base_of(column)
    own = (codes[:, None] | zeros) >> (column % 8 // 2 * BITS)[None, :]
    # beyond the window weights are zero, and any code will do; a shift by 64 would give none
    shift = tl.minimum(column // 16 * (4 * BITS), 60)
    code = (own >> shift[None, :]).to(tl.int32) & 7
    return ones_where_equal(code, base[None, :], dtype, PACKED)


@triton.jit
def next_letters(
    window,
    read,
    s: tl.constexpr,
    zeros,
    K: tl.constexpr,
    WINDOW: tl.constexpr,
    dtype: tl.constexpr,
    PACKED: tl.constexpr,
):
    """The window with code ``s`` of ``read_codes`` shifted in, and its last K codes one-hot."""
    window = shifted(window, (read >> (8 * s)) & 7, WINDOW)
    codes = window >> (BITS * (WINDOW - K))
    return window, one_hot_fragments(codes, zeros, zeros.shape[1], dtype, PACKED)


@triton.jit
def code_of_age(window, AGE: tl.constexpr, WINDOW: tl.constexpr):
    """The code that was shifted in AGE codes before the last one, int32."""
    return ((window >> (BITS * (WINDOW - 1 - AGE))) & 7).to(tl.int32)


@triton.jit
def one_hot_rows(codes, zeros, LETTERS: tl.constexpr, dtype: tl.constexpr, PACKED: tl.constexpr):
    """The same transposed, (LETTERS, M), as the left operand of a product over positions; ``zeros``
    (LETTERS, M). A thread holds two rows, of one tap, and shifts all its codes alike."""
    row = tl.arange(0, LETTERS)
    shift = tl.minimum(letter_of(row) // 4 * BITS, 60)
    code = ((codes[None, :] | zeros) >> shift[:, None]).to(tl.int32) & 7
    return ones_where_equal(code, base_of(row)[:, None], dtype, PACKED)


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
