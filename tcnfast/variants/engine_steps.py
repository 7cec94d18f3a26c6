"""Every step that sees a single base, by the C++ engine: full mode on a processor.

The windows of the steps that see a single base are a run (:meth:`Substitutions.pairs`): what the
base changes is computed once for all of them, and what they are without it once for all variants
of a stretch. (Whole stretches with other alleles are scored no faster so than by a plan, .91 to
1.06 times, with the same bits: benchmarks/results/house.csv.)
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..engines.cpu_engine import ChangedWindows
from ..genome.genome import Genome
from .engine_windows import EngineWindows
from .records import Allele
from .strategy import AT_ONCE, FULL, by_contig, empty_columns, over_steps

WINDOWS_AT_ONCE = 2**17


class EngineSteps(EngineWindows):
    """A strategy for single bases; steps are ``stride`` bases apart."""

    def __init__(self, *of_windows: object, stride: int) -> None:
        super().__init__(*of_windows)
        self.stride = stride
        self.at_once = max(1, min(AT_ONCE, WINDOWS_AT_ONCE * stride // self.receptive_field))

    def __call__(self, genome: Genome, alleles: list[Allele]) -> dict[str, np.ndarray]:
        columns = empty_columns(FULL, len(alleles), self.labels)
        for chrom, rows, positions, codes in by_contig(alleles):
            first, counts = self._steps(positions, genome.sizes[chrom])
            begins = self.stride * first + self.stride // 2 - self.half
            ends = begins + self.receptive_field + self.stride * (counts - 1)
            for begin in range(0, len(rows), self.at_once):
                part = slice(begin, begin + self.at_once)
                stretches, starts = self.stretches(genome, chrom, begins[part], ends[part])
                places, n = positions[part] - begins[part], counts[part]
                run = ChangedWindows(stretches, starts, places, codes[part], n, self.stride)
                pair = self.score(run)
                for name, values in over_steps(*_by_allele(pair, n)).items():
                    columns[name][rows[part]] = values
        return columns

    def _steps(self, positions: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
        """The first step of the contig whose window holds each position, and how many do."""
        # the window of step j is centred on base stride j + stride // 2
        first = -(-(positions - self.half - self.stride // 2) // self.stride)
        last = (positions + self.half - self.stride // 2) // self.stride
        first, last = np.maximum(first, 0), np.minimum(last, (size - 1) // self.stride)
        return first, last - first + 1


def _by_allele(pair: list[Tensor], counts: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
    """Logits (windows, labels) of both sides as (alleles, steps, labels), and which steps exist."""
    number = torch.from_numpy(counts)[:, None]
    step = torch.arange(int(counts.max()))
    exists = step < number
    at = number.cumsum(0) - number + torch.minimum(step, number - 1)
    return pair[0][at], pair[1][at], exists
