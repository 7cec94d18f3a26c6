"""Tiles of the genome for training: over bound peaks and at random, at any base, both strands."""

from __future__ import annotations

import numpy as np

from .dataset import Dataset
from .errors import TcnfastError
from .genome import Region, reverse_complement


class TileSampler:
    """Tiles of the genome with a label at every step, for dense supervision.

    A tile gives ``tile_steps`` scores ``stride`` bases apart, so it is
    ``receptive_field + (tile_steps - 1) * stride`` bases long and lies, with its label bins, wholly
    inside one region, at any base. A share ``enriched`` of the tiles is laid over a bound peak at a
    random step; its label is drawn with probability proportional to (peaks of the label)^
    ``label_power``: 1 draws peaks evenly, 0 labels evenly. The other tiles fall evenly. Half of all
    tiles are reverse-complemented.

    ``sampler.batch(step)`` depends on the seed and the step alone.
    """

    def __init__(
        self,
        dataset: Dataset,
        regions: list[Region],
        receptive_field: int,
        stride: int,
        tiles: int,
        tile_steps: int = 16,
        enriched: float = 0.7,
        label_power: float = 0.5,
        seed: int = 0,
    ) -> None:
        self.dataset, self.tiles, self.stride, self.seed = dataset, tiles, stride, seed
        self.tile_steps, self.enriched = tile_steps, enriched
        self.half = receptive_field // 2
        self.tile_length = receptive_field + (tile_steps - 1) * stride
        self.bin_reach = max(0, dataset.label_bin // 2 - self.half)
        needed = self.tile_length + 2 * self.bin_reach
        self.regions = [region for region in regions if region.end - region.start >= needed]
        if not self.regions:
            raise TcnfastError(f"no training region holds a tile of {self.tile_length} bases")
        self._codes = [dataset.genome.codes(*region) for region in self.regions]
        room = np.array([r.end - r.start - needed + 1 for r in self.regions], np.float64)
        self._region_weight = np.cumsum(room / room.sum())
        peaks = [dataset.peak_middles(region) for region in self.regions]
        self._peak_label = np.concatenate([labels for labels, _ in peaks])
        self._peak_middle = np.concatenate([middles for _, middles in peaks])
        self._peak_region = np.repeat(np.arange(len(peaks)), [len(m) for _, m in peaks])
        if enriched > 0 and not len(self._peak_label):
            raise TcnfastError("no bound peak lies in the training regions")
        counts = np.bincount(self._peak_label, minlength=len(dataset.labels)).astype(np.float64)
        weight = np.maximum(counts, 1) ** (label_power - 1)
        self._peak_weight = np.cumsum(weight[self._peak_label] / (weight * counts).sum())

    def batch(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """uint8 codes (tiles, tile_length) and labels (tiles, tile_steps, labels) of one step."""
        rng = np.random.default_rng([self.seed, step])
        codes = np.empty((self.tiles, self.tile_length), np.uint8)
        targets = np.empty((self.tiles, self.tile_steps, len(self.dataset.labels)), np.uint8)
        for row in range(self.tiles):
            index, start = self._place(rng)
            region = self.regions[index]
            tile = self._codes[index][start - region.start :][: self.tile_length]
            centres = start + self.half + self.stride * np.arange(self.tile_steps, dtype=np.int64)
            labels = self.dataset.targets(region.chrom, centres)
            flip = rng.random() < 0.5
            codes[row] = reverse_complement(tile) if flip else tile
            targets[row] = labels[::-1] if flip else labels
        return codes, targets

    def _place(self, rng: np.random.Generator) -> tuple[int, int]:
        """Region index and first base of one tile."""
        if rng.random() < self.enriched:
            peak = min(np.searchsorted(self._peak_weight, rng.random()), len(self._peak_label) - 1)
            index = self._peak_region[peak]
            offset = self.half + rng.integers(self.tile_steps * self.stride)
            start = self._peak_middle[peak] - offset
        else:
            index = min(np.searchsorted(self._region_weight, rng.random()), len(self.regions) - 1)
            start = None
        region = self.regions[index]
        first = region.start + self.bin_reach
        last = region.end - self.tile_length - self.bin_reach
        if start is None:
            start = rng.integers(first, last + 1)
        return index, int(np.clip(start, first, last))
