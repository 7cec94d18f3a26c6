"""Intervals and paired tests over blocks of the genome.

Neighbouring windows share their peak, their chromatin and often their sequence, so they are no
independent draws. Blocks of a megabase nearly are: each replicate draws as many blocks as there
are, with replacement, the same ones for every label and every model, so that means over labels and
differences of models keep their correlations.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

BLOCK = 1_000_000  # bases
MIN_BLOCKS = 5  # fewer tell nothing about spread
LEVEL = 0.95  # of intervals


def block_ids(chroms: Sequence[str], centres: Sequence[np.ndarray]) -> np.ndarray:
    """Block of every window, int32 (n,), numbered from 0 without gaps; ``centres[i]`` are the
    centres on ``chroms[i]``, one array after the other. A block never spans two contigs."""
    names = {chrom: index for index, chrom in enumerate(dict.fromkeys(chroms))}
    keys = [
        (np.int64(names[chrom]) << 32) + part // BLOCK
        for chrom, part in zip(chroms, centres, strict=True)
    ]
    keys = np.concatenate([np.zeros(0, np.int64), *keys])
    return np.unique(keys, return_inverse=True)[1].astype(np.int32)


def draw_blocks(n_blocks: int, resamples: int, seed: int) -> np.ndarray:
    """How often each replicate holds each block: int32 (blocks, resamples)."""
    rng = np.random.default_rng(seed)
    share = np.full(n_blocks, 1 / n_blocks)
    return rng.multinomial(n_blocks, share, resamples).T.astype(np.int32)


def interval(replicates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the percentile interval over the last axis, without replicates that are NaN (those
    that drew no bound window); NaN where there are none."""
    known = ~np.isnan(replicates)
    filled = np.where(known.any(-1, keepdims=True), replicates, 0.0)
    if not filled.shape[-1]:
        empty = np.full(filled.shape[:-1], np.nan)
        return empty, empty.copy()
    tail = (1 - LEVEL) / 2
    low, high = np.nanquantile(filled, [tail, 1 - tail], axis=-1)
    return tuple(np.where(known.any(-1), end, np.nan) for end in (low, high))


def p_value(differences: np.ndarray) -> np.ndarray:
    """Two-sided p of no difference, from replicates of a difference on the last axis.

    It is twice the share of replicates on the rarer side of 0. One is added to the count of each
    side, so that p is never 0. At the level p the percentile interval just touches 0.
    """
    known = ~np.isnan(differences)
    below = (known & (differences <= 0)).sum(-1)
    above = (known & (differences >= 0)).sum(-1)
    total = known.sum(-1)
    p = np.minimum(1.0, 2 * (np.minimum(below, above) + 1) / (total + 1))
    return np.where(total > 0, p, np.nan)
