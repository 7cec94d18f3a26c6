"""Calls as narrowPeak lines, a contig at a time: a genome has millions."""

from __future__ import annotations

import numpy as np

from ..base.jit import jit
from ..base.logits import probability
from .peaks import run_bases

NUMBER_BYTES = 20  # the longest int64


def narrowpeak_lines(chrom: str, label: str, calls: np.ndarray, stride: int, size: int) -> bytes:
    """Calls of one label on one contig of ``size`` bases, RUN (calls,), as narrowPeak lines.

    score = round(1000 p), signalValue = p, p the largest probability in the call; p- and q-value
    are -1 (not given); the summit is the centre of the best step, as an offset from the start.
    """
    start, end = run_bases(calls, stride, size)
    summit = np.minimum(calls["best_at"] * stride + stride // 2, end - 1) - start
    largest = probability(calls["best"])
    score = np.rint(1000 * largest).astype(np.int64)
    ten_thousandths = np.rint(10_000 * largest).astype(np.int64)
    head, middle = text_bytes(f"{chrom}\t"), text_bytes(f"\t{label}\t")
    longest = len(head) + len(middle) + len(_DOT) + len(_UNKNOWN) + len("\t.\n") + 6 * NUMBER_BYTES
    out = np.empty(len(calls) * longest, np.uint8)
    n = _format(out, head, middle, start, end, score, ten_thousandths, summit)
    return out[:n].tobytes()


def text_bytes(text: str) -> np.ndarray:
    """What :func:`put` takes: uint8 (n,)."""
    return np.frombuffer(text.encode(), np.uint8)


_DOT, _UNKNOWN = text_bytes("\t.\t"), text_bytes("\t-1\t-1\t")
_DIGIT_0, _POINT, _TAB, _NEWLINE = b"0.\t\n"


@jit
def _format(out, head, middle, start, end, score, ten_thousandths, summit):
    """Write the lines into ``out``; returns their length."""
    at = 0
    for row in range(len(start)):
        at = put(out, at, head)
        at = put_number(out, at, start[row], 1)
        out[at] = _TAB
        at = put_number(out, at + 1, end[row], 1)
        at = put(out, at, middle)
        at = put_number(out, at, score[row], 1)
        at = put(out, at, _DOT)
        at = put_number(out, at, ten_thousandths[row] // 10_000, 1)
        out[at] = _POINT
        at = put_number(out, at + 1, ten_thousandths[row] % 10_000, 4)
        at = put(out, at, _UNKNOWN)
        at = put_number(out, at, summit[row], 1)
        out[at] = _NEWLINE
        at += 1
    return at


@jit
def put(out, at, text):
    """Copy ``text`` to out[at:]; returns where it ends."""
    for i in range(len(text)):
        out[at + i] = text[i]
    return at + len(text)


@jit
def put_number(out, at, number, digits):
    """Write a number that is not negative, with at least this many digits; returns its end."""
    length, above = digits, 10**digits
    while number >= above:
        length += 1
        above *= 10
    for i in range(length):
        out[at + length - 1 - i] = _DIGIT_0 + number % 10
        number //= 10
    return at + length
