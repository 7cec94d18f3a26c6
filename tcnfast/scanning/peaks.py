"""Calls from a score track, in the words of MACS3 bdgpeakcall: cutoff, min-length, max-gap."""

from __future__ import annotations

import numpy as np

from ..jit import jit

# a stretch of steps at or above the cutoff: its first and last step, its best logit and the step at
# which that stands (the first of equals)
RUN = np.dtype(
    [
        ("first", np.int64),
        ("last", np.int64),
        ("best_at", np.int64),
        ("best", np.float32),
        ("label", np.int32),
    ]
)
RUNS_AT_ONCE = 2**14  # closed runs that leave the compiled loop together
EVERYWHERE = np.empty(0, bool)


class PeakCaller:
    """Calls of one contig from its logits, fed in order, segment by segment.

    A call is a stretch of steps with logit at or above the label's cutoff; stretches at most
    ``max_gap`` bases apart are one call; calls shorter than ``min_length`` bases are dropped. What
    is kept in memory is the calls and, for each label, the stretch that may still grow.

    ``cutoffs`` (labels,) are logits, NaN for a label that is not called.
    """

    def __init__(
        self, cutoffs: np.ndarray, stride: int, size: int, min_length: int, max_gap: int
    ) -> None:
        self.cutoffs = cutoffs.astype(np.float32)
        self.stride, self.size, self.min_length = stride, size, min_length
        self.gap_steps = max_gap // stride
        self._open = np.zeros(len(cutoffs), RUN)
        self._open["label"] = np.arange(len(cutoffs))
        self._open["first"] = -1  # none
        self._buffer = np.empty(max(RUNS_AT_ONCE, len(cutoffs)), RUN)
        self._kept = [np.empty(0, RUN)]

    def add(self, first_step: int, logits: np.ndarray, allowed: np.ndarray | None = None) -> None:
        """``logits`` float32 (steps, labels), NaN: no score; ``allowed`` bool (steps,)."""
        allowed = EVERYWHERE if allowed is None else allowed
        row = 0
        while row < len(logits):
            row, closed = _call(
                logits, row, first_step, allowed, self.cutoffs, self.gap_steps, self._open,
                self._buffer,
            )  # fmt: skip
            self._keep(self._buffer[:closed])

    def _keep(self, runs: np.ndarray) -> None:
        start, end = run_bases(runs, self.stride, self.size)
        long_enough = end - start >= self.min_length
        if long_enough.any():
            self._kept.append(runs[long_enough])

    def finish(self) -> np.ndarray:
        """All calls of the contig as RUN (calls,), sorted by label, then position."""
        self._keep(self._open[self._open["first"] >= 0])
        self._open["first"] = -1
        calls = np.concatenate(self._kept)
        # runs of one label were closed in order
        return calls[np.argsort(calls["label"], kind="stable")]


def run_bases(runs: np.ndarray, stride: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Start and end in bases, int64, of RUN (runs,); the last step of a contig may be partial."""
    return runs["first"] * stride, np.minimum((runs["last"] + 1) * stride, size)


@jit
def _call(logits, row, first_step, allowed, cutoffs, gap_steps, runs, closed):
    """Take in logits from ``row`` on, until they end or ``closed`` may not hold another row.

    ``runs`` holds each label's open run, ``closed`` takes those that ended. Returns the row reached
    and the number closed.
    """
    steps, labels = logits.shape
    n = 0
    while row < steps and n + labels <= len(closed):
        if (len(allowed) == 0 or allowed[row]) and _any_hit(logits[row], cutoffs):
            step = first_step + row
            for label in range(labels):
                value = logits[row, label]
                if not value >= cutoffs[label]:
                    continue
                run = runs[label]
                if run.first >= 0 and step - run.last - 1 > gap_steps:
                    closed[n] = run
                    n += 1
                    run.first = -1
                if run.first < 0:
                    run.first = step
                    run.best = value
                    run.best_at = step
                elif value > run.best:
                    run.best = value
                    run.best_at = step
                run.last = step
        row += 1
    return row, n


@jit
def _any_hit(row, cutoffs):
    # no early exit: the compiler makes vector instructions of this
    hit = False
    for label in range(len(row)):
        hit |= row[label] >= cutoffs[label]
    return hit
