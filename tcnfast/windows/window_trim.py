"""Windows cut to their peaks, so that their lengths vary as the peaks' do."""

from __future__ import annotations

import numpy as np

from ..genome.codes import N
from ..genome.intervals import Intervals
from .window_ground import Spans


def reaches(middles: Spans, peaks: dict[str, Intervals], chroms: list[str]) -> np.ndarray:
    """How far a window cut to its peak reaches either side of its middle: int64 (n,) bases.

    That is to the farther end of the peak whose summit the middle is, of several the widest;
    ``peaks`` of each contig. A peak without a summit has it in its middle.
    """
    out = np.zeros(len(middles), np.int64)
    for i, chrom in enumerate(chroms):
        rows = np.flatnonzero(middles.chrom == i)
        here = peaks[chrom]
        if not rows.size or not len(here):
            continue
        summits = np.where(here.summit >= 0, here.summit, (here.start + here.end) // 2)
        order = np.lexsort((np.maximum(summits - here.start, here.end - summits), summits))
        far = np.maximum(summits - here.start, here.end - summits)[order]
        last = np.searchsorted(summits[order], middles.start[rows], side="right") - 1
        found = summits[order][last] == middles.start[rows]
        out[rows] = np.where(found & (last >= 0), far[last], 0)
    return out


def trim(codes: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """Windows uint8 (n, length) with N where a base is ``reach`` int64 (n,) or more before the
    middle one, or that far behind it."""
    away = np.arange(codes.shape[1]) - codes.shape[1] // 2
    kept = (away >= -reach[:, None]) & (away < reach[:, None])
    return np.where(kept, codes, np.uint8(N))
