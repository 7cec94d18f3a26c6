"""Where a learned matrix begins: words that bound windows hold more often than unbound ones.

A matrix that starts at random mostly stays where it is: the best of its placements in a window is
anywhere, and the gradient of each pulls another way. Enumerated words find the neighbourhood
first, as in DREME (Bailey 2011, Bioinformatics 27:1653).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..base.jit import jit
from ..genome.codes import N, reverse_complement
from .gkm_kernel import lmers, reverse_lmer

_HALF = 4  # a word is two halves of so many bases, a gap between them
_HALVES = 4**_HALF
WORD = 2 * _HALF  # bases of a word, the shortest that it spans
_LEAST = 20  # bound windows that are left to find another word in
_WEIGHT = 0.5  # of the background in every column of a start, next to the bases seen there


class Word(NamedTuple):
    """Two halves of four bases, ``gap`` bases apart; ``z``: how much more bound windows hold it."""

    codes: np.ndarray  # uint8 (8,)
    gap: int
    z: float

    @property
    def span(self) -> int:
        return WORD + self.gap


def enriched_words(bound: np.ndarray, unbound: np.ndarray, width: int, most: int) -> list[Word]:
    """Up to ``most`` words of at most ``width`` bases, each the most enriched one of the windows
    that hold none of those before.

    ``bound`` and ``unbound`` are codes, uint8 (n, L). The measure is the z-score of the shares of
    windows that hold a word on either strand. There is none where windows are few or short.
    """
    words: list[Word] = []
    while len(words) < most and len(bound) >= _LEAST and len(unbound):
        best = None
        for gap in range(min(width, bound.shape[1]) - WORD + 1):
            counts = _windows_with(bound, gap), _windows_with(unbound, gap)
            z = _z_scores(counts[0], len(bound), counts[1], len(unbound))
            index = int(z.argmax())
            if best is None or z[index] > best.z:
                best = Word(_letters(index), gap, float(z[index]))
        if best is None or best.z <= 0:
            break
        words.append(best)
        bound, unbound = (part[~_occurrences(part, best)[0].any(1)] for part in (bound, unbound))
    return words


def start_matrix(bound: np.ndarray, word: Word, width: int, background: np.ndarray) -> np.ndarray:
    """Base probabilities float64 (width, 4) around the places of ``word`` in bound windows.

    The word lies in the matrix where the columns around it differ most from ``background``.
    """
    room = width - word.span
    forward, reverse = _occurrences(bound, word)
    padded = np.pad(bound, ((0, 0), (room, room)), constant_values=N)
    reach = np.arange(width + room)
    sites = [padded[row, at + reach] for row, at in zip(*np.nonzero(forward), strict=True)]
    for row, at in zip(*np.nonzero(reverse & ~forward), strict=True):
        sites.append(reverse_complement(padded[row, at + reach]))
    counts = np.stack([(np.array(sites) == base).sum(0) for base in range(4)], 1).astype(float)
    shares = (counts + background) / (counts.sum(1, keepdims=True) + 1)
    shares = (1 - _WEIGHT) * shares + _WEIGHT * background
    difference = (shares * np.log(shares / background)).sum(1)
    first = np.convolve(difference, np.ones(width), "valid").argmax()
    return shares[first : first + width]


def _z_scores(bound: np.ndarray, n_bound: int, unbound: np.ndarray, n_unbound: int) -> np.ndarray:
    """Of the shares of windows that hold each word; 0 where none does."""
    pooled = (bound + unbound) / (n_bound + n_unbound)
    variance = pooled * (1 - pooled) * (1 / n_bound + 1 / n_unbound)
    difference = bound / n_bound - unbound / n_unbound
    return np.divide(difference, np.sqrt(variance), out=np.zeros_like(variance), where=variance > 0)


def _windows_with(codes: np.ndarray, gap: int) -> np.ndarray:
    """How many windows hold each word on either strand: int64 (4^8,), counted at the lower of a
    word and its reverse complement."""
    counts = np.zeros(_HALVES**2, np.int64)
    mirror = np.array([reverse_lmer(half, _HALF) for half in range(_HALVES)])
    _count_words(lmers(codes, _HALF), mirror, gap, counts)
    return counts


@jit
def _count_words(halves, mirror, gap, counts):
    last = np.full(counts.size, -1, np.int64)
    for row in range(len(halves)):
        for at in range(halves.shape[1] - _HALF - gap):
            a, b = np.int64(halves[row, at]), np.int64(halves[row, at + _HALF + gap])
            if a < 0 or b < 0:
                continue
            index = min(a * _HALVES + b, mirror[b] * _HALVES + mirror[a])
            if last[index] != row:
                last[index] = row
                counts[index] += 1


def _letters(index: int) -> np.ndarray:
    shifts = 2 * np.arange(WORD)[::-1]
    return (index >> shifts & 3).astype(np.uint8)


def _occurrences(codes: np.ndarray, word: Word) -> tuple[np.ndarray, np.ndarray]:
    """Where a word begins, and where its reverse complement does: bool (n, L - span + 1) each."""
    starts = codes.shape[1] - word.span + 1
    offsets = [*range(_HALF), *range(_HALF + word.gap, word.span)]
    strands = []
    for letters in (word.codes, reverse_complement(word.codes)):
        found = np.ones((len(codes), starts), bool)
        for offset, letter in zip(offsets, letters, strict=True):
            found &= codes[:, offset : offset + starts] == letter
        strands.append(found)
    return strands[0], strands[1]
