"""Baselines of integrated gradients: the inputs that its paths begin at.

An N stays an N: its column is zero at both ends of the path, and it gets no attribution.
"""

from __future__ import annotations

import zlib

import numpy as np

from ..base.errors import TcnfastError
from ..genome.codes import N, one_hot
from ..genome.shuffle import dinucleotide_shuffles
from . import BASELINES


def baselines(codes: np.ndarray, kind: str, shuffles: int = 10, seed: int = 0) -> np.ndarray:
    """Baselines of uint8 codes (n, L): float32 (n, B, 4, L); attributions are averaged over the B.

    ``kind``: "zeros", no base anywhere (B = 1); "gc", at every place the four bases in the shares
    that the window's GC content gives (B = 1); "shuffles": ``shuffles`` dinucleotide-preserving
    shuffles of the window (B = shuffles), the same ones wherever the same window turns up.
    """
    known = (codes < N)[:, None, None]
    if kind == "zeros":
        return np.zeros((len(codes), 1, 4, codes.shape[1]), np.float32)
    if kind == "gc":
        gc = ((codes == 1) | (codes == 2)).sum(1) / np.maximum(1, (codes < N).sum(1))
        shares = np.stack([1 - gc, gc, gc, 1 - gc], 1) / 2
        return (shares[:, None, :, None] * known).astype(np.float32)
    if kind != "shuffles":
        raise TcnfastError(f"baseline {kind!r}: must be one of {', '.join(BASELINES)}")
    if shuffles < 1:
        raise TcnfastError(f"shuffles {shuffles}: must be at least 1")
    return np.stack([_shuffles(window, shuffles, seed) for window in codes]) * known


def _shuffles(window: np.ndarray, count: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng((seed, zlib.crc32(window.tobytes())))
    return one_hot(dinucleotide_shuffles(np.tile(window, (count, 1)), rng))
