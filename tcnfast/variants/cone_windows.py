"""The window centred on a single base, by the cone above it: centre mode where the C++ engine does
not run."""

from __future__ import annotations

import numpy as np

from .cone_scorer import CORES, ConeScorer, Tiling
from .strategy import CENTRE

WINDOW_CONVOLUTIONS = 2.0  # of a window's own grid, per base of it: 1,977 in 1,037


class ConeWindows(ConeScorer):
    """A strategy. Variants that lie close together share a region kept at every base; where they
    lie far apart each has a window of its own. Which is cheaper is counted, contig by contig."""

    names = CENTRE

    def tilings(self) -> list[Tiling]:
        field, dense = self.receptive_field, self.config.grid(1)
        choices = [Tiling(core, self.half, core + field - 1, dense) for core in CORES]
        return [*choices, Tiling(1, self.half, field, self.grid)]

    def cost(self, tiling: Tiling, positions: np.ndarray) -> float:
        if tiling.core == 1:
            return len(np.unique(positions)) * self.receptive_field * WINDOW_CONVOLUTIONS
        return super().cost(tiling, positions)

    def score(self, kept, part, rows, offsets, positions, codes, size):
        at = self.tensors(rows, offsets - self.half, codes)
        both = self.sides(kept, at, self.half)
        values = (side[:, 0].cpu().numpy() for side in both)
        yield part, dict(zip(CENTRE, values, strict=True))
