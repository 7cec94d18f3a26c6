"""Motifs at real sites: where they are, and the same site with one of them scrambled."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..genome.codes import N
from ..genome.shuffle import dinucleotide_shuffles
from ..pwm.log_odds import log_odds
from ..pwm.meme import Motif
from ..pwm.placements import best_placements, placement_scores

FOUND_BY_CHANCE = 0.05  # share of shuffled pieces that a motif counts as present in
SHUFFLES = 5  # of each site, to find what that is
TRIES = 8  # permutations of a motif's letters, of which the least like it is taken


@dataclass(frozen=True, eq=False)
class BestSites:
    """A motif in windows: ``start`` int64 (n,), the first base of its best placement, its ``score``
    in bits, and whether the window counts as having the motif, ``present`` bool (n,)."""

    start: np.ndarray
    score: np.ndarray
    present: np.ndarray


def best_sites(
    windows: np.ndarray, motif: Motif, reach: int, rng: np.random.Generator
) -> BestSites:
    """Best placement of a motif, on either strand, within ``reach`` bases of the middle of each of
    ``windows``, uint8 (n, RF).

    The motif is present where this beats 95 % of the best placements in dinucleotide shuffles of
    the same pieces, so that short motifs need a better match, relative to their best, than long
    ones do. (A p-value is of one placement; here a whole piece has the motif or not.)
    """
    matrix = log_odds(motif)
    first = windows.shape[1] // 2 - reach
    pieces = np.ascontiguousarray(windows[:, first : first + 2 * reach + 1])
    start, score = best_placements(pieces, matrix)
    shuffled = dinucleotide_shuffles(np.tile(pieces, (SHUFFLES, 1)), rng)
    cutoff = np.quantile(best_placements(shuffled, matrix)[1], 1 - FOUND_BY_CHANCE)
    return BestSites(first + start, score, score > cutoff)


def scrambled(
    windows: np.ndarray, start: np.ndarray, motif: Motif, draws: int, rng: np.random.Generator
) -> np.ndarray:
    """``draws`` copies of each window in which the letters of the placement at ``start`` (n,) are
    permuted: uint8 (draws, n, RF). Of 8 permutations the one least like the motif is taken."""
    matrix = log_odds(motif)
    n, width = len(windows), len(matrix)
    columns = start[:, None] + np.arange(width)
    letters = windows[np.arange(n)[:, None], columns]
    tries = rng.permuted(np.broadcast_to(letters[:, None], (draws, n, TRIES, width)), axis=-1)
    scores = placement_scores(tries.reshape(-1, width), matrix).reshape(draws, n, TRIES)
    chosen = np.take_along_axis(tries, scores.argmin(-1)[..., None, None], 2)[:, :, 0]
    return _written(windows, columns, chosen)


def scrambled_elsewhere(
    windows: np.ndarray,
    start: np.ndarray,
    width: int,
    reach: int,
    draws: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """``draws`` copies of each window in which the letters of a random piece of ``width`` bases are
    permuted: uint8 (draws, n, RF). The piece lies within ``reach`` bases of the middle and does not
    touch the placement at ``start``."""
    n = len(windows)
    first = windows.shape[1] // 2 - reach
    before = np.maximum(start - width - first + 1, 0)
    last = first + 2 * reach + 1 - width
    after = np.maximum(last - (start + width) + 1, 0)
    drawn = rng.integers(0, np.broadcast_to(before + after, (draws, n)))
    piece = np.where(drawn < before, first + drawn, start + width + drawn - before)
    columns = piece[..., None] + np.arange(width)
    letters = windows[np.arange(n)[:, None], columns]
    return _written(windows, columns, rng.permuted(letters, axis=-1))


def _written(windows: np.ndarray, columns: np.ndarray, letters: np.ndarray) -> np.ndarray:
    """Copies of the windows with ``letters`` (draws, n, width) at ``columns``, of that shape or
    (n, width)."""
    out = np.broadcast_to(windows, (len(letters), *windows.shape)).copy()
    np.put_along_axis(out, np.broadcast_to(columns, letters.shape), letters, axis=2)
    return out


def known(windows: np.ndarray, reach: int) -> np.ndarray:
    """Whether each window has no N within ``reach`` bases of its middle: bool (n,)."""
    first = windows.shape[1] // 2 - reach
    return ~(windows[:, first : first + 2 * reach + 1] == N).any(1)
