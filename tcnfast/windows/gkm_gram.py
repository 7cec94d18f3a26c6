"""The kernel between all pairs of windows, computed without a single feature.

A window of 200 bases holds 63,000 gapped k-mers, so the counts of ten thousand windows do not fit
into memory; but there are only 4^l different l-mers. To compare one window with all others, h(m)
around each of its l-mers is added to a table of all l-mers, and every other window sums up its own
entries. The table is worked off slab by slab (the l-mers with the same first letters), so that it
stays in the L2 cache.
"""

from __future__ import annotations

import numpy as np

from ..base.jit import jit
from ..base.threads import in_order
from .gkm_kernel import GkmKernel, lmers, mismatches, reverse_lmer, strand_lmers

# letters of an l-mer within a slab: 4^8 floats are 256 KiB, a quarter of an L2 cache
SUFFIX = 8
# windows compared with all others in one slab before the next: their rows stay in the L3 cache
ROWS = 32


def gram(codes: np.ndarray, kernel: GkmKernel) -> np.ndarray:
    """K of all pairs of windows, scaled so that K(x, x) = 1: uint8 codes (n, L) -> float64 (n, n).

    A window without an l-mer, all of them holding N, has a row of zeros. Runs on as many threads as
    PyTorch may use.
    """
    words, weights = lmers(codes, kernel.l), kernel.position_weights(codes.shape[1])
    suffix = min(SUFFIX, kernel.l)
    slabs = _slabs(codes, weights, kernel.l, suffix)
    masks, ends = _masks(suffix)
    out = np.zeros((len(codes), len(codes)))
    h = kernel.mismatch_weights()

    def fill(first: int) -> None:
        rows = slice(first, first + ROWS)
        _fill_rows(words[rows], weights, *slabs, masks, ends, h, 2 * suffix, out[rows], first)

    for _ in in_order(fill, range(0, len(codes), ROWS)):
        pass
    _mirror_and_scale(out)
    return out


def _slabs(
    codes: np.ndarray, weights: np.ndarray, width: int, suffix: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The l-mers of both strands, sorted by slab and within it by window: their last letters
    uint16, their weights float32, and where each window starts in each slab, int64 (slabs, n + 1).
    """
    words = strand_lmers(codes, width)
    window, start, strand = np.nonzero(words >= 0)
    found = words[window, start, strand]
    slab = found >> 2 * suffix
    order = np.argsort(slab, kind="stable")
    n, slabs = len(codes), 4 ** (width - suffix)
    ends = np.searchsorted((slab.astype(np.int64) * n + window)[order], np.arange(slabs * n + 1))
    cells = (found & (4**suffix - 1)).astype(np.uint16)
    starts = ends[n * np.arange(slabs)[:, None] + np.arange(n + 1)]
    return cells[order], weights[start[order]], starts


def _masks(length: int) -> tuple[np.ndarray, np.ndarray]:
    """What a word of ``length`` letters is xored with to give every other, fewest mismatches first:
    uint32 (4^length,); and int64 (length + 2,): those of m mismatches are ends[m] : ends[m + 1]."""
    every = np.arange(4**length, dtype=np.int64)
    differ = mismatches(every, np.int64(0))
    order = np.argsort(differ, kind="stable")
    ends = np.searchsorted(differ[order], np.arange(length + 2))
    return order.astype(np.uint32), ends.astype(np.int64)


@jit
def _fill_rows(words, weights, cells, carried, starts, masks, ends, h, bits, out, first):
    """Rows of the upper triangle: ``words`` and ``out`` are those of the windows from ``first``."""
    table = np.empty(1 << bits, np.float32)
    for slab in range(starts.shape[0]):
        for i in range(words.shape[0]):
            table[:] = 0
            _scatter(words[i], weights, slab, bits, masks, ends, h, table)
            _gather(cells, carried, starts[slab], table, first + i, out[i])


@jit
def _scatter(words, weights, slab, bits, masks, ends, h, table):
    """Add h around each l-mer of a window to the entries of a slab."""
    low = (1 << bits) - 1
    letters = ends.size - 2
    for j in range(words.size):
        if words[j] < 0:
            continue
        before = mismatches(np.int64(words[j]) >> bits, slab)
        cell = np.uint32(words[j] & low)
        for m in range(before, min(h.size, before + letters + 1)):
            add = np.float32(h[m] * weights[j])
            for t in range(ends[m - before], ends[m - before + 1]):
                table[cell ^ masks[t]] += add


@jit
def _gather(cells, carried, starts, table, x, row):
    for y in range(x, row.size):
        total = np.float32(0)
        for t in range(starts[y], starts[y + 1]):
            total += table[cells[t]] * carried[t]
        row[y] += total


@jit
def _mirror_and_scale(out):
    """The lower triangle from the upper, and all divided by the roots of the diagonal."""
    n = out.shape[0]
    scale = np.zeros(n)
    for i in range(n):
        if out[i, i] > 0:
            scale[i] = 1 / np.sqrt(out[i, i])
    for i in range(n):
        for j in range(i, n):
            out[i, j] *= scale[i] * scale[j]
            out[j, i] = out[i, j]


def self_similarity(words: np.ndarray, weights: np.ndarray, kernel: GkmKernel) -> np.ndarray:
    """K(x, x) before scaling, of l-mers int32 (n, starts): float64 (n,)."""
    h = np.zeros(kernel.l + 1)
    h[: kernel.d + 1] = kernel.mismatch_weights()
    return _self_similarity(words, weights.astype(np.float64), kernel.l, h)


@jit
def _self_similarity(words, weights, width, h):
    out = np.zeros(words.shape[0])
    other = np.empty(words.shape[1], np.int64)
    for i in range(words.shape[0]):
        row = words[i]
        for j in range(row.size):
            other[j] = reverse_lmer(np.int64(row[j]), width) if row[j] >= 0 else -1
        for a in range(row.size):
            if row[a] < 0:
                continue
            total = 0.0
            for b in range(row.size):
                if row[b] >= 0:
                    plus = mismatches(np.int64(row[a]), np.int64(row[b]))
                    minus = mismatches(np.int64(row[a]), other[b])
                    total += weights[b] * (h[plus] + h[minus])
            out[i] += weights[a] * total
    return out
