"""A hit as one number, so that sorting numbers sorts hits: motif, start, strand, and how many units
it scores below the highest score of the motif (what it *lacks*)."""

from __future__ import annotations

import numpy as np

LACK_BITS, START_BITS = 24, 25
MAX_MOTIFS = 1 << (63 - LACK_BITS - 1 - START_BITS)
START_SHIFT = LACK_BITS + 1
MOTIF_SHIFT = START_SHIFT + START_BITS


def moved(hits: np.ndarray, by: int) -> np.ndarray:
    """The same hits, ``by`` bases further along."""
    return hits + np.uint64(by << START_SHIFT)


def motif_bounds(hits: np.ndarray, motifs: int) -> np.ndarray:
    """Where the hits of each motif begin among sorted ones: int64 (motifs + 1,)."""
    return np.searchsorted(hits, np.arange(motifs + 1, dtype=np.uint64) << np.uint64(MOTIF_SHIFT))


def unpack(hits: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Motif, start, strand (0 forward, 1 reverse), and units below the highest score: int64."""
    hits = hits.astype(np.int64)
    motif = hits >> MOTIF_SHIFT
    start = (hits >> START_SHIFT) & ((1 << START_BITS) - 1)
    return motif, start, (hits >> LACK_BITS) & 1, hits & ((1 << LACK_BITS) - 1)
