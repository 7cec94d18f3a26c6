"""Where batches are scored, and what comes back of them.

A device has ``buffers(B, T, steps)``, which gives a reader what to fill; ``submit(batch)``, which
begins to score and returns at once where the device is one of its own; and what that returns has
``result()``: the segments of the batch, dense or compact. Submitting and asking for results may be
two threads' work, each in order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .reading import Batch
from .stages import Stages


@dataclass(frozen=True)
class Wanted:
    """What a scan needs of logits.

    ``cutoffs`` float32 (labels,): what is a hit, NaN for none. ``columns`` int64 (tracked,): labels
    with a track. ``floors`` float32 (tracked,): the least logit that a track shows. ``levels``:
    tracks are sparse, of levels of :mod:`tcnfast.scan.tracks`; else of logits.
    """

    cutoffs: np.ndarray
    columns: np.ndarray
    floors: np.ndarray
    levels: bool = True


class Segment(NamedTuple):
    """Consecutive steps of a contig: ``logits`` float32 (steps, labels), NaN where the label bin is
    all N."""

    first_step: int
    logits: np.ndarray

    @property
    def steps(self) -> int:
        return len(self.logits)


class Hits(NamedTuple):
    """The same, of which only what was :class:`Wanted` is left.

    ``at`` int64 (hits,), places in the flat (steps, labels), and ``values`` float32 (hits,), the
    logits there; ``levels`` uint8 (steps, tracked) or ``logits`` float32 (steps, tracked), if there
    are tracks.
    """

    first_step: int
    steps: int
    at: np.ndarray
    values: np.ndarray
    levels: np.ndarray | None
    logits: np.ndarray | None


class DenseDevice:
    """All logits in the memory of the host, as the processor makes them anyway: calling reads them
    as fast as it would write down which are hits."""

    def __init__(self, scorer, stages: Stages) -> None:
        self._scorer, self._stages = scorer, stages

    @staticmethod
    def buffers(n: int, length: int, steps: int) -> tuple[np.ndarray, np.ndarray, None]:
        return np.empty((n, length), np.uint8), np.empty((n, steps), bool), None

    def submit(self, batch: Batch) -> Ready:
        with self._stages.timed("compute"):
            logits = self._scorer(batch.codes)
        with self._stages.timed("mask"):
            logits[batch.unknown] = np.nan
        return Ready([Segment(*pair) for pair in zip(batch.first_steps, logits, strict=True)])


class Ready(NamedTuple):
    """What was scored when it was submitted."""

    segments: list[Segment]

    def result(self) -> list[Segment]:
        return self.segments
