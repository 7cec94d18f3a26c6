"""The first convolution in training: codes to rows and their statistics."""

import triton
import triton.language as tl

from .conv import positions, store_statistics
from .letters import BITS, one_hot, windows


@triton.jit
def code_conv(
    codes,
    y,
    w,
    statistics,
    length,
    outputs,
    total,
    K: tl.constexpr,
    LETTERS: tl.constexpr,
    PART: tl.constexpr,
    C: tl.constexpr,
    M: tl.constexpr,
    INPUTS: tl.constexpr,
    STATISTICS: tl.constexpr,
):
    """``codes`` uint8 (N, length) -> ``y`` (N, outputs, C); ``w`` (LETTERS, C) as ``first_block``
    has it, ``statistics`` as ``conv`` has them. PART letters are multiplied at a time."""
    n, out, inside = positions(outputs, total, M)
    columns, letters = tl.arange(0, C), tl.arange(0, PART)
    window = windows(codes, n, out, length, inside, K)
    acc = tl.zeros((M, C), tl.float32)
    for part in tl.static_range(LETTERS // PART):
        letter = one_hot(window >> (part * PART // 4 * BITS), PART, y.dtype.element_ty)
        taps = tl.load(w + (part * PART + letters)[:, None] * C + columns[None, :])
        acc = tl.dot(letter, taps, acc, input_precision=INPUTS)
    stored = acc.to(y.dtype.element_ty)
    index = n * outputs + out
    tl.store(y + index[:, None] * C + columns[None, :], stored, mask=inside[:, None])
    if STATISTICS:
        store_statistics(stored, inside, statistics, columns, C)
