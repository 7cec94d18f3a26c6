"""Where a model calls what is not there: places for more training tiles."""

from __future__ import annotations

import numpy as np

from ..data.dataset import Dataset
from ..data.training_tiles import Places
from ..engines.plan import Plan
from ..evaluate.predict import region_logits
from ..genome.genome import Region
from ..genome.labels import UNBOUND

SCANNED = 20_000_000  # bases of the training regions that are looked through in each epoch
STRETCH = 1 << 17  # bases scored in one go
KEPT = 0.1  # share of the tiles looked through that are hard


def find_hard(
    plan: Plan,
    dataset: Dataset,
    regions: list[Region],
    tile_steps: int,
    seed: list[int],
    scanned: int = SCANNED,
) -> Places:
    """The worst tenth of the tiles in stretches of ``regions`` that are drawn by ``seed``.

    A tile is as bad as the cross-entropy of its unbound labels: false positives. Bound ones, missed
    or not, are what the enriched tiles show. A place is the tile's worst step, and is drawn in
    proportion to its tile's badness.
    """
    stretches = [
        (index, Region(region.chrom, start, min(start + STRETCH, region.end)))
        for index, region in enumerate(regions)
        for start in range(region.start, region.end, STRETCH)
    ]
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(len(stretches))[: max(1, scanned // STRETCH)]
    found = []
    for index, stretch in (stretches[i] for i in sorted(chosen)):
        centres, targets = dataset.scored_bins(stretch, plan.receptive_field, plan.stride)
        if len(centres) < tile_steps:
            continue
        logits = np.concatenate(list(region_logits(plan, dataset, stretch, centres)))
        badness = np.where(targets == UNBOUND, np.logaddexp(0, logits), 0).sum(1)
        tiles = len(centres) // tile_steps
        badness = badness[: tiles * tile_steps].reshape(tiles, tile_steps)
        worst = badness.argmax(1) + tile_steps * np.arange(tiles)
        found.append((np.full(tiles, index), centres[worst], badness.sum(1, dtype=np.float64)))
    if not found:
        return Places.of(*np.zeros((3, 0), np.int64))
    region, middle, weight = (np.concatenate(column) for column in zip(*found, strict=True))
    kept = np.argsort(-weight, kind="stable")[: max(1, round(KEPT * len(weight)))]
    return Places.of(region[kept], middle[kept], weight[kept])
