"""Effects of alleles on every label: logits with REF and with ALT, of one window or of every step.

Single bases go through the cone (:mod:`tcnfast.engines.cone`), everything else through
whole windows; on a processor, centre mode goes through the C++ engine's pairs of windows
(:mod:`tcnfast.variants.window_pairs`). All arithmetic is float32: an effect is a small
difference.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from ..base.errors import TcnfastError
from ..engines import reference
from ..engines.backend import VARIANTS, choose, choose_device
from ..engines.cone import Activations, Cone, touched
from ..engines.grid import StackGrid
from ..engines.plan import Plan
from ..genome.genome import Genome
from ..model.ensemble import Ensemble
from ..model.tcn import TCN
from .alleles import haplotype, haplotype_from_right, is_snv
from .records import Allele
from .variant_tiles import CORES, Tiling
from .window_pairs import WindowPairs

CENTRE = ("ref_logit", "alt_logit")
FULL = ("ref_logit", "alt_logit", "max_delta_logit", "sum_delta_logit")
AT_ONCE = 4096  # alleles
LOGITS_AT_ONCE = 2**24  # of steps: 64 MiB
WINDOW_CONVOLUTIONS = 2.0  # of a window's own grid, per base of it: 1,977 in 1,037


@dataclass
class Effects:
    """Columns float32 (alleles, labels), NaN where an allele was not scored."""

    columns: dict[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def empty(cls, names: Iterable[str], alleles: int, labels: int) -> Effects:
        return cls({name: np.full((alleles, labels), np.nan, np.float32) for name in names})

    def spread(self, where: np.ndarray) -> Effects:
        """These rows at the true places of bool ``where``, NaN elsewhere."""
        out = Effects(
            {
                name: np.full((len(where), values.shape[1]), np.nan, np.float32)
                for name, values in self.columns.items()
            }
        )
        out.put(where, self.columns)
        return out

    def put(self, where: np.ndarray, values: dict[str, np.ndarray]) -> None:
        for name, value in values.items():
            self.columns[name][where] = value


class EffectScorer:
    """``mode`` "centre": the window centred on the first base of REF, with either allele. "full":
    every step of the contig, ``stride`` bases apart, whose window holds a base of the allele.

    ``rc``: "none", "mean" or "max" over strands, of logits. Raises TcnfastError for a mode, rc or
    stride that there is not.
    """

    def __init__(
        self,
        model: TCN | Ensemble,
        mode: str = "centre",
        stride: int = 32,
        rc: str = "mean",
        device: str = "auto",
    ) -> None:
        if mode not in ("centre", "full"):
            raise TcnfastError(f"mode {mode!r}: must be centre or full")
        if rc not in ("none", "mean", "max"):
            raise TcnfastError(f"rc {rc!r}: must be none, mean or max")
        members = model.members
        widest = 2 ** min(member.config.blocks for member in members)
        if mode == "full" and stride > widest:
            raise TcnfastError(f"stride {stride}: at most {widest} for variants")
        self.mode, self.rc, self.labels = mode, rc, list(model.labels)
        self.receptive_field = model.receptive_field
        self.half = self.receptive_field // 2
        self.names = CENTRE if mode == "centre" else FULL
        # on the grids of a single window nothing is computed that its one score does not need
        self.stride = stride if mode == "full" else widest
        strands = ["+"] if rc == "none" else ["+", "-"]
        self.device = choose_device(device)
        grids = tuple(member.config.grid(self.stride) for member in members)
        self.backend = choose(VARIANTS, "auto", self.device, "fp32", grids=grids).backend
        options = dict(precision="fp32", stride=self.stride, backend=self.backend)
        self.plans = [Plan(model, str(self.device), strand=strand, **options) for strand in strands]
        self.members = members
        grid = members[0].config.grid(self.stride)
        weights = [[_weights(m, grid, s) for m in members] for s in strands]
        self.cones: list[list[Cone]] = []
        self.pairs: WindowPairs | None = None
        if mode == "centre" and self.backend == "cpu":
            self.pairs = WindowPairs(weights, grid, self._over_strands)
        else:
            kind = functools.partial(Cone, grid=grid, device=self.device, backend=self.backend)
            self.cones = [[kind(w) for w in strand] for strand in weights]

    def __call__(self, genome: Genome, alleles: list[Allele]) -> Effects:
        """Effects of ``alleles``, in their order, which may be any."""
        effects = Effects.empty(self.names, len(alleles), len(self.labels))
        single = [index for index, allele in enumerate(alleles) if is_snv(allele)]
        self._score_single(genome, alleles, np.array(single, np.int64), effects)
        others = [index for index, allele in enumerate(alleles) if not is_snv(allele)]
        score = self._windows if self.mode == "centre" else self._steps
        for begin in range(0, len(others), AT_ONCE):
            where = np.array(others[begin : begin + AT_ONCE])
            effects.put(where, score(genome, [alleles[index] for index in where]))
        return effects

    # --- single bases -----------------------------------------------------------------------------

    def _score_single(self, genome, alleles, where, effects) -> None:
        chroms = np.array([alleles[index].chrom for index in where], object)
        positions = np.array([alleles[index].pos for index in where], np.int64)
        codes = np.array(["ACGT".index(alleles[index].alt.decode()) for index in where], np.uint8)
        for chrom in dict.fromkeys(chroms.tolist()):
            mine = np.flatnonzero(chroms == chrom)
            mine = mine[np.argsort(positions[mine], kind="stable")]
            if self.pairs:
                self._score_pairs(genome, chrom, positions[mine], codes[mine], where[mine], effects)
                continue
            tiling = self._tiling(positions[mine])
            for part, values in self._tiles(genome, chrom, tiling, positions[mine], codes[mine]):
                effects.put(where[mine[part]], values)

    def _score_pairs(self, genome, chrom, positions, codes, where, effects) -> None:
        for begin in range(0, len(positions), AT_ONCE):
            part = slice(begin, begin + AT_ONCE)
            sides = self.pairs.substitutions(genome, chrom, positions[part], codes[part])
            sides = (side.numpy() for side in sides)
            effects.put(where[part], dict(zip(CENTRE, sides, strict=True)))

    def _tiling(self, positions: np.ndarray) -> Tiling:
        """The cheapest tiles for sorted positions of one contig."""
        field, config = self.receptive_field, self.members[0].config
        if self.mode == "full":
            # room for every step that sees a base of the core; tiles begin where a window does
            around = field + self.stride
            around += (self.half - self.stride // 2 - around) % self.stride
            grid = config.grid(self.stride)
            cores = [core for core in CORES if core % self.stride == 0]
            choices = [Tiling(core, around, core + 2 * around, grid) for core in cores]
        else:
            dense = config.grid(1)
            choices = [Tiling(core, self.half, core + field - 1, dense) for core in CORES]
            choices.append(Tiling(1, self.half, field, config.grid(self.stride)))
        return min(choices, key=lambda tiling: self._cost(tiling, positions))

    def _cost(self, tiling: Tiling, positions: np.ndarray) -> float:
        if tiling.core == 1:
            return len(np.unique(positions)) * self.receptive_field * WINDOW_CONVOLUTIONS
        return tiling.cost(positions)

    def _tiles(
        self, genome: Genome, chrom: str, tiling: Tiling, positions: np.ndarray, codes: np.ndarray
    ) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
        """Indices into ``positions`` and the values there."""
        channels = self.members[0].config.channels
        for tiles, starts, bounds in tiling.batches(genome, chrom, positions, channels):
            batch = torch.from_numpy(tiles).to(self.device)
            kept = [[cone.activations(batch, tiling.grid) for cone in x] for x in self.cones]
            for begin in range(bounds[0], bounds[-1], AT_ONCE):
                part = np.arange(begin, min(begin + AT_ONCE, bounds[-1]))
                rows = np.searchsorted(bounds, part, side="right") - 1
                offsets = positions[part] - starts[rows]
                score = self._centre if self.mode == "centre" else self._full
                size = genome.sizes[chrom]
                yield from score(kept, part, rows, offsets, positions[part], codes[part], size)

    def _centre(self, kept, part, rows, offsets, positions, codes, size):
        rows, first, codes = self._tensors(rows, offsets - self.half, codes)

        def ref(cone: Cone, activations: Activations) -> Tensor:
            return cone.reference_logits(activations, rows, first, 1)[:, 0]

        def alt(cone: Cone, activations: Activations) -> Tensor:
            geometry = touched(cone.grid, self.half, self.receptive_field)
            return cone.logits(activations, rows, first, geometry, codes)[:, 0]

        both = {"ref_logit": self._mean(kept, ref), "alt_logit": self._mean(kept, alt)}
        yield part, {name: value.cpu().numpy() for name, value in both.items()}

    def _full(self, kept, part, rows, offsets, positions, codes, size):
        """Variants of one phase to the steps have one geometry."""
        stride, field = self.stride, self.receptive_field
        # window of step j begins at stride j + stride // 2 - half
        step = -(-(positions - field + 1 + self.half - stride // 2) // stride)
        begins = stride * step + stride // 2 - self.half
        bases = positions - begins
        for base in np.unique(bases).tolist():
            alike = np.flatnonzero(bases == base)
            n = base // stride + 1
            at_once = max(1, LOGITS_AT_ONCE // (n * len(self.labels)))
            for begin in range(0, len(alike), at_once):
                mine = alike[begin : begin + at_once]
                at = self._tensors(rows[mine], offsets[mine] - base, codes[mine])
                exists = step[mine, None] + np.arange(n)
                exists = torch.from_numpy((exists >= 0) & (exists * stride < size))
                yield part[mine], self._over_steps(kept, at, base, n, exists)

    def _over_steps(self, kept, at: list[Tensor], base: int, n: int, exists: Tensor):
        """``at``: rows, first bases and new codes of stretches of ``n`` steps that all see
        ``base``."""
        rows, first, codes = at

        def ref(cone: Cone, activations: Activations) -> Tensor:
            return cone.reference_logits(activations, rows, first, n)

        def alt(cone: Cone, activations: Activations) -> Tensor:
            length = self.receptive_field + self.stride * (n - 1)
            return cone.logits(activations, rows, first, touched(cone.grid, base, length), codes)

        return over_steps(self._mean(kept, ref), self._mean(kept, alt), exists)

    def _tensors(self, *arrays: np.ndarray) -> list[Tensor]:
        return [torch.from_numpy(np.ascontiguousarray(array)).to(self.device) for array in arrays]

    def _mean(self, kept, logits) -> Tensor:
        """``logits(cone, activations)``: mean over members, then over strands as ``rc`` says."""
        strands = []
        for cones, activations in zip(self.cones, kept, strict=True):
            parts = [logits(*pair) for pair in zip(cones, activations, strict=True)]
            strands.append(sum(parts) / len(parts))
        return self._over_strands(strands)

    def _over_strands(self, strands: list[Tensor]) -> Tensor:
        if self.rc == "max":
            return torch.maximum(*strands)
        return sum(strands) / len(strands)

    # --- everything else --------------------------------------------------------------------------

    def _score(self, codes: Sequence[np.ndarray]) -> Tensor:
        """uint8 codes, each (T,) -> logits (N, scores, labels)."""
        batch = np.stack(codes)
        return self._over_strands([plan(batch) for plan in self.plans])

    def _windows(self, genome: Genome, alleles: list[Allele]) -> dict[str, np.ndarray]:
        sides = {}
        for name, letters in (("ref_logit", "ref"), ("alt_logit", "alt")):
            codes = [
                haplotype(genome, x, getattr(x, letters), self.half, self.receptive_field)
                for x in alleles
            ]
            if self.pairs:
                sides[name] = self.pairs.windows(np.stack(codes)).numpy()
            else:
                sides[name] = self._score(codes)[:, 0].cpu().numpy()
        return sides

    def _steps(self, genome: Genome, alleles: list[Allele]) -> dict[str, np.ndarray]:
        """Stretches of one length are scored together."""
        alike: dict[int, list[tuple[int, np.ndarray, np.ndarray]]] = {}
        for index, allele in enumerate(alleles):
            for ref, alt in self._stretches(genome, allele):
                alike.setdefault(len(ref), []).append((index, ref, alt))
        sides: list[list[tuple[Tensor, Tensor]]] = [[] for _ in alleles]
        for stretches in alike.values():
            owners, refs, alts = zip(*stretches, strict=True)
            for index, *both in zip(owners, self._score(refs), self._score(alts), strict=True):
                sides[index].append(both)
        values = {name: [] for name in self.names}
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
        stride, field, half = self.stride, self.receptive_field, self.half
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


def over_steps(ref: Tensor, alt: Tensor, exists: Tensor) -> dict[str, np.ndarray]:
    """Logits (V, steps, labels) of both alleles -> what is told of them, each (V, labels).

    ``exists`` bool (V, steps): steps of the contig. ``max_delta_logit`` is the signed difference of
    the step at which it is largest in size.
    """
    there = exists.to(ref.device)[..., None]
    delta = torch.where(there, alt - ref, 0)
    largest = delta.gather(1, delta.abs().argmax(1, keepdim=True))[:, 0]
    values = {
        "ref_logit": torch.where(there, ref, -torch.inf).amax(1),
        "alt_logit": torch.where(there, alt, -torch.inf).amax(1),
        "max_delta_logit": largest,
        "sum_delta_logit": delta.sum(1),
    }
    return {name: value.cpu().numpy() for name, value in values.items()}


def _weights(member: TCN, grid: StackGrid, strand: str) -> reference.StackWeights:
    weights = member.folded()
    return weights if strand == "+" else weights.mirrored(grid)
