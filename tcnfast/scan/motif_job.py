"""What is asked of a scan for motifs, checked before anything is written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from ..base.errors import TcnfastError
from ..base.jit import jit
from ..base.options import Run, setting
from ..engines.backend import MOTIF_HITS, choose, choose_device
from ..genome.genome import Genome
from ..pwm import P_VALUE
from ..pwm.hits import HitFinder
from ..pwm.meme import Motif, MotifError, read_meme
from . import ScanOptions
from .job import Job
from .pieces import segment_spans
from .pipeline import read_ahead
from .scan_folder import motif_file_names

_COUNTED_BASES = 2**22  # at once


class MotifJob(Job):
    """A job with motifs, the scores that are hits, and what finds them."""

    input_name = "inputs"

    def __init__(self, genome: Genome, options: ScanOptions, run: Run) -> None:
        self.meme = Path(options.motifs)
        self.device = choose_device(run.device)
        self.backend = choose(MOTIF_HITS, run.backend, self.device, "fp32").backend
        super().__init__(genome, options, run, 1, [self.meme])
        self.p_value = P_VALUE if options.p_value is None else options.p_value
        self.motifs = _chosen_motifs(self.meme, options.targets)
        self.names = motif_file_names([(motif.id, motif.name) for motif in self.motifs])
        given = options.background
        background = composition(genome, self.sizes) if given is None else given
        self.finder = HitFinder(self.motifs, background, self.p_value)

    @property
    def background(self) -> np.ndarray:
        """Shares of ACGT that scores and p-values are over, float64 (4,)."""
        return self.finder.background

    @property
    def without_hits(self) -> list[str]:
        """Ids of motifs whose best site is not rare enough."""
        thresholds = self.finder.thresholds.tolist()
        rows = zip(self.motifs, thresholds, strict=True)
        return [motif.id for motif, threshold in rows if np.isnan(threshold)]

    def own_key(self) -> dict:
        return {
            "motifs": [motif.id for motif in self.motifs],
            "p_value": self.p_value,
            "background": self.background.tolist(),
        }


def composition(genome: Genome, sizes: dict[str, int]) -> np.ndarray:
    """Shares of A, C, G and T in contigs: float64 (4,). TcnfastError where one is not there."""
    spans = {chrom: segment_spans(0, size, _COUNTED_BASES) for chrom, size in sizes.items()}
    pieces = [(chrom, *span) for chrom, found in spans.items() for span in found]

    def count(piece: tuple[str, int, int]) -> np.ndarray:
        counts = np.zeros(5, np.int64)
        _count(genome.codes(*piece), counts)
        return counts

    total = np.zeros(5, np.int64)
    for _, counts in read_ahead(pieces, count, torch.get_num_threads()):
        total += counts
    if not total[:4].all():
        raise TcnfastError(
            f"the genome holds no {'ACGT'[int(total[:4].argmin())]} in the contigs to scan; give "
            f"a {setting('background')}"
        )
    return total[:4] / total[:4].sum()


@jit
def _count(codes, counts):
    for code in codes:
        counts[code] += 1


def _chosen_motifs(meme: Path, targets: Sequence[str] | None) -> list[Motif]:
    motifs = read_meme(meme)
    if targets is None or list(targets) == ["all"]:
        return motifs
    for name in targets:
        if not any(motif.id == name or motif.is_named(name) for motif in motifs):
            raise MotifError(f"{meme}: has no motif of the id or name {name!r}")
    return [m for m in motifs if any(m.id == name or m.is_named(name) for name in targets)]
