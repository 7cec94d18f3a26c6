"""The window centred on a single base, by the cone above it: centre mode where the C++ engine does
not run."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from ..engines.cone import Activations, Cone, touched
from .cone_scorer import ConeScorer
from .strategy import CENTRE
from .variant_tiles import CORES, Tiling

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
        rows, first, codes = self.tensors(rows, offsets - self.half, codes)
        geometry = touched(self.grid, self.half, self.receptive_field)

        def ref(cone: Cone, activations: Activations) -> Tensor:
            return cone.reference_logits(activations, rows, first, 1)[:, 0]

        def alt(cone: Cone, activations: Activations) -> Tensor:
            return cone.logits(activations, rows, first, geometry, codes)[:, 0]

        sides = (self.mean(kept, side).cpu().numpy() for side in (ref, alt))
        yield part, dict(zip(CENTRE, sides, strict=True))
