"""The first convolution in training: codes to rows and their statistics."""

import triton
import triton.language as tl

from .conv import positions, store_statistics
from .letters import one_hot, windows


@triton.jit
def code_conv(
    codes, y, w, statistics, length, outputs, total,
    K: tl.constexpr, LETTERS: tl.constexpr, C: tl.constexpr, M: tl.constexpr,
    INPUTS: tl.constexpr, STATISTICS: tl.constexpr,
):  # fmt: skip
    """``codes`` uint8 (N, length) -> ``y`` (N, outputs, C); ``w`` (LETTERS, C) as ``first_block``
    has it, ``statistics`` as ``conv`` has them."""
    n, out, inside = positions(outputs, total, M)
    columns, letters = tl.arange(0, C), tl.arange(0, LETTERS)
    letter = one_hot(windows(codes, n, out, length, inside, K), LETTERS, y.dtype.element_ty)
    taps = tl.load(w + letters[:, None] * C + columns[None, :])
    stored = tl.dot(letter, taps, input_precision=INPUTS).to(y.dtype.element_ty)
    index = n * outputs + out
    tl.store(y + index[:, None] * C + columns[None, :], stored, mask=inside[:, None])
    if STATISTICS:
        store_statistics(stored, inside, statistics, C)
