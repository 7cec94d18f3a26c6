"""Every step that sees a single base, by the cone above it: full mode."""

from __future__ import annotations

import numpy as np
import torch

from .cone_scorer import CORES, ConeScorer, Tiling
from .strategy import FULL, over_steps

LOGITS_AT_ONCE = 2**24  # of steps: 64 MiB


class ConeSteps(ConeScorer):
    """A strategy. Regions are kept on the grids of the steps."""

    names = FULL

    def tilings(self) -> list[Tiling]:
        stride = self.grid.stride
        # room for every step that sees a base of the core; tiles begin where a window does
        around = self.receptive_field + stride
        around += (self.half - stride // 2 - around) % stride
        cores = [core for core in CORES if core % stride == 0]
        return [Tiling(core, around, core + 2 * around, self.grid) for core in cores]

    def score(self, kept, part, rows, offsets, positions, codes, size):
        """Variants of one phase to the steps have one geometry."""
        stride, field = self.grid.stride, self.receptive_field
        # window of step j begins at stride j + stride // 2 - half
        step = -(-(positions - field + 1 + self.half - stride // 2) // stride)
        begins = stride * step + stride // 2 - self.half
        bases = positions - begins
        for base in np.unique(bases).tolist():
            alike = np.flatnonzero(bases == base)
            n = base // stride + 1
            at_once = max(1, LOGITS_AT_ONCE // (n * self.labels))
            for begin in range(0, len(alike), at_once):
                mine = alike[begin : begin + at_once]
                at = self.tensors(rows[mine], offsets[mine] - base, codes[mine])
                exists = step[mine, None] + np.arange(n)
                exists = torch.from_numpy((exists >= 0) & (exists * stride < size))
                yield part[mine], over_steps(*self.sides(kept, at, base, n), exists)
