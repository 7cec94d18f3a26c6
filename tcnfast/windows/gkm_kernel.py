"""The gapped k-mer kernel (Ghandi et al. 2014, PLoS Comput Biol 10:e1003711): its settings, its
weights of mismatches and positions, and l-mers.

K(x, y) is the sum over l-mers u of x and v of y, both strands of each, of h(m): m is the number of
letters in which u and v differ, and h(m) = C(l - m, k) counts the gapped k-mers that they share.
Pairs of more than d mismatches count nothing, for which the kernel of gapped k-mers (d = l - k) is
no longer positive for sure; the matrices of real windows are. Each l-mer may carry a weight by its
position.

An l-mer is an integer of two bits a letter, so the xor of two has as many letters that are not A
as they have mismatches.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb

import numpy as np

from ..base.errors import TcnfastError
from ..base.jit import jit
from ..genome.codes import N, reverse_complement

MAX_L = 12  # a table of 4^12 floats is 64 MiB a label


@dataclass(frozen=True)
class GkmKernel:
    """Settings of the kernel: ``l`` letters of which ``k`` count, ``d`` mismatches at most.

    ``filter``: "gapped" counts shared gapped k-mers; "estimated" compares the l-mer counts that the
    gapped k-mers let one estimate, negative estimates cut off (the article's truncated filter).
    ``weighting``: "none", or "centre" for min(M, floor(M 2^(-D / half_life) + 1)) at D bases
    between the middles of l-mer and window; M is ``peak``. Both together are LS-GKM's wgkm, as its
    usage text has it (where the minimum is called max).
    Raises TcnfastError for values that cannot be.
    """

    l: int = 11  # noqa: E741  the name of the field
    k: int = 7
    d: int = 3
    filter: str = "gapped"
    weighting: str = "none"
    peak: float = 50.0
    half_life: float = 50.0

    def __post_init__(self) -> None:
        wrong = self._wrong()
        if wrong:
            raise TcnfastError(f"gkm-svm: {wrong}")

    def _wrong(self) -> str | None:
        if not 2 <= self.l <= MAX_L:
            return f"l {self.l}: must be within 2 and {MAX_L}"
        if not 1 <= self.k <= self.l:
            return f"k {self.k}: must be within 1 and l, {self.l}"
        if not 0 <= self.d <= self.l - self.k:
            return f"d {self.d}: must be within 0 and l - k, {self.l - self.k}"
        if self.filter not in ("gapped", "estimated"):
            return f"filter {self.filter!r}: must be gapped or estimated"
        if self.weighting not in ("none", "centre"):
            return f"weighting {self.weighting!r}: must be none or centre"
        if not self.peak >= 1 or not self.half_life > 0:
            return f"peak {self.peak}, half_life {self.half_life}: must be at least 1, and above 0"
        return None

    def mismatch_weights(self) -> np.ndarray:
        """h(0..d): float64 (d + 1,)."""
        if self.filter == "gapped":
            return np.array([comb(self.l - m, self.k) for m in range(self.d + 1)], np.float64)
        return _estimated_filter(self.l, self.k)[: self.d + 1]

    def position_weights(self, length: int) -> np.ndarray:
        """Weight of the l-mer at each start of a window: float32 (length - l + 1,); the same for
        both strands."""
        starts = length - self.l + 1
        if starts < 1:
            raise TcnfastError(f"gkm-svm: windows of {length} bases are under l, {self.l}")
        if self.weighting == "none":
            return np.ones(starts, np.float32)
        distance = np.abs(np.arange(starts) - (starts - 1) / 2)
        falling = np.floor(self.peak * 2 ** (-distance / self.half_life) + 1)
        return np.minimum(self.peak, falling).astype(np.float32)


def krawtchouk(width: int) -> np.ndarray:
    """P[m, j]: the sum over all words that differ from AAA.. in j letters of a character of order
    m; float64 (width + 1, width + 1). What depends on the number of mismatches alone has the
    eigenvalues ``P @ h`` among words of ``width`` letters, and P @ P = 4^width."""

    def value(m: int, j: int) -> int:
        terms = (
            (-1) ** i * 3 ** (j - i) * comb(m, i) * comb(width - m, j - i) for i in range(j + 1)
        )
        return sum(terms)

    orders = range(width + 1)
    return np.array([[value(m, j) for j in orders] for m in orders], np.float64)


def _estimated_filter(width: int, k: int) -> np.ndarray:
    """h(0..l) of the kernel on estimated l-mer counts, h(0) = 1.

    The least-squares estimate of l-mer counts from gapped k-mer counts keeps what depends on k
    letters or fewer: a filter w(m). It is cut off where it first is not positive.
    """
    to = krawtchouk(width)
    keep = (np.arange(width + 1) <= k).astype(np.float64)
    w = to @ keep / 4.0**width
    w[np.cumsum(w <= 0) > 0] = 0
    h = to @ (to @ w) ** 2 / 4.0**width
    return h / h[0]


def lmers(codes: np.ndarray, width: int) -> np.ndarray:
    """The l-mer at each start, uint8 codes (n, L) -> int32 (n, L - l + 1); -1 where it holds N."""
    if codes.ndim != 2 or codes.shape[1] < width:
        raise TcnfastError(f"gkm-svm: windows of {codes.shape[-1]} bases are under l, {width}")
    out = np.empty((len(codes), codes.shape[1] - width + 1), np.int32)
    _lmers_into(np.ascontiguousarray(codes), width, out)
    return out


def strand_lmers(codes: np.ndarray, width: int) -> np.ndarray:
    """The l-mers at each start as they are read on either strand: int32 (n, L - l + 1, 2)."""
    minus = lmers(reverse_complement(codes), width)[:, ::-1]
    return np.stack([lmers(codes, width), minus], 2)


@jit
def _lmers_into(codes, width, out):
    mask = (1 << (2 * width)) - 1
    for i in range(codes.shape[0]):
        word, known = 0, 0
        for j in range(codes.shape[1]):
            word = ((word << 2) | (codes[i, j] & 3)) & mask
            known = known + 1 if codes[i, j] < N else 0
            if j >= width - 1:
                out[i, j - width + 1] = word if known >= width else -1


@jit
def reverse_lmer(word, width):
    """The l-mer of the other strand."""
    out = 0
    for _ in range(width):
        out = (out << 2) | (3 - (word & 3))
        word >>= 2
    return out


@jit
def mismatches(a, b):
    """Letters in which two l-mers differ."""
    x = a ^ b
    x = (x | (x >> 1)) & 0x55555555
    x = (x & 0x33333333) + ((x >> 2) & 0x33333333)
    x = (x + (x >> 4)) & 0x0F0F0F0F
    return ((x * 0x01010101) >> 24) & 0xFF
