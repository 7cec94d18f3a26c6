"""The streaming pipeline: a contig's codes through a plan, segment by segment.

A reader thread fetches the next segments while one is computed and a writer thread takes the
results of the one before; what is in memory is a few segments, whatever the contig.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from .errors import TcnfastError
from .genome import Genome
from .jit import jit
from .model import TCN
from .plan import Plan
from .sequence.codes import N

RCS = ("none", "mean", "max")
SEGMENT_LOGITS = 2**22  # at most in one segment: 16 MiB
READ_AHEAD = 2  # batches
WRITE_BEHIND = 2  # batches


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
    def __call__(self, codes: np.ndarray) -> np.ndarray:
        """uint8 codes (B, T) -> float32 logits (B, (T - RF) // stride + 1, labels)."""
        logits = self.plans[0](codes)
        for plan in self.plans[1:]:
            logits = torch.maximum(logits, plan(codes))
        return logits.cpu().numpy()


class Segment(NamedTuple):
    """Consecutive steps of a contig: ``logits`` float32 (steps, labels), NaN where the label bin is
    all N."""

    first_step: int
    logits: np.ndarray


@dataclass(frozen=True)
class _Batch:
    first_steps: list[int]
    codes: np.ndarray  # (B, T) uint8, with context
    unknown: np.ndarray  # (B, steps) bool: the label bin is all N


def n_steps(size: int, stride: int) -> int:
    """Steps of a contig of ``size`` bases; the last may be partial."""
    return -(-size // stride)


def segment_length(plan: Plan) -> int:
    """Bases of scores to compute at once: what suits the backend, within SEGMENT_LOGITS."""
    return min(plan.segment_bases, plan.stride * max(1, SEGMENT_LOGITS // len(plan.labels)))


def segment_spans(
    size: int, stride: int, wanted: Callable[[int, int], bool] | None, segment_bases: int
) -> list[tuple[int, int]]:
    """[first, last) steps of the segments of a contig: a function of its size and nothing else.

    ``wanted(start, end)`` may drop segments whose bases nobody asked for.
    """
    length = max(1, segment_bases // stride)
    total = n_steps(size, stride)
    spans = [(first, min(first + length, total)) for first in range(0, total, length)]
    if wanted is None:
        return spans
    return [span for span in spans if wanted(span[0] * stride, span[1] * stride)]


def scan_contig(
    scorer: Scorer,
    genome: Genome,
    chrom: str,
    *,
    batch_size: int = 1,
    wanted: Callable[[int, int], bool] | None = None,
    segment_bases: int | None = None,
) -> Iterator[Segment]:
    """Logits of every step of a contig, in order, with N around its ends.

    ``batch_size``: segments scored in one call; ``segment_bases``: to a segment, by
    default what suits the plan. Scores do not depend on either.
    """
    segment_bases = segment_bases or segment_length(scorer.plan)
    spans = segment_spans(genome.sizes[chrom], scorer.plan.stride, wanted, segment_bases)
    groups = _group(spans, batch_size)
    with ThreadPoolExecutor(1, thread_name_prefix="reader") as reader:
        ahead: deque[Future[_Batch]] = deque()
        for index in range(len(groups) + READ_AHEAD):
            if index < len(groups):
                ahead.append(reader.submit(_read, scorer, genome, chrom, groups[index]))
            if index >= READ_AHEAD:
                batch = ahead.popleft().result()
                logits = scorer(batch.codes)
                logits[batch.unknown] = np.nan
                for first_step, part in zip(batch.first_steps, logits, strict=True):
                    yield Segment(first_step, part)


def _group(spans: list[tuple[int, int]], batch_size: int) -> list[list[tuple[int, int]]]:
    """Runs of at most ``batch_size`` spans of one length."""
    groups: list[list[tuple[int, int]]] = []
    for first, last in spans:
        group = groups[-1] if groups else []
        if group and len(group) < batch_size and group[0][1] - group[0][0] == last - first:
            group.append((first, last))
        else:
            groups.append([(first, last)])
    return groups


def _read(scorer: Scorer, genome: Genome, chrom: str, spans: list[tuple[int, int]]) -> _Batch:
    plan = scorer.plan
    context = max(plan.receptive_field // 2, scorer.label_bin // 2)
    trim = context - plan.receptive_field // 2
    codes, unknown = [], []
    for first, last in spans:
        centre = first * plan.stride + plan.stride // 2
        span = (last - first - 1) * plan.stride + 1
        piece = genome.codes(chrom, centre - context, centre + span + context)
        codes.append(piece[trim : len(piece) - trim])
        unknown.append(_all_n(piece, context, last - first, plan.stride, scorer.label_bin))
    firsts = [first for first, _ in spans]
    if len(spans) == 1:  # no copy
        return _Batch(firsts, codes[0][None], unknown[0][None])
    return _Batch(firsts, np.stack(codes), np.stack(unknown))


@jit
def _all_n(piece: np.ndarray, context: int, steps: int, stride: int, label_bin: int) -> np.ndarray:
    """Which steps have no known base in their label bin; ``context`` is the first step's centre."""
    unknown = np.empty(steps, np.bool_)
    reached, last_known = 0, -1
    for step in range(steps):
        start = context - label_bin // 2 + stride * step
        end = min(start + label_bin, len(piece))
        for at in range(max(reached, start), end):
            if piece[at] < N:
                last_known = at
        reached = end
        unknown[step] = last_known < start
    return unknown


class Writer:
    """Runs ``consume(segment)`` in a thread of its own, in order, a bounded number behind."""

    def __init__(self, consume: Callable[[Segment], None]) -> None:
        self._consume = consume
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="writer")
        self._pending: deque[Future] = deque()

    def put(self, segment: Segment) -> None:
        self._pending.append(self._pool.submit(self._consume, segment))
        while len(self._pending) > WRITE_BEHIND:
            self._pending.popleft().result()

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind, *_) -> None:
        try:
            while self._pending and kind is None:
                self._pending.popleft().result()
        finally:
            self._pool.shutdown(cancel_futures=True)
