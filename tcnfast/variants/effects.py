"""Effects of alleles on every label: logits with REF and with ALT, of one window or of every step.

Each way to score an allele is a strategy in a file of its own; this one chooses.

=======  ==============  ==================  =================
mode     backend         single bases        all else
=======  ==============  ==================  =================
centre   cpu             EngineWindows       WholeWindows
centre   any other       ConeWindows         WholeWindows
full     cpu             EngineSteps         WholeSteps
full     any other       ConeSteps           WholeSteps
=======  ==============  ==================  =================
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..base.errors import TcnfastError
from ..base.finite import check_scores
from ..base.options import STRANDS, setting
from ..engines import reference
from ..engines.backend import VARIANTS, choose, choose_device
from ..engines.cone import Cone
from ..engines.grid import StackGrid
from ..engines.plan import Plan
from ..genome.genome import Genome
from ..model.ensemble import Ensemble
from ..model.tcn import TCN
from .cone_steps import ConeSteps
from .cone_windows import ConeWindows
from .engine_steps import EngineSteps
from .engine_windows import EngineWindows
from .records import Allele
from .strategy import CENTRE, FULL, Strategy, empty_columns, once, over_strands
from .whole_steps import WholeSteps
from .whole_windows import WholeWindows


class EffectScorer:
    """``mode`` "centre": the window centred on the first base of REF, with either allele. "full":
    every step of the contig, ``stride`` bases apart, whose window holds a base of the allele.

    ``strand``: "+", "-", or "both" (mean) or "max" over strands, of logits; ``symmetric``: whether
    they are the same, as those of symmetric networks, so that one pass gives all. ``single`` and
    ``others`` are the strategies for single bases and for all else. Raises TcnfastError for a mode,
    strand or stride that there is not.
    """

    def __init__(
        self,
        model: TCN | Ensemble,
        mode: str = "centre",
        stride: int = 32,
        strand: str = "both",
        device: str = "auto",
    ) -> None:
        if mode not in ("centre", "full"):
            raise TcnfastError(f"mode {mode!r}: must be centre or full")
        if strand not in STRANDS:
            raise TcnfastError(f"strand {strand!r}: must be one of {', '.join(STRANDS)}")
        widest = 2 ** min(member.config.blocks for member in model.members)
        if mode == "full" and stride > widest:
            raise TcnfastError(f"{setting('stride')} {stride}: at most {widest} for variants")
        self.mode, self.strand, self.labels = mode, strand, list(model.labels)
        self.names = CENTRE if mode == "centre" else FULL
        # on the grids of a single window nothing is computed that its one score does not need
        self.stride = stride if mode == "full" else widest
        self.device = choose_device(device)
        grids = tuple(member.config.grid(self.stride) for member in model.members)
        self.backend = choose(VARIANTS, "auto", self.device, "fp32", grids=grids).backend
        folded = [member.folded() for member in model.members]
        self.symmetric = all(weights.symmetric for weights in folded)
        strands = [strand] if strand in "+-" else ["+"] if self.symmetric else ["+", "-"]
        weights = [[w.strands(s, grids[0])[0] for w in folded] for s in strands]
        self.single, self.others = self._strategies(model, grids[0], strands, weights)

    def _strategies(
        self,
        model: TCN | Ensemble,
        grid: StackGrid,
        strands: list[str],
        weights: list[list[reference.StackWeights]],
    ) -> tuple[Strategy, Strategy]:
        config = model.members[0].config
        window = weights, config.grid(2**config.blocks), self.strand
        if self.mode == "centre" and self.backend == "cpu":
            engine = EngineWindows(*window)
            return engine, WholeWindows(engine.windows, engine.receptive_field)
        options = dict(precision="fp32", stride=self.stride, backend=self.backend)
        passes = strands if self.strand == "max" or self.symmetric else [self.strand]
        plans = [Plan(model, str(self.device), strand=strand, **options) for strand in passes]

        def logits(codes: np.ndarray) -> Tensor:
            """uint8 codes (N, T) -> logits (N, scores, labels)."""
            return over_strands([plan(codes) for plan in plans], self.strand)

        if self.mode == "full" and self.backend == "cpu":
            return EngineSteps(*window, stride=self.stride), WholeSteps(logits, grid)
        cones = once(lambda w: Cone(w, grid, self.device, self.backend), weights)
        if self.mode == "centre":
            field = grid.receptive_field
            return ConeWindows(cones, self.strand, config), WholeWindows(logits, field)
        return ConeSteps(cones, self.strand, config), WholeSteps(logits, grid)

    def __call__(self, genome: Genome, alleles: list[Allele]) -> dict[str, np.ndarray]:
        """Columns float32 (alleles, labels) of ``alleles``, in their order, which may be any."""
        columns = empty_columns(self.names, len(alleles), len(self.labels))
        single = np.array([allele.is_snv for allele in alleles], bool)
        for strategy, chosen in ((self.single, single), (self.others, ~single)):
            rows = np.flatnonzero(chosen)
            if len(rows):
                for name, values in strategy(genome, [alleles[row] for row in rows]).items():
                    check_scores(torch.from_numpy(values), "the model")
                    columns[name][rows] = values
        return columns
