"""Single bases by the cones above them (:mod:`tcnfast.engines.cone`): what the strategies for one
window and for all steps share.

The unchanged activations are computed on tiles, stretches of a contig that many variants share.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch
from torch import Tensor

from ..engines.cone import Activations, Cone, touched
from ..engines.grid import StackGrid
from ..genome.genome import Genome
from ..model.tcn import TCNConfig
from .records import Allele
from .strategy import AT_ONCE, by_contig, empty_columns, once, over_strands

Kept = dict[Cone, Activations]
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


class ConeScorer(ABC):
    """``cones``: of each strand those of the members of an ensemble, all of one shape, ``config``.

    A subclass says what columns it has (``names``), which tiles it may keep (``tilings``) and
    scores the alleles of some tiles (``score``).
    """

    names: tuple[str, ...]

    def __init__(self, cones: list[list[Cone]], strand: str, config: TCNConfig) -> None:
        self.cones, self.strand, self.config = cones, strand, config
        self.grid = cones[0][0].grid
        self.receptive_field = self.grid.receptive_field
        self.half = self.receptive_field // 2
        head = cones[0][0].weights.head_bias
        self.labels, self.device = len(head), head.device

    def __call__(self, genome: Genome, alleles: list[Allele]) -> dict[str, np.ndarray]:
        columns = empty_columns(self.names, len(alleles), self.labels)
        for chrom, rows, positions, codes in by_contig(alleles):
            tiling = min(self.tilings(), key=lambda x, at=positions: self.cost(x, at))
            for part, values in self._tiles(genome, chrom, tiling, positions, codes):
                for name, value in values.items():
                    columns[name][rows[part]] = value
        return columns

    @abstractmethod
    def tilings(self) -> list[Tiling]: ...

    @abstractmethod
    def score(
        self,
        kept: Kept,
        part: np.ndarray,
        rows: np.ndarray,
        offsets: np.ndarray,
        positions: np.ndarray,
        codes: np.ndarray,
        size: int,
    ) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
        """Of some alleles, ``part`` of those of a contig of ``size`` bases: their indices and
        values. ``offsets`` int64: where they lie in row ``rows`` of the activations."""

    def cost(self, tiling: Tiling, positions: np.ndarray) -> float:
        return tiling.cost(positions)

    def _tiles(self, genome: Genome, chrom: str, tiling: Tiling, positions, codes):
        channels = self.config.channels
        for tiles, starts, bounds in tiling.batches(genome, chrom, positions, channels):
            batch = torch.from_numpy(tiles).to(self.device)
            cones = dict.fromkeys(chain.from_iterable(self.cones))
            kept = {cone: cone.activations(batch, tiling.grid) for cone in cones}
            for begin in range(bounds[0], bounds[-1], AT_ONCE):
                part = np.arange(begin, min(begin + AT_ONCE, bounds[-1]))
                rows = np.searchsorted(bounds, part, side="right") - 1
                offsets, size = positions[part] - starts[rows], genome.sizes[chrom]
                yield from self.score(kept, part, rows, offsets, positions[part], codes[part], size)

    def tensors(self, *arrays: np.ndarray) -> list[Tensor]:
        return [torch.from_numpy(np.ascontiguousarray(array)).to(self.device) for array in arrays]

    def sides(
        self, kept: Kept, at: list[Tensor], base: int, steps: int = 1
    ) -> tuple[Tensor, Tensor]:
        """Logits (alleles, steps, labels) with REF and with ALT. ``at``: rows, first bases and new
        codes of stretches that all see their base number ``base``."""
        rows, first, codes = at
        length = self.receptive_field + self.grid.stride * (steps - 1)
        geometry = touched(self.grid, base, length)
        ref = self._mean(kept, lambda cone, x: cone.reference_logits(x, rows, first, steps))
        alt = self._mean(kept, lambda cone, x: cone.logits(x, rows, first, geometry, codes))
        return ref, alt

    def _mean(self, kept: Kept, logits: Callable[[Cone, Activations], Tensor]) -> Tensor:
        """Mean over members, then over strands."""
        of_members = once(lambda cone: logits(cone, kept[cone]), self.cones)
        return over_strands([sum(parts) / len(parts) for parts in of_members], self.strand)
