"""The first convolution in training: codes to rows and their statistics."""

import triton
import triton.language as tl

from .conv import positions, store_statistics
from .letters import BITS, letter_of, lying_as_products, one_hot_fragments, windows


@triton.jit
def code_windows(codes, out, length, outputs, total, K: tl.constexpr, M: tl.constexpr):
    """``codes`` uint8 (N, length) -> ``out`` int64 (N, outputs): the K codes that each output sees,
    three bits each, the first lowest. A fifteenth of the rows' bytes, and read by three kernels."""
    n, at, inside = positions(outputs, total, M)
    window = windows(codes, n, at, length, inside, K)
    tl.store(out + n * outputs + at, window, mask=inside)


@triton.jit
def code_conv(
    windows,
    y,
    w,
    statistics,
    total,
    LETTERS: tl.constexpr,
    PART: tl.constexpr,
    C: tl.constexpr,
    M: tl.constexpr,
    INPUTS: tl.constexpr,
    STATISTICS: tl.constexpr,
    PACKED: tl.constexpr,
):
    """``windows`` (total,) of ``code_windows`` -> ``y`` (total, C); ``w`` (LETTERS, C) as
    ``Layout.letters`` has it, ``statistics`` as ``conv`` has them. PART letters are multiplied at a
    time; PACKED: see ``ones_where_equal``."""
    dtype: tl.constexpr = y.dtype.element_ty
    row = tl.program_id(0).to(tl.int64) * M + tl.arange(0, M)
    inside = row < total
    columns, letters = tl.arange(0, C), letter_of(tl.arange(0, PART))
    window = tl.load(windows + row, mask=inside, other=0)
    zeros = lying_as_products(M, PART, dtype)
    acc = tl.zeros((M, C), tl.float32)
    for part in tl.static_range(LETTERS // PART):
        codes = window >> (part * PART // 4 * BITS)
        letter = one_hot_fragments(codes, zeros, PART, dtype, PACKED)
        taps = tl.load(w + (part * PART + letters)[:, None] * C + columns[None, :])
        acc = tl.dot(letter, taps, acc, input_precision=INPUTS)
    stored = acc.to(dtype)
    tl.store(y + row[:, None] * C + columns[None, :], stored, mask=inside[:, None])
    if STATISTICS:
        store_statistics(stored, inside, statistics, columns, C)
