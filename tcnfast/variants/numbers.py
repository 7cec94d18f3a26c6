"""Tables of numbers as text, fast: a VCF of a million variants has a hundred million of them."""

from __future__ import annotations

import numpy as np

from ..base.jit import jit

WIDTH = 24  # bytes of a number at most, its separator too
_TAB, _NEWLINE, _MINUS, _POINT, _ZERO = b"\t\n-.0"
_N, _A = b"NA"


def rows_as_text(values: np.ndarray) -> list[bytes]:
    """Lines of float32 (n, columns): tab before each number, four decimals, NA for NaN."""
    values = np.ascontiguousarray(values, np.float32)
    out = np.empty(values.size * WIDTH, np.uint8)
    ends = np.empty(len(values), np.int64)
    _format(values, out, ends)
    text = out[: ends[-1] if len(ends) else 0].tobytes()
    begins = np.append(0, ends[:-1]).tolist() if len(ends) else []
    return [text[begin:end] for begin, end in zip(begins, ends.tolist(), strict=True)]


@jit
def _format(values, out, ends):
    at = 0
    for row in range(values.shape[0]):
        for column in range(values.shape[1]):
            out[at] = _TAB
            at = _put(out, at + 1, values[row, column])
        ends[row] = at


@jit
def _put(out, at, value):
    if np.isnan(value):
        out[at], out[at + 1] = _N, _A
        return at + 2
    scaled = np.int64(np.rint(np.float64(abs(value)) * 10_000))
    if value < 0 and scaled > 0:
        out[at] = _MINUS
        at += 1
    whole, part = scaled // 10_000, scaled % 10_000
    length, above = 1, 10
    while whole >= above:
        length += 1
        above *= 10
    for i in range(length):
        out[at + length - 1 - i] = _ZERO + whole % 10
        whole //= 10
    at += length
    out[at] = _POINT
    for i in range(4):
        out[at + 4 - i] = _ZERO + part % 10
        part //= 10
    return at + 5
