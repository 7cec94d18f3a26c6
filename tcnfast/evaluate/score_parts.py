"""Held-out regions scored in parts, for shards and clusters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..data.dataset import Dataset
from ..engines.plan import Plan
from ..engines.segments import segment_length
from ..genome.genome import Region
from ..scan.part_files import Part
from ..scan.stretch_worker import Ran
from .predict import region_logits


def segment_steps(plan: Plan) -> int:
    """Steps of a segment that suits a plan."""
    return max(1, segment_length(plan) // plan.stride)


def score_parts(
    segments: Sequence[int], stride: int, dataset: Dataset, regions: Sequence[Region], reach: int
) -> list[Part]:
    """A segment of a region each, of every plan, in order. ``segments``: the steps of one of each
    plan's. ``what``: which plan and region, and the first step and the one behind the last."""
    parts: list[Part] = []
    for side, steps in enumerate(segments):
        for at, region in enumerate(regions):
            centres = dataset.centres(region, reach, stride)
            for first in range(0, len(centres), steps):
                last = min(first + steps, len(centres))
                place = f"{region.chrom}:{centres[first] + 1}-{centres[last - 1] + 1}"
                what, bases = (side, at, first, last), (last - first) * stride
                parts.append(Part(len(parts), f"model {side + 1}, {place}", what, bases))
    return parts


class ScoreMaker:
    """Scores the segment of a part. ``opened``: what must stay open meanwhile."""

    def __init__(
        self,
        plans: Sequence[Plan],
        dataset: Dataset,
        regions: Sequence[Region],
        reach: int,
        opened: object = None,
    ) -> None:
        self._plans, self._dataset, self._regions = plans, dataset, regions
        self._opened = opened
        self._reach, self.ran = reach, Ran.of(plans[0])

    def arrays(self, part: Part) -> dict[str, np.ndarray]:
        """float32 ``logits`` (steps, labels)."""
        side, at, first, last = part.what
        plan, region = self._plans[side], self._regions[at]
        centres = self._dataset.centres(region, self._reach, plan.stride)[first:last]
        logits = region_logits(plan, self._dataset, region, centres)
        return {"logits": np.concatenate(list(logits))}


@dataclass(frozen=True)
class MakeScores:
    """Makes the maker of another process; picklable. ``open``: gives what it takes."""

    open: Callable[..., tuple]
    given: tuple

    def __call__(self) -> ScoreMaker:
        return ScoreMaker(*self.open(*self.given))


def scored(parts: Sequence[Part], files: Sequence[Path], side: int) -> Iterator[np.ndarray]:
    """Logits of one of the plans, file by file."""
    for part in parts:
        if part.what[0] == side:
            with np.load(files[part.number]) as file:
                yield file["logits"]
