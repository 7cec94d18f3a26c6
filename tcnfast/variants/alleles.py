"""Alleles against the genome: what a variant replaces, checked, and the sequence around it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..base.errors import TcnfastError
from ..genome.codes import encode
from ..genome.genome import Genome
from .records import Allele

CHECKED_FIRST = 1000  # alleles, before many mismatches stop a run
MISMATCHES_ALLOWED = 0.1  # of them; random bases mismatch at 0.75


@dataclass
class ReferenceCheck:
    """Counts REF alleles that are in the genome and stops where they hardly ever are."""

    genome: Genome
    path: str
    checked: int = 0
    mismatches: int = 0
    example: str = ""

    def matches(self, allele: Allele) -> bool:
        """Whether the genome has REF at the allele's place; N matches N alone."""
        size = self.genome.sizes[allele.chrom]
        end = allele.pos + len(allele.ref)
        here = self.genome.codes(allele.chrom, allele.pos, end) if end <= size else None
        same = here is not None and np.array_equal(here, encode(allele.ref))
        self.checked += 1
        if not same:
            self.mismatches += 1
            if not self.example:
                found = "its end" if here is None else "".join("ACGTN"[code] for code in here[:20])
                self.example = (
                    f"{allele.chrom}:{allele.pos + 1} REF {allele.ref.decode()[:20]}, "
                    f"the genome has {found}"
                )
        return same

    def stop_if_wrong(self, finished: bool = False) -> None:
        """Raise TcnfastError if too many REF alleles are not in the genome."""
        if self.checked < CHECKED_FIRST and not finished:
            return
        if self.mismatches > max(1, MISMATCHES_ALLOWED * self.checked):
            raise TcnfastError(
                f"{self.path}: {self.mismatches} of {self.checked} REF alleles are not in the "
                f"genome ({self.example}); is it of another assembly?"
            )


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


def is_snv(allele: Allele) -> bool:
    """One known base for another: what the cone recomputes; all else is scored by whole windows."""
    return len(allele.ref) == len(allele.alt) == 1 and allele.alt != b"N"


def kind(allele: Allele) -> str:
    """``snv``, ``mnv``, ``insertion``, ``deletion`` or ``indel`` (both lengths differ and > 1)."""
    ref, alt = len(allele.ref), len(allele.alt)
    if ref == alt:
        return "snv" if ref == 1 else "mnv"
    if ref == 1 or alt == 1:
        return "insertion" if alt > ref else "deletion"
    return "indel"
