"""Gapped k-mer counts as a sparse matrix: the features that gkm-svm's kernel stands for.

The inner product of two rows is the kernel of :mod:`tcnfast.windows.gkm_gram` where all mismatches
count (d = l - k). GkmSVM does without: a window of 200 bases takes half a megabyte.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np

from tcnfast.base.jit import jit
from tcnfast.windows.gkm_kernel import GkmKernel, lmers, reverse_lmer

_ODD = 0x9E3779B1  # 2^32 / golden ratio: consecutive features land far apart


def gapped_kmer_counts(
    codes: np.ndarray, width: int = 11, k: int = 7, hash_bits: int | None = None
):
    """Counts of gapped k-mers of both strands, uint8 codes (n, L) -> a scipy CSR matrix float32
    (n, C(width, k) 4^k).

    A gapped k-mer and its reverse complement are one feature, at the lower column of the two; one
    that is its own (``k`` even) counts sqrt(2) each time, because it is there on both strands, so
    that inner products are those of the kernel. ``hash_bits``: columns are hashed to
    2^hash_bits; what collides is added up.
    """
    from scipy.sparse import csr_array

    kernel = GkmKernel(width, k, width - k)
    patterns = np.array(list(combinations(range(width), k)), np.int64)
    rank = {tuple(pattern): i for i, pattern in enumerate(patterns.tolist())}
    mirror = np.array([rank[tuple(width - 1 - p for p in row[::-1])] for row in patterns.tolist()])
    words = lmers(codes, kernel.l)
    columns, values, sizes = [], [], np.zeros(len(words) + 1, np.int64)
    for i, row in enumerate(words):
        found, weight = _features(row[row >= 0], 2 * (width - 1 - patterns), mirror)
        if hash_bits is not None:
            found = (found * _ODD & 0xFFFFFFFF) >> (32 - hash_bits)
        unique, place = np.unique(found, return_inverse=True)
        columns.append(unique.astype(np.int32))
        values.append(np.bincount(place, weight, len(unique)).astype(np.float32))
        sizes[i + 1] = len(unique)
    width = len(patterns) * 4**k if hash_bits is None else 2**hash_bits
    data = np.concatenate([np.zeros(0, np.float32), *values])
    indices = np.concatenate([np.zeros(0, np.int32), *columns])
    ends = np.cumsum(sizes)
    if ends[-1] < 2**31:  # scikit-learn takes no other
        ends = ends.astype(np.int32)
    return csr_array((data, indices, ends), shape=(len(words), width))


@jit
def _features(words, shifts, mirror):
    """Columns int64 and what each adds, float64; both (words x patterns,)."""
    patterns, k = shifts.shape
    columns = np.empty(words.size * patterns, np.int64)
    adds = np.ones(words.size * patterns)
    place = 0
    for word in words:
        for p in range(patterns):
            letters = np.int64(0)
            for shift in shifts[p]:
                letters = (letters << 2) | ((np.int64(word) >> shift) & 3)
            plus = (p << (2 * k)) | letters
            minus = (mirror[p] << (2 * k)) | reverse_lmer(letters, k)
            columns[place] = min(plus, minus)
            if plus == minus:
                adds[place] = np.sqrt(2.0)
            place += 1
    return columns, adds
