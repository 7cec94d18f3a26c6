"""Letters to codes: A 0, C 1, G 2, T 3, anything else N = 4, in either case."""

from __future__ import annotations

from collections import Counter

import numpy as np

from ..base.jit import jit

N = 4

# the mark of any letter but ACGTN, until settle() makes it N: N with one more bit
ODD = np.uint8(N | 8)

# letters encoded at a time: they stay in the L1 cache
_BLOCK = 1 << 14

# gaps and the masking letter X are unknown bases; E F I J L O P Q Z * only occur in proteins
_NUCLEOTIDES = np.zeros(256, np.bool_)
_NUCLEOTIDES[np.frombuffer(b"ACGTRYKMSWBDHVNXacgtrykmswbdhvnx-.", np.uint8)] = True


def encode(seq: bytes | bytearray | str | np.ndarray) -> np.ndarray:
    """Codes of a sequence: A 0, C 1, G 2, T 3, anything else 4, in either case.

    Args:
        seq: str, bytes, bytearray, or uint8 letters (L,).

    Returns:
        numpy.ndarray: uint8 (L,).

    Raises:
        TypeError: for other types and shapes.
    """
    if isinstance(seq, str):
        # one byte a letter, whatever the letter
        seq = seq.encode("ascii", errors="replace")
    if isinstance(seq, np.ndarray):
        if seq.dtype != np.uint8 or seq.ndim != 1:
            raise TypeError(f"encode takes uint8 letters (L,), not {seq.dtype} {seq.shape}")
        letters = np.ascontiguousarray(seq)
    else:
        letters = np.frombuffer(seq, np.uint8)
    codes = np.empty(letters.size, np.uint8)
    encode_into(letters, codes)
    return codes


def one_hot(codes: np.ndarray) -> np.ndarray:
    """One-hot DNA of codes, channels in the order ACGT; all zeros for N.

    Args:
        codes: uint8 (L,) or (N, L).

    Returns:
        numpy.ndarray: float32 (4, L) or (N, 4, L).

    Raises:
        TypeError: for other types and shapes.
    """
    codes = np.asarray(codes)
    if codes.dtype != np.uint8 or codes.ndim not in (1, 2):
        raise TypeError(f"one_hot takes uint8 (L,) or (N, L), not {codes.dtype} {codes.shape}")
    batch = np.ascontiguousarray(np.atleast_2d(codes))
    out = np.empty((batch.shape[0], 4, batch.shape[1]), np.float32)
    _one_hot_into(batch, out)
    return out if codes.ndim == 2 else out[0]


def reverse_complement(codes: np.ndarray) -> np.ndarray:
    """Codes of the other strand, uint8 (..., L) -> (..., L)."""
    codes = np.asarray(codes, np.uint8)[..., ::-1]
    return np.where(codes < N, 3 - codes, N).astype(np.uint8)


@jit
def encode_into(letters: np.ndarray, codes: np.ndarray) -> bool:
    """Code of every letter, uint8 (L,) -> uint8 (L,); True if there was anything but ACGTN."""
    odd = False
    for start in range(0, letters.size, _BLOCK):
        part = codes[start : start + _BLOCK]
        mark_into(letters[start : start + _BLOCK], part)
        odd |= settle(part)
    return odd


@jit
def mark_into(letters: np.ndarray, marks: np.ndarray) -> None:
    """Code of every letter, uint8 (L,) -> uint8 (L,), but ODD for anything except ACGTN.

    Written as selections between bytes, because the compiler turns those into full vectors; a
    table look-up, or a reduction beside it, is several times slower.
    """
    for i in range(letters.size):
        upper = np.uint8(letters[i] & np.uint8(0xDF))
        mark = ODD
        mark = np.uint8(0) if upper == np.uint8(65) else mark
        mark = np.uint8(1) if upper == np.uint8(67) else mark
        mark = np.uint8(2) if upper == np.uint8(71) else mark
        mark = np.uint8(3) if upper == np.uint8(84) else mark
        mark = np.uint8(4) if upper == np.uint8(78) else mark
        marks[i] = mark


@jit
def settle(marks: np.ndarray) -> bool:
    """Marks to codes in place, uint8 (L,): ODD becomes N. True if there was any."""
    seen = np.uint8(0)
    for i in range(marks.size):
        seen = np.uint8(seen | marks[i])
    if seen & np.uint8(8):
        for i in range(marks.size):
            marks[i] = np.uint8(marks[i] & np.uint8(7))
    return seen & np.uint8(8) != 0


def first_illegal(letters: np.ndarray) -> int:
    """Index of the first letter, uint8 (L,), that is no IUPAC nucleotide, X or gap; -1 if none."""
    illegal = np.flatnonzero(~_NUCLEOTIDES[letters])
    return int(illegal[0]) if illegal.size else -1


def other_letters(counts: np.ndarray) -> Counter[str]:
    """How often each letter but ACGTN stands, in upper case; ``counts`` int64 (256,) of bytes."""
    others: Counter[str] = Counter()
    for byte in np.flatnonzero(counts).tolist():
        letter = chr(byte).upper()
        if letter not in "ACGTN":
            others[letter] += int(counts[byte])
    return others


@jit
def _one_hot_into(codes: np.ndarray, out: np.ndarray) -> None:
    for n in range(codes.shape[0]):
        for base in range(4):
            for i in range(codes.shape[1]):
                out[n, base, i] = np.float32(codes[n, i] == base)
