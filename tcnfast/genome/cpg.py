"""CpG islands, from sequence alone."""

from __future__ import annotations

import numpy as np

from ..base.errors import TcnfastError
from ..base.jit import jit
from .codes import N

WINDOW = 200  # bases: the least length of an island
MIN_GC, MIN_RATIO = 0.5, 0.6


def in_cpg_islands(codes: np.ndarray) -> np.ndarray:
    """Which bases lie in a CpG island: bool (T,) of uint8 codes (T,).

    The criteria of Gardiner-Garden and Frommer 1987: an island is made of the stretches of 200
    bases whose G+C content is above 0.5 and that hold more than 0.6 of the CpG expected from their
    C and G, which is C times G over the length. Stretches with N do not count. Repeats are not
    masked, so young Alus are islands too.
    """
    if codes.dtype != np.uint8 or codes.ndim != 1:
        raise TcnfastError(f"CpG islands take uint8 codes (T,), not {codes.dtype} {codes.shape}")
    inside = np.zeros(codes.size, np.bool_)
    _mark_islands(codes, inside)
    return inside


@jit
def _mark_islands(codes, inside):
    c = g = cpg = unknown = 0  # of the stretch that ends at base i
    marked = 0  # bases in front of this one are decided
    for i in range(codes.size):
        c += codes[i] == 1
        g += codes[i] == 2
        unknown += codes[i] >= N
        cpg += i > 0 and codes[i - 1] == 1 and codes[i] == 2
        gone = i - WINDOW
        if gone >= 0:
            c -= codes[gone] == 1
            g -= codes[gone] == 2
            unknown -= codes[gone] >= N
            cpg -= codes[gone] == 1 and codes[gone + 1] == 2
        if gone >= -1 and unknown == 0 and c + g > MIN_GC * WINDOW:
            if cpg * WINDOW > MIN_RATIO * c * g:
                inside[max(marked, gone + 1) : i + 1] = True
                marked = i + 1
