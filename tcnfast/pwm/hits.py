"""Hits of motifs: the placements whose p-value is at most a given one, on both strands.

There is one rule, whoever asks: :class:`HitFinder` holds the log-odds of some motifs and the lowest
score that is a hit of each. What finds hits is chosen for the device: tables of seeds on a
processor (:mod:`seed_hits`), a matrix product on a GPU (:mod:`product_hits`). Both find the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from ..base.errors import TcnfastError
from ..engines.backend import MOTIF_HITS, choose
from ..genome.codes import N
from ..genome.genome import Genome
from ..genome.intervals import Intervals, joined
from . import P_VALUE, product_hits, seed_hits
from .log_odds import UNIFORM, UNITS_PER_BIT, both_strands, whole_units
from .meme import Motif
from .packed_hits import unpack
from .pvalues import ScoreTail, score_tail

MOST = 0.01  # p-value up to which hits are looked for
_SEGMENT = 1 << 22  # bases scanned at once

# maps codes uint8 (T,) and a number of starts to packed hits
Find = Callable[[np.ndarray, int], np.ndarray]


@dataclass(frozen=True, eq=False)
class Hits:
    """Hits in order of motif, start and strand, arrays (n,): index of the ``motif`` int64, first
    base ``start`` and the base behind the last, ``end``, int64; ``reverse`` bool, whether it is on
    the minus strand; ``score`` in bits and its p-value ``p``, float64."""

    motif: np.ndarray
    start: np.ndarray
    end: np.ndarray
    reverse: np.ndarray
    score: np.ndarray
    p: np.ndarray

    def __len__(self) -> int:
        return len(self.start)


class HitFinder:
    """Motifs ready to be looked for.

    ``units``: their log-odds int64 (width, 4) over ``background``; ``cutoffs``: the lowest scores,
    in units, whose p-value is at most ``p_value``; ``rates``: those p-values, float64 (motifs,), 0
    where no site is rare enough.

    The background is made the same on both strands. Raises TcnfastError for a background that is
    none, and a p-value that is not above 0 and at most 0.01.
    """

    def __init__(
        self,
        motifs: Sequence[Motif],
        background: Sequence[float] = UNIFORM,
        p_value: float = P_VALUE,
    ) -> None:
        if not 0 < p_value <= MOST:
            raise TcnfastError(f"p-value {p_value}: must be above 0 and at most {MOST}")
        self.motifs, self.p_value = list(motifs), p_value
        self.background = both_strands(background)
        self.units = [whole_units(motif, self.background) for motif in motifs]
        self.cutoffs: list[int] = []
        self.rates = np.zeros(len(self.units))
        for index in range(len(self.units)):
            tail = self.tail(index)
            self.cutoffs.append(tail.cutoff(p_value))
            if self.cutoffs[-1] <= tail.highest:
                self.rates[index] = tail.chances[tail.highest - self.cutoffs[-1]]

    @cached_property
    def widths(self) -> np.ndarray:
        """Columns of each motif, int64 (motifs,)."""
        return np.array([len(units) for units in self.units], np.int64)

    @cached_property
    def highest(self) -> np.ndarray:
        """Score of the best site of each motif, in units: int64 (motifs,)."""
        return np.array([units.max(1).sum() for units in self.units], np.int64)

    @property
    def thresholds(self) -> np.ndarray:
        """The lowest score of a hit of each motif, in bits, float64 (motifs,); NaN where not even
        the best site is rare enough."""
        cutoffs = np.array(self.cutoffs, np.int64)
        return np.where(cutoffs > self.highest, np.nan, cutoffs / UNITS_PER_BIT)

    def tail(self, index: int) -> ScoreTail:
        """P-values of the scores that are hits of one motif."""
        return score_tail(self.units[index], self.background, self.p_value)

    def prepared(
        self, bases: int, device: torch.device | None = None, backend: str = "auto"
    ) -> tuple[Find, int]:
        """What finds packed hits (:mod:`packed_hits`) in codes, and how many threads may ask it at
        once. ``bases``: about how many will be scanned. Raises TcnfastError as
        :func:`backend.choose`."""
        device = device or torch.device("cpu")
        if choose(MOTIF_HITS, backend, device, "fp32").backend == "reference":
            return product_hits.MotifProduct(self.units, self.cutoffs, device).find_hits, 2
        tables = seed_hits.build_tables(self.units, self.cutoffs, bases)
        find = lambda codes, starts: seed_hits.find_hits(codes, starts, tables)  # noqa: E731
        return find, torch.get_num_threads()

    @cached_property
    def _find(self) -> Find:
        """For :meth:`hits`, made for the number of bases of its first call."""
        return self.prepared(self._bases)[0]

    def hits(self, codes: np.ndarray) -> Hits:
        """All hits in codes uint8 (T,), found on the processor."""
        parts = [np.zeros((4, 0), np.int64)]
        if self.motifs:
            self._bases = len(codes)
            widest = int(self.widths.max())
            for first in range(0, len(codes), _SEGMENT):
                piece = codes[first : first + _SEGMENT + widest - 1]
                found = np.stack(unpack(self._find(piece, min(_SEGMENT, len(codes) - first))))
                found[1] += first
                parts.append(found)
        motif, start, reverse, lacks = np.concatenate(parts, 1)
        order = np.argsort(motif, kind="stable")
        motif, start, reverse, lacks = motif[order], start[order], reverse[order], lacks[order]
        p = np.empty(len(motif))
        bounds = np.searchsorted(motif, np.arange(len(self.motifs) + 1))
        for index in np.unique(motif).tolist():
            here = slice(bounds[index], bounds[index + 1])
            p[here] = self.tail(index).chances[lacks[here]]
        score = (self.highest[motif] - lacks) / UNITS_PER_BIT
        return Hits(motif, start, start + self.widths[motif], reverse > 0, score, p)

    def hits_in(self, genome: Genome, regions: Intervals) -> tuple[np.ndarray, Hits]:
        """Contigs, object (n,), and hits that lie wholly inside a region, in order of contig name,
        start, motif and strand. Regions that overlap or touch are joined first."""
        parts, chroms, begins, moves, at = [np.zeros(0, np.uint8)], [], [], [], 0
        between = np.full(1, N, np.uint8)  # so that no hit lies across two regions
        for chrom in sorted(regions.chroms):
            for start, end in zip(*joined(regions.on(chrom)), strict=True):
                parts += [genome.codes(chrom, start, end), between]
                chroms.append(chrom)
                begins.append(at)
                moves.append(start - at)
                at += end - start + 1
        found = self.hits(np.concatenate(parts))
        order = np.lexsort((found.reverse, found.motif, found.start))
        columns = found.motif, found.start, found.end, found.reverse, found.score, found.p
        motif, start, end, *rest = (column[order] for column in columns)
        region = np.searchsorted(np.array(begins, np.int64), start, side="right") - 1
        move = np.array(moves, np.int64)[region]
        return np.array(chroms, object)[region], Hits(motif, start + move, end + move, *rest)
