"""Sequences to insert sites into: without the motifs that are going to be inserted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..base.errors import TcnfastError
from ..genome.codes import N
from ..genome.genome import Genome, split_chroms
from ..genome.shuffle import dinucleotide_shuffles
from ..pwm.log_odds import log_odds
from ..pwm.meme import Motif
from ..pwm.placements import best_placements

GC = 0.41  # of random sequence: about that of the human genome
CANDIDATES = 20  # drawn for each background that is kept
_TRIES = 50  # rounds of drawing from a genome, before it is found to be all N


def draw_backgrounds(
    kind: str, number: int, width: int, seed: int, genome: Genome | None, motifs: Sequence[Motif]
) -> tuple[np.ndarray, float]:
    """Codes uint8 (number, width) without N, and the best relative score of a motif left in them.

    ``kind``: "genome", windows at random places; "shuffled", the same with their dinucleotides
    shuffled; "random", independent bases. Of 20 times as many, those are kept whose best placement
    of any of ``motifs`` is worst; a relative score is a placement's log-odds over the highest that
    the motif can reach. Raises TcnfastError where the genome has no such windows.
    """
    rng = np.random.default_rng(seed)
    drawn = number * (CANDIDATES if motifs else 1)
    if kind == "random":
        share = [(1 - GC) / 2, GC / 2, GC / 2, (1 - GC) / 2]
        codes = rng.choice(4, (drawn, width), p=share).astype(np.uint8)
    elif genome is None:
        raise TcnfastError(f"background {kind}: needs a genome, or take random")
    else:
        codes = _from_genome(genome, drawn, width, rng)
    if kind == "shuffled":
        codes = dinucleotide_shuffles(codes, rng)
    if not motifs:
        return codes, float("nan")
    best = relative_scores(codes, motifs).max(1)
    kept = np.sort(np.argsort(best, kind="stable")[:number])
    return codes[kept], float(best[kept].max())


def relative_scores(codes: np.ndarray, motifs: Sequence[Motif]) -> np.ndarray:
    """Best placement of each motif in each row of codes (n, width), on either strand, over the
    highest score that the motif can reach: float32 (n, motifs)."""
    scores = np.empty((len(codes), len(motifs)), np.float32)
    for column, motif in enumerate(motifs):
        matrix = log_odds(motif)
        scores[:, column] = best_placements(codes, matrix)[1] / matrix.max(1).sum()
    return scores


def _from_genome(genome: Genome, number: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Windows without N at random places of the contigs that a scan would take."""
    chroms = [chrom for chrom in split_chroms(genome.sizes)[0] if genome.sizes[chrom] >= width]
    sizes = np.array([genome.sizes[chrom] - width + 1 for chrom in chroms])
    kept: list[np.ndarray] = []
    for _ in range(_TRIES if chroms else 0):
        for place in rng.integers(0, sizes.sum(), number - len(kept)).tolist():
            contig = int(np.searchsorted(np.cumsum(sizes), place, side="right"))
            start = place - int(sizes[:contig].sum())
            codes = genome.codes(chroms[contig], start, start + width)
            if not (codes == N).any():
                kept.append(codes)
        if len(kept) == number:
            return np.stack(kept)
    raise TcnfastError(f"the genome has too few windows of {width} bp without N to draw from")
