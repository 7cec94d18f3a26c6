"""Shuffles of sequences that keep every dinucleotide count, drawn uniformly.

A sequence is a walk through its letters that uses each of its dinucleotides, as an edge, once. The
walks with the same edges between the same ends are its shuffles. One of them is drawn at random:
a tree of the last edges out of each letter, uniform among the trees that lead to the last letter
(Wilson 1996), and the other edges of each letter in random order. Every walk follows from exactly
one such choice (Altschul and Erickson 1985; Kandel, Matias, Unger and Winkler 1996).
"""

from __future__ import annotations

import numpy as np

from ..base.errors import TcnfastError
from ..base.jit import jit

_LETTERS = 5


def dinucleotide_shuffles(codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A shuffle of each row of ``codes``, uint8 (n, length), 0..4: uint8 (n, length).

    A row keeps its first and last letter and its count of every dinucleotide; N is a letter like
    the others. Uniform over the sequences with these, the row itself among them. Raises
    TcnfastError for other codes.
    """
    codes = np.ascontiguousarray(codes)
    if codes.dtype != np.uint8 or codes.ndim != 2 or (codes.size and codes.max() >= _LETTERS):
        raise TcnfastError("shuffles take codes, uint8 (n, length), of 0 to 4")
    out = np.empty_like(codes)
    _shuffle(codes, rng, out)
    return out


@jit
def _shuffle(codes, rng, out):
    length = codes.shape[1]
    if length == 0:
        return
    edges = np.empty((_LETTERS, length), np.uint8)
    for row in range(codes.shape[0]):
        used = np.zeros(_LETTERS, np.int64)
        for i in range(length - 1):
            letter = codes[row, i]
            edges[letter, used[letter]] = codes[row, i + 1]
            used[letter] += 1
        _order(edges, used, codes[row, length - 1], rng)
        at = codes[row, 0]
        out[row, 0] = at
        taken = np.zeros(_LETTERS, np.int64)
        for i in range(1, length):
            after = edges[at, taken[at]]
            taken[at] += 1
            out[row, i] = after
            at = after


@jit
def _order(edges, used, last, rng):
    """Put the edges out of each letter in a random order that a walk to ``last`` can follow."""
    final = _tree(edges, used, last, rng)
    for letter in range(_LETTERS):
        free = used[letter]
        if final[letter] >= 0:
            free -= 1
            edge = final[letter]
            edges[letter, edge], edges[letter, free] = edges[letter, free], edges[letter, edge]
        for i in range(free - 1, 0, -1):
            j = rng.integers(0, i + 1)
            edges[letter, i], edges[letter, j] = edges[letter, j], edges[letter, i]


@jit
def _tree(edges, used, last, rng):
    """The final edge out of each letter but ``last``, int64 (letters,), -1 where there is none: a
    tree that leads to ``last``, drawn uniformly by walks of which loops are erased."""
    final = np.full(_LETTERS, -1, np.int64)
    inside = np.zeros(_LETTERS, np.bool_)
    inside[last] = True
    for first in range(_LETTERS):
        if used[first] == 0:
            continue
        at = first
        while not inside[at]:
            final[at] = rng.integers(0, used[at])
            at = edges[at, final[at]]
        at = first
        while not inside[at]:
            inside[at] = True
            at = edges[at, final[at]]
    return final
