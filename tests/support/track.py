"""What the tests of tracks share: logits, and the shards they wait in."""

import numpy as np

from tcnfast.scan.track_bigwig import VALUES
from tcnfast.scan.track_shards import BEGINS, TrackShard


def rounded(logits):
    """Two decimals from 0.1 up, three below, by searching the edges."""
    return VALUES[np.searchsorted(BEGINS[:-1], logits, side="right")]


def random_logits(steps, labels, seed=0):
    """Random walks with gaps, so that neighbours are often of equal value."""
    rng = np.random.default_rng(seed)
    logits = np.cumsum(rng.normal(scale=0.3, size=(steps, labels)), 0).astype(np.float32)
    logits[rng.random(logits.shape) < 0.02] = np.nan
    logits[rng.random(steps) < 0.02] = np.nan
    return logits


def shard_of(path, logits, floors, cuts=(), first_step=0):
    """A finished shard of the steps from ``first_step`` on, fed cut at ``cuts``."""
    logits = np.float32(logits)
    shard = TrackShard(path, np.array(floors, float), first_step)
    edges = [0, *cuts, len(logits)]
    for first, last in zip(edges, edges[1:], strict=False):
        shard.add(first_step + first, logits[first:last])
    shard.finish()
    return path
