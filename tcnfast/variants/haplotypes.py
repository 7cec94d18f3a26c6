"""The genome around an allele, with REF or with ALT in it."""

from __future__ import annotations

import numpy as np

from ..genome.codes import encode
from ..genome.genome import Genome
from .records import Allele


def haplotype(
    genome: Genome, allele: Allele, letters: bytes, before: int, length: int
) -> np.ndarray:
    """uint8 codes (length,) of a stretch that begins ``before`` bases left of the allele and holds
    ``letters`` in place of REF; N beyond the contig's ends."""
    left = genome.codes(allele.chrom, allele.pos - before, allele.pos)
    middle = encode(letters)
    after = length - before - len(middle)
    if after <= 0:
        return np.concatenate([left, middle])[:length]
    start = allele.pos + len(allele.ref)
    return np.concatenate([left, middle, genome.codes(allele.chrom, start, start + after)])


def haplotype_from_right(genome: Genome, allele: Allele, after: int, length: int) -> np.ndarray:
    """uint8 codes (length,) of a stretch with ALT that ends ``after`` bases right of REF's end."""
    end = allele.pos + len(allele.ref)
    right = genome.codes(allele.chrom, end, end + after)
    middle = encode(allele.alt)
    before = length - after - len(middle)
    if before <= 0:
        return np.concatenate([middle, right])[-length:]
    return np.concatenate(
        [genome.codes(allele.chrom, allele.pos - before, allele.pos), middle, right]
    )


def both_windows(genome: Genome, alleles: list[Allele], length: int) -> list[np.ndarray]:
    """uint8 codes (n, length) of the windows centred on the first bases of REF, with REF and with
    ALT."""
    sides = [[(allele, getattr(allele, name)) for allele in alleles] for name in ("ref", "alt")]
    return [
        np.stack([haplotype(genome, *pair, length // 2, length) for pair in side]) for side in sides
    ]
