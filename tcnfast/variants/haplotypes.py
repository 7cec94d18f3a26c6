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
    end = allele.pos + len(allele.ref)
    left = genome.codes(allele.chrom, allele.pos - before, allele.pos)
    right = genome.codes(allele.chrom, end, end + max(0, length - before - len(letters)))
    return np.concatenate([left, encode(letters), right])[:length]


def haplotype_from_right(genome: Genome, allele: Allele, after: int, length: int) -> np.ndarray:
    """uint8 codes (length,) of a stretch with ALT that ends ``after`` bases right of REF's end."""
    end = allele.pos + len(allele.ref)
    before = max(0, length - after - len(allele.alt))
    left = genome.codes(allele.chrom, allele.pos - before, allele.pos)
    right = genome.codes(allele.chrom, end, end + after)
    return np.concatenate([left, encode(allele.alt), right])[-length:]


def both_windows(genome: Genome, alleles: list[Allele], length: int) -> list[np.ndarray]:
    """uint8 codes (n, length) of the windows centred on the first bases of REF, with REF and with
    ALT."""

    def side(name: str) -> np.ndarray:
        codes = (haplotype(genome, x, getattr(x, name), length // 2, length) for x in alleles)
        return np.stack(list(codes))

    return [side("ref"), side("alt")]
