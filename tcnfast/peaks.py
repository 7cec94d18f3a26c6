"""Calls from a score track, in the words of MACS3 bdgpeakcall: cutoff, min-length, max-gap."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np


@dataclass(frozen=True)
class Runs:
    """Stretches of steps at or above the cutoff, as columns (runs,).

    ``first`` and ``last`` step, the ``best`` logit and the step ``best_at`` which it stands (the
    first of equals).
    """

    label: np.ndarray  # int32
    first: np.ndarray  # int64
    last: np.ndarray  # int64
    best: np.ndarray  # float32
    best_at: np.ndarray  # int64

    @classmethod
    def empty(cls) -> Runs:
        dtypes = (np.int32, np.int64, np.int64, np.float32, np.int64)
        return cls(*(np.empty(0, dtype) for dtype in dtypes))

    @classmethod
    def concatenate(cls, parts: list[Runs]) -> Runs:
        names = [field.name for field in fields(cls)]
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    def take(self, index: np.ndarray) -> Runs:
        return Runs(*(getattr(self, field.name)[index] for field in fields(self)))

    def sorted(self) -> Runs:
        """By label, then position."""
        return self.take(np.lexsort((self.first, self.label)))

    def __len__(self) -> int:
        return len(self.label)


def merge(runs: Runs, max_gap: int) -> Runs:
    """Join runs of one label with at most ``max_gap`` steps between them; sorts by label, first.

    Runs of one label must not overlap.
    """
    if not len(runs):
        return runs
    runs = runs.sorted()
    apart = runs.first[1:] - runs.last[:-1] - 1 > max_gap
    starts = np.flatnonzero(np.r_[True, (runs.label[1:] != runs.label[:-1]) | apart])
    ends = np.r_[starts[1:], len(runs)] - 1
    best = np.maximum.reduceat(runs.best, starts)
    group = np.repeat(np.arange(len(starts)), ends - starts + 1)
    at_best = np.flatnonzero(runs.best == best[group])
    _, first_best = np.unique(group[at_best], return_index=True)
    best_at = runs.best_at[at_best[first_best]]
    return Runs(runs.label[starts], runs.first[starts], runs.last[ends], best, best_at)


class PeakCaller:
    """Calls of one contig from its logits, fed in order, segment by segment.

    A call is a stretch of steps with logit at or above the label's cutoff; stretches at most
    ``max_gap`` bases apart are one call; calls shorter than ``min_length`` bases are dropped. What
    is kept in memory is the calls and the stretches that the next segment may still extend.
    """

    def __init__(
        self, cutoffs: np.ndarray, stride: int, size: int, min_length: int, max_gap: int
    ) -> None:
        self.cutoffs = cutoffs.astype(np.float32)
        self.stride, self.size, self.min_length = stride, size, min_length
        self.gap_steps = max_gap // stride
        self._open = Runs.empty()
        self._closed: list[Runs] = []

    def add(self, first_step: int, logits: np.ndarray, allowed: np.ndarray | None = None) -> None:
        """``logits`` float32 (steps, labels), NaN: no score; ``allowed`` bool (steps,)."""
        with np.errstate(invalid="ignore"):
            hit = logits >= self.cutoffs
        if allowed is not None:
            hit &= allowed[:, None]
        row, label = np.nonzero(hit)
        step = row + first_step
        hits = Runs(label.astype(np.int32), step, step, logits[row, label], step)
        runs = merge(Runs.concatenate([self._open, hits]), self.gap_steps)
        extendable = runs.last + self.gap_steps + 1 >= first_step + len(logits)
        self._open = runs.take(extendable)
        self._close(runs.take(~extendable))

    def _close(self, runs: Runs) -> None:
        start, end = self.bases(runs)
        self._closed.append(runs.take(end - start >= self.min_length))

    def bases(self, runs: Runs) -> tuple[np.ndarray, np.ndarray]:
        """Start and end in bases; the last step of a contig may be partial."""
        end = np.minimum((runs.last + 1) * self.stride, self.size)
        return runs.first * self.stride, end

    def finish(self) -> Runs:
        """All calls of the contig, sorted by label, then position."""
        self._close(self._open)
        self._open = Runs.empty()
        return Runs.concatenate([Runs.empty(), *self._closed]).sorted()
