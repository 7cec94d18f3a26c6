"""Every step that sees an allele of any kind, from stretches scored whole: full mode."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from ..engines.grid import StackGrid
from ..genome.genome import Genome
from .haplotypes import haplotype, haplotype_from_right
from .records import Allele
from .strategy import AT_ONCE, FULL, over_steps


class WholeSteps:
    """A strategy. ``logits`` maps uint8 stretches of one length to logits (N, scores, labels) on
    ``grid``."""

    def __init__(self, logits: Callable[[np.ndarray], Tensor], grid: StackGrid) -> None:
        self.logits, self.stride = logits, grid.stride
        self.receptive_field = grid.receptive_field

    def __call__(self, genome: Genome, alleles: list[Allele]) -> dict[str, np.ndarray]:
        parts = [
            self._score(genome, alleles[begin : begin + AT_ONCE])
            for begin in range(0, len(alleles), AT_ONCE)
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in FULL}

    def _score(self, genome: Genome, alleles: list[Allele]) -> dict[str, np.ndarray]:
        """Stretches of one length are scored together."""
        alike: dict[int, list[tuple[int, np.ndarray, np.ndarray]]] = {}
        for index, allele in enumerate(alleles):
            for ref, alt in self._stretches(genome, allele):
                alike.setdefault(len(ref), []).append((index, ref, alt))
        sides: list[list[tuple[Tensor, Tensor]]] = [[] for _ in alleles]
        for stretches in alike.values():
            owners, *codes = zip(*stretches, strict=True)
            scored = (self.logits(np.stack(side)) for side in codes)
            for index, *both in zip(owners, *scored, strict=True):
                sides[index].append(both)
        values = {name: [] for name in FULL}
        for pairs in sides:
            ref, alt = (torch.cat(side)[None] for side in zip(*pairs, strict=True))
            exists = torch.ones(ref.shape[:2], dtype=torch.bool)
            for name, value in over_steps(ref, alt, exists).items():
                values[name].append(value[0])
        return {name: np.stack(value) for name, value in values.items()}

    def _stretches(self, genome: Genome, allele: Allele) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Codes with REF and with ALT that give the scores of every step that sees the allele.

        Of each step the ALT window has the same base at its centre as the REF window: those centred
        left of the allele, or in it, keep their left flank, those right of it their right."""
        stride, field = self.stride, self.receptive_field
        half = field // 2
        last = allele.pos + len(allele.ref) - 1
        first_step = max(0, -(-(allele.pos - half - stride // 2) // stride))
        last_step = (last + half - stride // 2) // stride
        last_step = min(last_step, (genome.sizes[allele.chrom] - 1) // stride)
        centres = stride * np.arange(first_step, last_step + 1) + stride // 2
        left = int((centres <= last).sum())
        if left:
            begin, length = centres[0] - half, field + stride * (left - 1)
            alt = haplotype(genome, allele, allele.alt, allele.pos - begin, length)
            yield genome.codes(allele.chrom, begin, begin + length), alt
        if left < len(centres):
            end, length = centres[-1] + half + 1, field + stride * (len(centres) - left - 1)
            alt = haplotype_from_right(genome, allele, end - last - 1, length)
            yield genome.codes(allele.chrom, end - length, end), alt
