"""The log-odds of a motif: one matrix, from which every score, p-value and hit is counted.

A motif is scored against a background, whose shares also enter every column as a pseudocount.
Log-odds are whole numbers of units of 2^-12 bits, so that sums of them are exact in any order: a
site scores the same on both strands, and every score is a float32 without rounding. A placement
that touches an N is no site; where a number must stand for "no site" (a bin or a window that has
none), it is the lowest sum of the matrix.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..base.errors import TcnfastError
from .meme import Motif

UNIFORM = (0.25, 0.25, 0.25, 0.25)
PSEUDOCOUNT = 0.01  # weight of the background in a column, next to 1 for the motif
UNITS_PER_BIT = 1 << 12
LARGEST = 1 << 23  # units of a whole matrix, 2,048 bits; float32 holds whole numbers up to twice it


def log_odds(
    motif: Motif, background: Sequence[float] = UNIFORM, pseudocount: float = PSEUDOCOUNT
) -> np.ndarray:
    """Log-odds in bits, float32 (width, 4): log2 of probability over background.

    ``background``: shares of ACGT. ``pseudocount`` must be above 0 wherever the motif holds zeros.
    Raises TcnfastError.
    """
    shares = _checked(background)
    mixed = (motif.probabilities + pseudocount * shares) / (1 + pseudocount)
    if not (mixed > 0).all():
        raise TcnfastError(f"motif {motif.id} holds zeros: use a pseudocount above 0")
    units = np.rint(np.log2(mixed / shares) * UNITS_PER_BIT)
    return (units / UNITS_PER_BIT).astype(np.float32)


def whole_units(motif: Motif, background: Sequence[float]) -> np.ndarray:
    """Log-odds in whole units, int64 (width, 4). TcnfastError beyond 2,048 bits."""
    return in_units(log_odds(motif, background), f"motif {motif.id}")


def in_units(matrix: np.ndarray, name: str = "a matrix") -> np.ndarray:
    """A matrix (width, 4) in bits taken to the nearest whole units, int64. TcnfastError where it is
    not finite or beyond 2,048 bits."""
    units = np.rint(np.asarray(matrix, np.float64) * UNITS_PER_BIT)
    if not np.abs(units).max(1).sum() < LARGEST:  # true of NaN as well
        raise TcnfastError(
            f"{name}: log-odds that are not finite or beyond 2,048 bits; add a pseudocount"
        )
    return units.astype(np.int64)


def both_strands(background: Sequence[float]) -> np.ndarray:
    """The mean of a background and its complement, float64 (4,), so that a score has one p-value on
    both strands. TcnfastError unless four shares above 0 that sum to 1."""
    shares = _checked(background)
    return (shares + shares[::-1]) / (2 * shares.sum())


def _checked(background: Sequence[float]) -> np.ndarray:
    shares = np.asarray(background, np.float64)
    if shares.shape != (4,) or not (shares > 0).all() or abs(shares.sum() - 1) > 1e-3:
        raise TcnfastError(f"background {shares.tolist()}: needs four shares of ACGT that sum to 1")
    return shares
