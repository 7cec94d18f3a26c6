"""Windows with either of two bases, by the C++ engine: centre mode on a processor.

A window on its own grids is a tree: above a block the outputs at even positions and those at odd
ones never meet again. ``csrc/cpu/substitutions.cpp`` walks that tree depth first for all windows of
a stretch at once, and computes each position of each layer that any of them needs once: all windows
share the lowest layers, ever fewer the upper ones, and a window far from all others has a path of
its own. The changed base's part of each layer is computed beside it. Inputs that are 0, most of
them behind a ReLU, are left out, which changes no bit.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from torch import Tensor

from ..engines import cpu_engine, reference
from ..engines.grid import StackGrid
from ..genome.genome import Genome


class WindowPairs:
    """``strands``: of each the members of an ensemble, folded (or mirrored) weights; ``grid``: of a
    window of ``receptive_field`` bases; ``over_strands``: one of logits of each strand."""

    def __init__(
        self,
        strands: list[list[reference.StackWeights]],
        grid: StackGrid,
        over_strands: Callable[[list[Tensor]], Tensor],
    ) -> None:
        self.runs = [[cpu_engine.Substitutions(w, grid) for w in members] for members in strands]
        self.receptive_field = grid.receptive_field
        self.half = self.receptive_field // 2
        self.over_strands = over_strands

    def substitutions(
        self, genome: Genome, chrom: str, positions: np.ndarray, codes: np.ndarray
    ) -> tuple[Tensor, Tensor]:
        """Logits (n, labels) of the windows centred on sorted ``positions``, as they are and with
        ``codes`` there instead."""
        stretches, starts = self._stretches(genome, chrom, positions)
        return self._score(stretches, starts, codes)

    def windows(self, codes: np.ndarray) -> Tensor:
        """Logits (n, labels) of whole windows, uint8 (n, receptive_field)."""
        starts = self.receptive_field * np.arange(len(codes))
        return self._score(codes.reshape(-1), starts, codes[:, self.half])[0]

    def _stretches(self, genome: Genome, chrom: str, positions: np.ndarray):
        """Codes of all windows, one stretch for those that overlap, and where each begins there."""
        field = self.receptive_field
        apart = np.flatnonzero(np.diff(positions) >= field) + 1
        parts, starts, length = [], [], 0
        for group in np.split(positions, apart):
            begin, end = int(group[0]) - self.half, int(group[-1]) - self.half + field
            parts.append(genome.codes(chrom, begin, end))
            starts.append(group - group[0] + length)
            length += end - begin
        return np.concatenate(parts), np.concatenate(starts)

    def _score(self, codes: np.ndarray, starts: np.ndarray, bases: np.ndarray):
        places = np.full(len(starts), self.half)
        sides: tuple[list[Tensor], list[Tensor]] = ([], [])
        for members in self.runs:
            pairs = [run.pairs(codes, starts, places, bases) for run in members]
            for side, logits in zip(sides, zip(*pairs, strict=True), strict=True):
                side.append(sum(logits) / len(logits))
        before, after = (self.over_strands(side) for side in sides)
        return before, after
