"""Calls from a score track, in the words of MACS3 bdgpeakcall: cutoff, min-length, max-gap."""

from __future__ import annotations

import numpy as np

from ..base.jit import jit

# steps at or above the cutoff: the first and the last, the best logit and the step at
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
    """Calls of a stretch of a contig from its logits, fed in order, segment by segment.

    A call is a run of steps with logit at or above the label's cutoff; runs at most ``max_gap``
    bases apart are one call; calls shorter than ``min_length`` bases are dropped. What is kept in
    memory is the calls and, for each label, the run that may still grow.

    The stretch is the steps [``first_step``, ``last_step``) of a contig of ``size`` bases, by
    default all. A run that may go on beyond an end of the stretch is kept however short it is, for
    :func:`join_runs` to put together what several stretches hold of it.

    ``cutoffs`` (labels,) are logits, NaN for a label that is not called.
    """

    def __init__(
        self,
        cutoffs: np.ndarray,
        stride: int,
        size: int,
        min_length: int,
        max_gap: int,
        first_step: int = 0,
        last_step: int | None = None,
    ) -> None:
        self.cutoffs = cutoffs.astype(np.float32)
        self.stride, self.size, self.min_length = stride, size, min_length
        self.gap_steps = max_gap // stride
        total = -(-size // stride)
        last_step = total if last_step is None else last_step
        # a run that begins before one step, or ends after another, may have more beyond
        self._open_before = first_step + self.gap_steps if first_step > 0 else -1
        self._open_after = last_step - 1 - self.gap_steps if last_step < total else total
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
            state = (self.cutoffs, self.gap_steps, self._open, self._buffer)
            row, closed = _call(logits, row, first_step, allowed, *state)
            self._keep(self._buffer[:closed])

    def add_hits(
        self,
        first_step: int,
        at: np.ndarray,
        values: np.ndarray,
        allowed: np.ndarray | None = None,
    ) -> None:
        """The same of hits alone: ``at`` int64 (hits,) places in the flat logits of a segment, in
        order, that reach the cutoffs, ``values`` float32 (hits,) the logits there."""
        allowed = EVERYWHERE if allowed is None else allowed
        hit = 0
        while hit < len(at):
            hit, closed = _call_hits(
                at, values, hit, first_step, allowed, self.gap_steps, self._open, self._buffer
            )
            self._keep(self._buffer[:closed])

    def _keep(self, runs: np.ndarray) -> None:
        start, end = run_bases(runs, self.stride, self.size)
        kept = end - start >= self.min_length
        kept |= runs["first"] <= self._open_before
        kept |= runs["last"] >= self._open_after
        if kept.any():
            self._kept.append(runs[kept])

    def finish(self) -> np.ndarray:
        """All calls of the stretch as RUN (calls,), sorted by label, then position."""
        self._keep(self._open[self._open["first"] >= 0])
        self._open["first"] = -1
        calls = np.concatenate(self._kept)
        # runs of one label were closed in order
        return calls[np.argsort(calls["label"], kind="stable")]


def join_runs(
    parts: list[np.ndarray], stride: int, size: int, min_length: int, max_gap: int
) -> np.ndarray:
    """Calls of a contig, of those of its stretches in their order: RUN (calls,), sorted by label,
    then position. The same as of a :class:`PeakCaller` that was fed the whole contig."""
    runs = np.concatenate([np.empty(0, RUN), *parts])
    runs = runs[np.argsort(runs["label"], kind="stable")]
    runs = runs[: _join(runs, max_gap // stride)]
    start, end = run_bases(runs, stride, size)
    return runs[end - start >= min_length]


@jit
def _join(runs, gap_steps):
    """Join neighbours of a label in place; returns how many are left."""
    n = 0
    for at in range(len(runs)):
        run = runs[at]
        before = runs[max(n - 1, 0)]
        if n > 0 and run.label == before.label and run.first - before.last - 1 <= gap_steps:
            before.last = run.last
            if run.best > before.best:
                before.best = run.best
                before.best_at = run.best_at
        else:
            runs[n] = run
            n += 1
    return n


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
            for label in range(labels):
                value = logits[row, label]
                if value >= cutoffs[label]:
                    n = _take(runs[label], first_step + row, value, gap_steps, closed, n)
        row += 1
    return row, n


@jit
def _call_hits(at, values, hit, first_step, allowed, gap_steps, runs, closed):
    """The same from hit ``hit`` on, until ``closed`` is full."""
    labels, n = len(runs), 0
    while hit < len(at) and n < len(closed):
        row, label = at[hit] // labels, at[hit] % labels
        if len(allowed) == 0 or allowed[row]:
            n = _take(runs[label], first_step + row, values[hit], gap_steps, closed, n)
        hit += 1
    return hit, n


@jit
def _take(run, step, value, gap_steps, closed, n):
    """A hit: it lengthens its label's open run or closes that and begins another."""
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
    return n


@jit
def _any_hit(row, cutoffs):
    # no early exit: the compiler makes vector instructions of this
    hit = False
    for label in range(len(row)):
        hit |= row[label] >= cutoffs[label]
    return hit
