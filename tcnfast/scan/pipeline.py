"""The streaming pipeline: the codes of stretches through a network, segment by segment.

Three things happen at the same time: some threads read the next segments, the network scores those
that were read, and one thread takes in the results of those that were scored. Each keeps the order,
and they are at most a few batches apart, so that only a few segments are in memory.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from ..base.finite import check_scores
from ..engines.plan import Plan
from ..engines.segments import segment_length
from .compact import CompactDevice
from .pieces import (
    Batch,
    CompactSegment,
    Segment,
    Stretch,
    Wanted,
    Window,
    alike,
    read,
    segment_spans,
)
from .stages import Stages

if TYPE_CHECKING:
    from ..model.ensemble import Ensemble
    from ..model.tcn import TCN

READERS = 8  # threads at most: at 1 Gb/s each more than a GPU takes
Item = TypeVar("Item")
WRITE_BEHIND = 2  # batches that were scored and not taken in yet


class Scorer:
    """A model ready to score codes.

    ``strand``: "+", "-", "both" (the mean of the two strands' logits) or "max" (the larger one). Of
    a symmetric model they are the same, and one pass gives each.
    """

    def __init__(self, model: TCN | Ensemble, strand: str = "both", **plan_options) -> None:
        first, *other = "+-" if strand == "max" else [strand]
        self.plan = Plan(model, strand=first, **plan_options)
        self.plans = [self.plan]
        if not self.plan.symmetric:
            self.plans += [Plan(model, strand=strand, **plan_options) for strand in other]
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


class SegmentGroup(NamedTuple):
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

    def groups(
        self, stretch: Stretch, wanted: Callable[[int, int], bool] | None = None
    ) -> Iterator[SegmentGroup]:
        """The groups of segments of a stretch. ``wanted(first, last)`` may drop segments."""
        spans = segment_spans(stretch.first, stretch.last, self.segment_steps, wanted)
        batches = list(alike(spans, self.batch_size)) or [[]]
        for index, batch in enumerate(batches):
            yield SegmentGroup(stretch, batch, index == 0, index == len(batches) - 1)

    def scored(
        self, todo: Iterable[SegmentGroup]
    ) -> Iterator[tuple[SegmentGroup, Callable[[], list]]]:
        """Each group, in order, with what gives the segments of its scores once they are there."""

        def reading(group: SegmentGroup):
            if group.spans:
                chrom, buffers = group.stretch.chrom, self.device.buffers
                return read(self.genome, chrom, group.spans, self.window, buffers, self.stages)

        with closing(read_ahead(todo, reading, self.readers)) as stream:
            for group, batch in stream:
                yield group, self.device.submit(batch).result if batch else list

    def run(
        self,
        todo: Iterable[SegmentGroup],
        take: Callable[[SegmentGroup, list[Segment] | list[CompactSegment]], None],
    ) -> None:
        """Score the groups; ``take`` runs in a thread of its own, in order."""
        # threads that read are gone when this returns, whatever went wrong
        with closing(self.scored(todo)) as scored:
            with Behind(lambda group, result: take(group, result())) as behind:
                for group, result in scored:
                    behind.put(group, result)


def compacts(plan: Plan) -> bool:
    """Whether the scores of a plan are on a device of its own, from where only hits come back."""
    return plan.device.type == "cuda"


class DenseDevice:
    """All logits in the memory of the host, as the processor makes them anyway: calling reads them
    as fast as it would write down which are hits."""

    def __init__(self, scorer, stages: Stages) -> None:
        self._scorer, self._stages = scorer, stages

    @staticmethod
    def buffers(n: int, length: int, steps: int) -> tuple[np.ndarray, np.ndarray, None]:
        return np.empty((n, length), np.uint8), np.empty((n, steps), bool), None

    def submit(self, batch: Batch) -> Ready:
        known = ~batch.unknown.all(1)
        with self._stages.timed("compute"):
            if known.all():
                logits = self._scorer(batch.codes)
            else:
                logits = self._some(batch, known)
        if known.any():  # a step of each segment: weights that overflow do so anywhere
            check_scores(torch.from_numpy(logits[known, :1]), "the model")
        with self._stages.timed("mask"):
            logits[batch.unknown] = np.nan
        return Ready([Segment(*pair) for pair in zip(batch.first_steps, logits, strict=True)])

    def _some(self, batch: Batch, known: np.ndarray) -> np.ndarray:
        """Logits of the segments that hold a base, ``known`` bool (B,): gaps cost nothing."""
        shape = (*batch.unknown.shape, len(self._scorer.plan.labels))
        logits = np.full(shape, np.nan, np.float32)
        if known.any():
            logits[known] = self._scorer(np.ascontiguousarray(batch.codes[known]))
        return logits


class Ready(NamedTuple):
    """What was scored when it was submitted."""

    segments: list[Segment]

    def result(self) -> list[Segment]:
        return self.segments


def read_ahead(
    items: Iterable[Item], read: Callable[[Item], object], readers: int
) -> Iterator[tuple[Item, object]]:
    """Each item with ``read(item)``, in order, read by ``readers`` threads up to
    :func:`look_ahead` items before they are asked for."""
    pool = ThreadPoolExecutor(readers, thread_name_prefix="reader")
    ahead: deque[tuple[Item, Future]] = deque()
    try:
        for item in items:
            ahead.append((item, pool.submit(read, item)))
            if len(ahead) > look_ahead(readers):
                yield _next(ahead)
        while ahead:
            yield _next(ahead)
    finally:
        pool.shutdown(cancel_futures=True)


def look_ahead(readers: int) -> int:
    """Items read before they are asked for."""
    return readers + 1


def _next(ahead: deque) -> tuple[object, object]:
    item, future = ahead.popleft()
    return item, future.result()


class Behind:
    """Runs ``take(*values)`` in a thread of its own, in order, a bounded number behind."""

    def __init__(self, take: Callable[..., None]) -> None:
        self._take = take
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="writer")
        self._pending: deque[Future] = deque()

    def put(self, *values) -> None:
        self._pending.append(self._pool.submit(self._take, *values))
        while len(self._pending) > WRITE_BEHIND or (self._pending and self._pending[0].done()):
            self._pending.popleft().result()

    def __enter__(self) -> Behind:
        return self

    def __exit__(self, kind, *_) -> None:
        try:
            while self._pending and kind is None:
                self._pending.popleft().result()
        finally:
            self._pool.shutdown(cancel_futures=True)
