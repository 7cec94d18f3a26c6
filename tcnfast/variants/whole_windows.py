"""The window centred on an allele of any kind, scored whole with REF and with ALT: centre mode."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from torch import Tensor

from ..genome.genome import Genome
from .haplotypes import both_windows
from .records import Allele
from .strategy import AT_ONCE, CENTRE


class WholeWindows:
    """A strategy. ``logits`` maps uint8 windows of ``receptive_field`` bases to logits
    (N, 1, labels)."""

    def __init__(self, logits: Callable[[np.ndarray], Tensor], receptive_field: int) -> None:
        self.logits, self.receptive_field = logits, receptive_field

    def __call__(self, genome: Genome, alleles: list[Allele]) -> dict[str, np.ndarray]:
        sides: list[list[np.ndarray]] = [[], []]
        for begin in range(0, len(alleles), AT_ONCE):
            part = alleles[begin : begin + AT_ONCE]
            both = both_windows(genome, part, self.receptive_field)
            for side, codes in zip(sides, both, strict=True):
                side.append(self.logits(codes)[:, 0].cpu().numpy())
        return {name: np.concatenate(side) for name, side in zip(CENTRE, sides, strict=True)}
