"""The streaming pipeline: the codes of stretches through a plan, segment by segment.

Threads read the next segments while one is scored, and another thread takes in the results of the
one before; what is in memory is a few segments, whatever the genome.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..base.errors import TcnfastError
from ..engines.plan import Plan
from ..engines.segments import segment_length
from ..model.tcn import TCN
from .compact import CompactDevice
from .devices import DenseDevice, Hits, Segment, Wanted
from .reading import Window, groups, read
from .stages import Stages
from .stream import Behind, read_ahead
from .stretches import Stretch, n_steps, segment_spans

RCS = ("none", "mean", "max")
READERS = 8  # threads at most: at 1 Gb/s each more than a GPU takes


class Scorer:
    """A model ready to score codes on one or both strands.

    ``rc``: "none" scores the plus strand, "mean" the mean of both strands' logits, "max" the
    larger one.
    """

    def __init__(self, model: TCN, rc: str = "mean", **plan_options) -> None:
        if rc not in RCS:
            raise TcnfastError(f"rc {rc!r}: must be one of {', '.join(RCS)}")
        strands = {"none": ["+"], "mean": ["both"], "max": ["+", "-"]}[rc]
        self.plans = [Plan(model, strand=strand, **plan_options) for strand in strands]
        self.plan = self.plans[0]
        self.label_bin = model.config.label_bin

    @torch.inference_mode()
    def scores(self, codes: np.ndarray | Tensor) -> Tensor:
        """uint8 codes (B, T) -> float32 logits (B, (T - RF) // stride + 1, labels), on the plan's
        device."""
        logits = self.plans[0](codes)
        for plan in self.plans[1:]:
            logits = torch.maximum(logits, plan(codes))
        return logits

    def __call__(self, codes: np.ndarray) -> np.ndarray:
        """The same as numpy's."""
        return self.scores(codes).cpu().numpy()


class Work(NamedTuple):
    """Segments of a stretch that are scored together; none where nobody asked for any."""

    stretch: Stretch
    spans: list[tuple[int, int]]
    begins: bool  # the stretch
    ends: bool


class Pipeline:
    """A scorer with the threads around it.

    ``wanted``: what is kept of the logits, None for all of them. ``batch_size``: segments scored in
    one call; ``segment_bases``: in a segment, by default what suits the plan and the memory of its
    device. Scores do not depend on either.
    """

    def __init__(
        self,
        scorer: Scorer,
        genome,
        wanted: Wanted | None,
        *,
        batch_size: int = 1,
        segment_bases: int | None = None,
        stages: Stages | None = None,
    ) -> None:
        plan = scorer.plan
        self.genome, self.batch_size = genome, batch_size
        self.stages = stages or Stages()
        self.window = Window(plan.stride, plan.receptive_field, scorer.label_bin)
        self.compacts = wanted is not None and compacts(plan)
        if self.compacts:
            self.device = CompactDevice(scorer, wanted, self.window, self.stages)
            length = self.device.segment_bases(plan.segment_bases, len(plan.labels), batch_size)
            self.readers = max(1, min(READERS, torch.get_num_threads()))
        else:
            self.device, length = DenseDevice(scorer, self.stages), segment_length(plan)
            self.readers = 1  # more would take the processor from the network
        self.segment_steps = max(1, (segment_bases or length) // plan.stride)

    def works(
        self, stretch: Stretch, wanted: Callable[[int, int], bool] | None = None
    ) -> Iterator[Work]:
        """What there is to do for a stretch. ``wanted(first, last)`` may drop segments."""
        spans = segment_spans(stretch.first, stretch.last, self.segment_steps, wanted)
        batches = list(groups(spans, self.batch_size)) or [[]]
        for index, batch in enumerate(batches):
            yield Work(stretch, batch, index == 0, index == len(batches) - 1)

    def scored(self, works: Iterable[Work]) -> Iterator[tuple[Work, Callable[[], list]]]:
        """Each work, in order, with what gives the segments of its scores once they are there."""

        def reading(work: Work):
            if work.spans:
                chrom, buffers = work.stretch.chrom, self.device.buffers
                return read(self.genome, chrom, work.spans, self.window, buffers, self.stages)

        with closing(read_ahead(works, reading, self.readers)) as stream:
            for work, batch in stream:
                yield work, self.device.submit(batch).result if batch else list

    def run(
        self, works: Iterable[Work], take: Callable[[Work, list[Segment] | list[Hits]], None]
    ) -> None:
        """Score the works; ``take`` runs in a thread of its own, in order."""
        # threads that read are gone when this returns, whatever went wrong
        with closing(self.scored(works)) as scored:
            with Behind(lambda work, result: take(work, result())) as behind:
                for work, result in scored:
                    behind.put(work, result)


def compacts(plan: Plan) -> bool:
    """Whether the scores of a plan are on a device of its own, from where only hits come back."""
    return plan.device.type == "cuda"


def scan_contig(
    scorer: Scorer,
    genome,
    chrom: str,
    *,
    batch_size: int = 1,
    wanted: Callable[[int, int], bool] | None = None,
    segment_bases: int | None = None,
) -> Iterator[Segment]:
    """Logits of every step of a contig, in order, with N around its ends; ``wanted`` may drop
    segments of steps [first, last)."""
    pipeline = Pipeline(scorer, genome, None, batch_size=batch_size, segment_bases=segment_bases)
    steps = n_steps(genome.sizes[chrom], scorer.plan.stride)
    whole = Stretch(0, chrom, 0, steps, steps)
    with closing(pipeline.scored(pipeline.works(whole, wanted))) as scored:
        for _, result in scored:
            yield from result()
