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
from ..engines.cpu_engine import ChangedWindows, Substitutions
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
                begins = positions[part] - self.half
                ends = begins + self.receptive_field
                stretches, starts = self.stretches(genome, chrom, begins, ends)
                places = np.full(len(starts), self.half)
                pair = self.score(ChangedWindows(stretches, starts, places, codes[part]))
                for name, logits in zip(CENTRE, pair, strict=True):
                    columns[name][rows[part]] = logits
        return columns

    def windows(self, codes: np.ndarray) -> Tensor:
        """Logits (n, 1, labels) of whole windows, uint8 (n, receptive_field)."""
        starts = self.receptive_field * np.arange(len(codes))
        same = ChangedWindows(codes.reshape(-1), starts, np.zeros_like(starts), codes[:, 0])
        return self.score(same)[0][:, None]

    def stretches(
        self, genome: Genome, chrom: str, begins: np.ndarray, ends: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Codes of bases ``begins`` to ``ends``, both ascending, one stretch for those that
        overlap, and where each begins there."""
        apart = np.append(True, begins[1:] >= ends[:-1])
        firsts, lasts = begins[apart], ends[np.append(apart[1:], True)]
        offsets = np.cumsum(np.append(0, lasts - firsts))
        parts = [genome.codes(chrom, a, b) for a, b in zip(firsts, lasts, strict=True)]
        group = np.cumsum(apart) - 1
        return np.concatenate(parts), begins - firsts[group] + offsets[group]

    def score(self, windows: ChangedWindows) -> list[Tensor]:
        """Logits (windows, labels) of windows as they are, and with their other base."""
        sides: tuple[list[Tensor], list[Tensor]] = ([], [])
        runs = once(lambda run: run.pairs(windows), self.runs)
        for pairs in runs:
            for side, logits in zip(sides, zip(*pairs, strict=True), strict=True):
                side.append(sum(logits) / len(logits))
        return [over_strands(side, self.strand) for side in sides]
