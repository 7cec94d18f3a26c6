"""The window centred on a single base, by the C++ engine: centre mode on a processor.

A window on its own grids is a tree: above a block the outputs at even positions and those at odd
ones never meet again. ``csrc/cpu/substitutions.cpp`` walks that tree depth first for all windows of
a stretch at once, and computes each position of each layer that any of them needs once: all windows
share the lowest layers, ever fewer the upper ones, and a window far from all others has a path of
its own. A single base's part of each layer is computed beside it. Inputs that are 0, most of them
behind a ReLU, are left out, which changes no bit.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

from ..engines import reference
from ..engines.cpu_engine import Substitutions
from ..engines.grid import StackGrid
from ..genome.genome import Genome
from .records import Allele
from .strategy import AT_ONCE, CENTRE, by_contig, empty_columns, once, over_strands


class EngineWindows:
    """A strategy for single bases. ``strands``: of each the members of an ensemble, folded
    (or mirrored) weights; ``grid``: of a window of ``receptive_field`` bases."""

    def __init__(
        self, strands: list[list[reference.StackWeights]], grid: StackGrid, strand: str
    ) -> None:
        self.runs = once(lambda weights: Substitutions(weights, grid), strands)
        self.receptive_field, self.strand = grid.receptive_field, strand
        self.half = self.receptive_field // 2
        self.labels = len(strands[0][0].head_bias)

    def __call__(self, genome: Genome, alleles: list[Allele]) -> dict[str, np.ndarray]:
        columns = empty_columns(CENTRE, len(alleles), self.labels)
        for chrom, rows, positions, codes in by_contig(alleles):
            for begin in range(0, len(rows), AT_ONCE):
                part = slice(begin, begin + AT_ONCE)
                stretches, starts = self._stretches(genome, chrom, positions[part])
                pair = self._score(stretches, starts, codes[part])
                for name, logits in zip(CENTRE, pair, strict=True):
                    columns[name][rows[part]] = logits
        return columns

    def windows(self, codes: np.ndarray) -> Tensor:
        """Logits (n, 1, labels) of whole windows, uint8 (n, receptive_field)."""
        starts = self.receptive_field * np.arange(len(codes))
        return self._score(codes.reshape(-1), starts, codes[:, self.half])[0][:, None]

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
        """Logits of windows as they are and with ``bases`` in their middles."""
        places = np.full(len(starts), self.half)
        sides: tuple[list[Tensor], list[Tensor]] = ([], [])
        for pairs in once(lambda run: run.pairs(codes, starts, places, bases), self.runs):
            for side, logits in zip(sides, zip(*pairs, strict=True), strict=True):
                side.append(sum(logits) / len(logits))
        return [over_strands(side, self.strand) for side in sides]
