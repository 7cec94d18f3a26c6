"""Where to compute the unchanged activations: stretches of a contig that many variants share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..engines.grid import StackGrid
from ..genome.genome import Genome

CORES = (256, 1024, 4096, 16384)  # bases of variants to a tile, of which the cheapest is taken
TILE_BYTES = 2**27  # of activations at a time, for each strand and member


@dataclass(frozen=True)
class Tiling:
    """Tiles of ``length`` bases, one for each stretch of ``core`` bases that holds a variant; the
    first base of such a stretch is base ``before`` of its tile. Activations on ``grid``."""

    core: int
    before: int
    length: int
    grid: StackGrid

    def cost(self, positions: np.ndarray) -> float:
        """Wide convolutions, per channel pair and tap, that the tiles of ``positions`` take."""
        tiles = len(np.unique(positions // self.core))
        return tiles * self.length * self.grid.wide_convolutions()

    def batches(
        self, genome: Genome, chrom: str, positions: np.ndarray, channels: int
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Codes uint8 (B, length) of some tiles, the first base of each int64 (B,), and the bounds
        of the sorted ``positions`` int64 (B + 1,) that lie in each tile."""
        cores, firsts = np.unique(positions // self.core, return_index=True)
        bounds = np.append(firsts, len(positions))
        layers = 2 * len(self.grid.blocks)  # kept for each
        per_base = 4 * channels * layers * self.grid.wide_convolutions() / (layers - 1)
        at_once = max(1, int(TILE_BYTES / (self.length * per_base)))
        for begin in range(0, len(cores), at_once):
            starts = cores[begin : begin + at_once] * self.core - self.before
            codes = [genome.codes(chrom, start, start + self.length) for start in starts]
            yield np.stack(codes), starts, bounds[begin : begin + at_once + 1]
