"""Scores without support vectors: a weight for every l-mer, and their sum over a window."""

from __future__ import annotations

import numpy as np

from ..base.jit import jit
from .gkm_gram import self_similarity
from .gkm_kernel import GkmKernel, lmers, reverse_lmer


def lmer_table(codes: np.ndarray, alphas: np.ndarray, kernel: GkmKernel) -> np.ndarray:
    """float32 (4^l,): sum over windows x and their l-mers v of alpha(x) weight(v) h(m(u, v)) /
    sqrt(K(x, x)), for every l-mer u.

    ``codes`` uint8 (n, L), ``alphas`` float64 (n,): the support vectors and their signed weights.
    """
    words, weights = lmers(codes, kernel.l), kernel.position_weights(codes.shape[1])
    scale = alphas / _norms(words, weights, kernel)
    counts = np.zeros(4**kernel.l)
    _add_counts(words, weights, scale, kernel.l, counts)
    return _spread(counts, kernel).astype(np.float32)


def _norms(words: np.ndarray, weights: np.ndarray, kernel: GkmKernel) -> np.ndarray:
    """Roots of K(x, x), float64 (n,); 1 where a window has no l-mer."""
    norms = np.sqrt(self_similarity(words, weights, kernel))
    return np.where(norms > 0, norms, 1.0)


@jit
def _add_counts(words, weights, scale, width, counts):
    for i in range(words.shape[0]):
        for j in range(words.shape[1]):
            if words[i, j] >= 0:
                counts[words[i, j]] += scale[i] * weights[j]
                counts[reverse_lmer(np.int64(words[i, j]), width)] += scale[i] * weights[j]


def _spread(counts: np.ndarray, kernel: GkmKernel) -> np.ndarray:
    """sum_v counts(v) h(m(u, v)) for every u, float64 (4^l,).

    Mismatches are counted letter by letter: with parts[m] the sums over v that differ from u in m
    of the letters seen so far, one more letter either agrees (parts[m] stays) or is one of three
    others (from parts[m - 1]).
    """
    parts = np.zeros((kernel.d + 1, counts.size))
    parts[0] = counts
    for letter in range(kernel.l):
        _add_letter(parts, 4**letter)
    return kernel.mismatch_weights() @ parts


@jit
def _add_letter(parts, step):
    for m in range(parts.shape[0] - 1, 0, -1):
        here, below = parts[m], parts[m - 1]
        for start in range(0, here.size, 4 * step):
            for i in range(start, start + step):
                total = below[i] + below[i + step] + below[i + 2 * step] + below[i + 3 * step]
                for j in range(i, i + 4 * step, step):
                    here[j] += total - below[j]


def contributions(codes: np.ndarray, tables: np.ndarray, kernel: GkmKernel) -> np.ndarray:
    """What the l-mer at each start adds to the score: uint8 codes (n, L) and float32 tables
    (labels, 4^l) -> float32 (n, labels, L - l + 1); 0 where it holds N."""
    words, weights = lmers(codes, kernel.l), kernel.position_weights(codes.shape[1])
    scale = weights / _norms(words, weights, kernel)[:, None]
    out = np.empty((len(words), len(tables), words.shape[1]), np.float32)
    _look_up(words, scale, tables, out)
    return out


@jit
def _look_up(words, scale, tables, out):
    for i in range(words.shape[0]):
        for label in range(tables.shape[0]):
            for j in range(words.shape[1]):
                known = words[i, j] >= 0
                out[i, label, j] = tables[label, words[i, j]] * scale[i, j] if known else 0.0
