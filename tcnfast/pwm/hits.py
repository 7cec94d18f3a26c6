"""Where the found motifs occur in given regions, by their frequencies alone: FIMO (Grant et al.
2011, Bioinformatics 27:1017) through memelite."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..base.errors import TcnfastError
from ..genome.codes import N
from ..genome.genome import Genome
from ..genome.intervals import Intervals
from .meme import Motif

THRESHOLD = 1e-4  # p-value of a hit; FIMO's own default
_TOLD = ("motif_name", "strand", "score", "p-value")


@dataclass(frozen=True)
class Hit:
    """A place that a motif fits. ``score``: bits over uniform bases; ``p``: of that score."""

    chrom: str
    start: int
    end: int
    motif: str
    strand: str
    score: float
    p: float


def find_hits(
    genome: Genome, regions: Intervals, motifs: Sequence[Motif], threshold: float = THRESHOLD
) -> list[Hit]:
    """Hits of all motifs that lie wholly inside a region, sorted by place.

    Regions that overlap are joined first, so that a place is told once. A place with N is not a
    hit. The p-value is that of the score in uniform random bases.
    """
    if not motifs or not len(regions):
        return []
    try:
        from memelite import fimo
    except ImportError:
        raise TcnfastError("memelite is not installed: pip install 'tcnfast[motifs]'") from None

    chrom, start, end = join(regions)
    gap = max(len(motif.probabilities) for motif in motifs)
    codes, begins = _concatenate(genome, chrom, start, end, gap)
    one_hot = np.eye(5, 4, dtype=np.int8)[codes].T[None]
    matrices = {motif.id: np.ascontiguousarray(motif.probabilities.T) for motif in motifs}
    unknown = np.concatenate([[0], np.cumsum(codes == N)])
    hits = []
    for table in fimo(matrices, np.ascontiguousarray(one_hot), threshold=threshold):
        first, last = table["start"].to_numpy(np.int64), table["end"].to_numpy(np.int64)
        # what lies between regions is N, so a hit without N lies in one of them
        rows = np.flatnonzero(unknown[last] == unknown[first])
        region = np.searchsorted(begins, first[rows], side="right") - 1
        place = start[region] + first[rows] - begins[region]
        told = [table[name].to_numpy()[rows].tolist() for name in _TOLD]
        length = (last - first)[rows]
        columns = chrom[region].tolist(), place.tolist(), (place + length).tolist(), *told
        hits += [Hit(*row) for row in zip(*columns, strict=True)]
    return sorted(hits, key=lambda hit: (hit.chrom, hit.start, hit.motif, hit.strand))


def join(regions: Intervals) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Contig, start and end of regions, sorted, those that overlap or touch made one."""
    joined: list[list] = []
    for chrom in regions.chroms:
        here = regions.on(chrom)
        for start, end in zip(here.start.tolist(), here.end.tolist(), strict=True):
            if joined and joined[-1][0] == chrom and start <= joined[-1][2]:
                joined[-1][2] = max(joined[-1][2], end)
            else:
                joined.append([chrom, start, end])
    chrom, start, end = zip(*joined, strict=True)
    return np.array(chrom, object), np.array(start, np.int64), np.array(end, np.int64)


def _concatenate(
    genome: Genome, chrom: np.ndarray, start: np.ndarray, end: np.ndarray, gap: int
) -> tuple[np.ndarray, np.ndarray]:
    """All regions in one array of codes, ``gap`` N behind each, and where each begins."""
    between = np.full(gap, N, np.uint8)
    parts = []
    for region in zip(chrom, start, end, strict=True):
        parts += [genome.codes(*region), between]
    lengths = end - start + gap
    return np.concatenate(parts), np.cumsum(lengths) - lengths
