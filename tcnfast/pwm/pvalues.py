"""Exact p-values of motif scores, by dynamic programming over whole units.

The p-value of a score is the chance that a random site, its bases drawn one by one from a
background, scores as much or more on one given strand. Scores are sums of log-odds in whole units
of 2^-12 bits (:mod:`log_odds`), so their distribution is a finite table, exact but for the rounding
of its float64 sums (Staden 1989, Comput Appl Biosci 5:89; Touzet and Varre 2007, Algorithms Mol
Biol 2:15). Only the best scores are wanted: the table counts down from the highest score, and no
further than asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..base.jit import jit
from .log_odds import UNITS_PER_BIT

_COARSE = UNITS_PER_BIT // 16  # units in which a first look tells how far down to count


@dataclass(frozen=True, eq=False)
class ScoreTail:
    """The best scores of a matrix: ``highest`` in units, and ``chances`` float64 (n,): chances[d]
    is the p-value of the score ``highest - d``."""

    highest: int
    chances: np.ndarray

    def cutoff(self, p: float) -> int:
        """The lowest score in units whose p-value is at most ``p``; above ``highest`` where none
        is."""
        return self.highest - int(np.searchsorted(self.chances, p, side="right")) + 1


def score_tail(units: np.ndarray, background: Sequence[float], p: float = 1.0) -> ScoreTail:
    """The table of a matrix, int (width, 4) units, down to the first score with a p-value of ``p``
    or more; of all scores by default."""
    units = np.asarray(units, np.int64)
    shares = np.asarray(background, np.float64)
    deficits = units.max(1, keepdims=True) - units
    # what a site lacks is rounded up, so that the first look never stops too early
    coarse = _tail(-(-deficits // _COARSE), shares, int((-(-deficits // _COARSE)).max(1).sum()))
    enough = int(np.searchsorted(coarse, p)) * _COARSE
    most = min(enough, int(deficits.max(1).sum()))
    return ScoreTail(int(units.max(1).sum()), _tail(deficits, shares, most))


@jit
def _tail(deficits, shares, most):
    """P(sum of deficits <= d) for d up to ``most``: float64 (most + 1,)."""
    chances = np.zeros(most + 1)
    chances[0] = 1.0
    reach = 0
    for column in range(len(deficits)):
        further = min(most, reach + deficits[column].max())
        sums = np.zeros(most + 1)
        for base in range(4):
            down, share = deficits[column, base], shares[base]
            n = min(reach, most - down) + 1
            if n > 0:
                source, target = chances[:n], sums[down : down + n]
                for i in range(n):
                    target[i] += share * source[i]
        chances, reach = sums, further
    total = 0.0
    for i in range(most + 1):
        total += chances[i]
        chances[i] = min(total, 1.0)
    return chances
