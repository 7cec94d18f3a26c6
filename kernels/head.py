"""The head: features to logits, one matrix product in a fixed order."""

import triton
import triton.language as tl

from .halved import load_pairs
from .tiles import load_rows


@triton.jit
def head(
    x,
    y,
    w,
    b,
    length,
    outputs,
    labels,
    sample,
    C: tl.constexpr,
    LABELS: tl.constexpr,
    M: tl.constexpr,
    INPUTS: tl.constexpr,
    PAIRS: tl.constexpr,
):
    """``x`` (N, length, C), every ``sample``-th position -> ``y`` (N, outputs, labels) float32;
    ``w`` (C, labels rounded up to a multiple of LABELS), ``b`` alike float32. PAIRS: the sums of
    pairs are read, of ``x`` (N, length, 2 C)."""
    tiles = tl.cdiv(outputs, M)
    n = (tl.program_id(0) // tiles).to(tl.int64)
    at = tl.program_id(0) % tiles * M + tl.arange(0, M).to(tl.int64)
    label = tl.program_id(1) * LABELS + tl.arange(0, LABELS)
    if PAIRS:
        u, v = load_pairs(x + n * length * (2 * C), at * sample, length, at < outputs, C)
        rows = (u.to(tl.float32) + v.to(tl.float32)).to(u.dtype)
    else:
        rows = load_rows(x + n * length * C, at * sample, length, at < outputs, C)
    padded = tl.num_programs(1) * LABELS
    weights = tl.load(w + tl.arange(0, C)[:, None] * padded + label[None, :])
    logits = tl.dot(rows, weights, input_precision=INPUTS) + tl.load(b + label)[None, :]
    pointers = y + (n * outputs + at[:, None]) * labels + label[None, :]
    tl.store(pointers, logits, mask=(at < outputs)[:, None] & (label < labels)[None, :])
