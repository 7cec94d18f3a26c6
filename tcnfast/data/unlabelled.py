"""Tiles of sequence without labels, which teachers alone have a word on."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

import numpy as np

from ..base.errors import TcnfastError
from ..genome.codes import N
from ..genome.genome import Genome, Region, split_chroms

log = logging.getLogger(__name__)

TRIES = 100  # places drawn for a tile before one that is half N is taken


class UnlabelledTiles:
    """Tiles of ``length`` bases from a genome, at any base, half of them reverse-complemented.

    ``held_out``: regions of the labelled genome, whose contig sizes are ``labelled``, that no tile
    touches. A contig of the same name and length lacks them; one of the same name and another
    length, which may be another assembly, is left out whole, and so is one of another name with the
    length of a contig that has held-out regions. Alternative loci and the like are left out as a
    scan leaves them out.

    Raises TcnfastError where no tile fits into what is left.
    """

    def __init__(
        self, genome: Genome, length: int, held_out: Iterable[Region], labelled: Mapping[str, int]
    ) -> None:
        self.genome, self.length = genome, length
        held_out = list(held_out)
        secret = {labelled[region.chrom] for region in held_out}
        self.stretches: list[Region] = []
        doubtful = []
        for chrom in split_chroms(genome.sizes)[0]:
            size = genome.sizes[chrom]
            if size == labelled.get(chrom, size) and (chrom in labelled or size not in secret):
                cuts = sorted((r.start, r.end) for r in held_out if r.chrom == chrom)
                self.stretches += between(chrom, size, cuts, length)
            else:
                doubtful.append(chrom)
        names = ", ".join(map(str, genome.paths))
        if doubtful:
            words = "%s: %s left out: validation or test sequence may lie in it"
            log.warning(words, names, ", ".join(doubtful))
        if not self.stretches:
            raise TcnfastError(f"{names}: no tile of {length} bases lies outside held-out regions")
        room = np.array([r.end - r.start - length + 1 for r in self.stretches], np.float64)
        self._weight = np.cumsum(room / room.sum())

    def draw(self, rng: np.random.Generator, tiles: int) -> np.ndarray:
        """Codes uint8 (tiles, length). A tile that is more than half N is drawn again."""
        codes = np.empty((tiles, self.length), np.uint8)
        for tile in codes:
            for _ in range(TRIES):
                at = min(np.searchsorted(self._weight, rng.random()), len(self._weight) - 1)
                chrom, first, end = self.stretches[at]
                start = int(rng.integers(first, end - self.length + 1))
                self.genome.codes(chrom, start, start + self.length, tile)
                if np.count_nonzero(tile == N) <= self.length // 2:
                    break
            if rng.random() < 0.5:
                tile[:] = np.where(tile < N, 3 - tile, N)[::-1]
        return codes


def between(chrom: str, size: int, cuts: Iterable[tuple[int, int]], length: int) -> list[Region]:
    """The stretches of a contig outside ``cuts``, sorted (start, end), that hold ``length``."""
    stretches, at = [], 0
    for start, end in [*cuts, (size, size)]:
        if start - at >= length:
            stretches.append(Region(chrom, at, start))
        at = max(at, end)
    return stretches
