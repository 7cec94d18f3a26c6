"""Does an interaction come and go with the turn of the helix?"""

from __future__ import annotations

import numpy as np

HELIX = 10.5  # bp of a turn
PERIODS = np.arange(5.0, 30.5, 0.5)  # looked through for the strongest
MIN_GAPS = 42  # four turns: of fewer, a period can hardly be told from a trend
_TREND = 3  # degree of the polynomial in the gap that is taken away first


def helical(curves: np.ndarray, permutations: int, seed: int) -> tuple[np.ndarray, ...]:
    """Share of the variance of ``curves`` (arrangements, gaps, labels) over the gaps, a cubic trend
    aside, that a wave of 10.5 bp explains; its p; and the period that explains most: float64
    (labels,) each.

    Every arrangement has a phase of its own. p is the share of permutations of the gaps, the
    observed order with them, that explain as much: the null is a curve without memory. Any smooth
    curve differs from that, so look at ``period`` too. NaN with fewer than 42 gaps.
    """
    gaps, labels = curves.shape[1:]
    if gaps < MIN_GAPS:
        return tuple(np.full(labels, np.nan) for _ in range(3))
    at = np.arange(gaps)
    trend = np.linalg.qr(np.vander(at - at.mean(), _TREND + 1))[0]
    flat = curves.astype(np.float64).transpose(1, 0, 2)  # gaps first
    flat = flat - np.tensordot(trend, np.tensordot(trend.T, flat, 1), 1)
    total = np.maximum((flat**2).sum((0, 1)), 1e-30)

    def explained(order: np.ndarray, period: float) -> np.ndarray:
        return (np.tensordot(_wave(gaps, period).T, flat[order], 1) ** 2).sum((0, 1)) / total

    observed = explained(at, HELIX)
    rng = np.random.default_rng(seed)
    reached = 1 + sum(
        explained(rng.permutation(gaps), HELIX) >= observed for _ in range(permutations)
    )
    strongest = PERIODS[np.argmax([explained(at, period) for period in PERIODS], axis=0)]
    return observed, reached / (permutations + 1), strongest


def _wave(gaps: int, period: float) -> np.ndarray:
    """Orthonormal cosine and sine of one period: float64 (gaps, 2)."""
    angle = 2 * np.pi * np.arange(gaps) / period
    wave = np.column_stack([np.cos(angle), np.sin(angle)])
    return np.linalg.qr(wave - wave.mean(0))[0]
