"""What sequence looks like: counts of 5-mers, and whether they are like those of other sequence."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ..base.jit import jit
from .codes import N

K = 5
WORDS = 4**K


def kmer_counts(parts: Iterable[np.ndarray]) -> np.ndarray:
    """How often each 5-mer is in ``parts``, uint8 codes (n,), on both strands: int64 (1024,), the
    word as a number of base 4. Words with an N, or over the ends of parts, are left out."""
    counts = np.zeros(WORDS, np.int64)
    for codes in parts:
        _count(codes, counts)
    return counts + counts[_REVERSE]


def likeness(counts: np.ndarray, other: np.ndarray) -> float:
    """How much better the 5-mers of ``other`` predict the bases of ``counts`` than the bases' own
    composition does, in nats a base: NaN without counts.

    The first is a Markov chain of order 4 with the 5-mers of ``other``. Sequence of the same kind
    is above 0: what it has in common with ``other`` beyond its composition (the rarity of CpG, runs
    of A, repeats) is worth something. Shuffled sequence is below.
    """
    total = counts.sum()
    if not total:
        return float("nan")
    chain = (other + 1.0).reshape(-1, 4)
    chain = np.log(chain / chain.sum(1, keepdims=True)).ravel()
    bases = counts.reshape(-1, 4).sum(0)
    own = bases @ np.log(np.maximum(bases, 1) / total)
    return float((counts @ chain - own) / total)


def gc_share(counts: np.ndarray) -> float:
    """The share of G and C among the bases of 5-mer counts."""
    bases = counts.reshape(-1, 4).sum(0)
    return float(bases[1:3].sum() / max(bases.sum(), 1))


def _reverse() -> np.ndarray:
    words = np.arange(WORDS)
    made = np.zeros(WORDS, np.int64)
    for place in range(K):
        made = 4 * made + 3 - words // 4**place % 4
    return made


_REVERSE = _reverse()


@jit
def _count(codes, counts):
    word, length = 0, 0
    for code in codes:
        if code >= N:
            word, length = 0, 0
            continue
        word = (4 * word + code) % WORDS
        length += 1
        if length >= K:
            counts[word] += 1
