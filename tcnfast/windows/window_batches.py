"""Batches of a window set for training: shuffled, on either strand, shifted, mutated."""

from __future__ import annotations

import numpy as np

from ..base.jit import jit
from ..data.training_tiles import MUTATED


class WindowBatches:
    """``codes`` uint8 (n, L) and ``labels`` uint8 (n, labels) in batches of equal size.

    Every window comes once an epoch, in an order of the epoch's own; those that do not fill a batch
    wait for another epoch. Each time it is reverse-complemented with probability 1/2 (unless
    ``strands`` is false), moved by up to ``shift`` bases either way, N coming in at the end, and a
    share of its bases is drawn anew: ``mutate`` in the mean at first, falling to none as in
    TileSampler. ``batch(index)`` depends on the seed and the index alone.
    """

    def __init__(
        self,
        codes: np.ndarray,
        labels: np.ndarray,
        batch: int,
        epochs: int,
        seed: int = 0,
        shift: int = 0,
        mutate: float = 0.0,
        strands: bool = True,
    ) -> None:
        self.codes, self.labels = np.ascontiguousarray(codes), labels
        self.size = min(batch, len(codes))
        self.per_epoch = len(codes) // self.size
        self.seed, self.shift, self.mutate = seed, shift, mutate
        self.strands = strands
        self.mutated = MUTATED * epochs * self.per_epoch
        self._order = -1, np.zeros(0, np.int64)

    def batch(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """uint8 codes (batch, L) and labels (batch, labels)."""
        epoch, place = divmod(index, self.per_epoch)
        if self._order[0] != epoch:
            rng = np.random.default_rng([self.seed, epoch, 1])
            self._order = epoch, rng.permutation(len(self.codes))
        rows = self._order[1][place * self.size : (place + 1) * self.size]
        rng = np.random.default_rng([self.seed, index, 2])
        share = 2 * self.mutate * max(0.0, 1 - index / self.mutated) if self.mutate else 0.0
        out = np.empty((len(rows), self.codes.shape[1]), np.uint8)
        _draw(rng, self.codes, rows, self.shift, share, self.strands, out)
        return out, self.labels[rows]


@jit
def _draw(rng, codes, rows, shift, share, strands, out):
    """Windows ``rows``, each with a strand, a shift and a share of mutated bases of its own."""
    length = codes.shape[1]
    for i in range(rows.size):
        flip = rng.random() < 0.5 and strands
        move = rng.integers(-shift, shift + 1)
        most = share * rng.random()
        for j in range(length):
            at = j + move
            code = codes[rows[i], at] if 0 <= at < length else 4
            if code < 4:
                if most > 0 and rng.random() < most:
                    code = rng.integers(0, 4)
                elif flip:
                    code = 3 - code
            out[i, length - 1 - j if flip else j] = code
