"""Probability tracks of a scan: rounded and sparse; kept on disk while a genome is scored, from
where :mod:`tcnfast.scan.track_bigwig` makes one bigWig a label.

A track is a step function: the rounded probability of each step, or nothing where there is no score
or the score is below the floor. Only its changes are kept.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..base.disk import write_bytes, writing
from ..base.jit import jit
from ..base.logits import logit
from .pieces import temporary_of
from .track_bigwig import NOTHING, VALUES

CHANGES_AT_ONCE = 2**20  # in memory, 12 bytes each

# the logit at which each level begins, from level 1 on; there is none above the last
BEGINS = np.append(logit((VALUES[1:].astype(np.float64) + VALUES[:-1]) / 2), np.nan)
BEGINS = BEGINS.astype(np.float32)
# the logits from BEGINS[0] on in cells narrower than any level (0.011, at 0.0995), so that at most
# one level begins in a cell; LOWS: the level at the lower end of each
CELLS_PER_LOGIT = np.float32(128)
CELLS = 1 + int((BEGINS[-2] - BEGINS[0]) * CELLS_PER_LOGIT)
LOWS = np.searchsorted(
    ((BEGINS[:-1] - BEGINS[0]) * CELLS_PER_LOGIT).astype(int), np.arange(CELLS)
).astype(np.uint8)


@jit
def _level(value):
    """How many of BEGINS a logit reaches, without a branch."""
    cell = (value - BEGINS[0]) * CELLS_PER_LOGIT
    low = LOWS[int(min(max(cell, np.float32(0)), np.float32(CELLS - 1)))]
    return np.uint8(low + (value >= BEGINS[low]))


class TrackShard:
    """Tracks of some labels along one contig, or a stretch of it, in one file.

    The file is a row of blocks. A block holds int64 (labels,) counts of changes, then the changes
    themselves, label after label: uint64 ``step << 8 | level``.
    """

    def __init__(self, path: Path, floors: np.ndarray, first_step: int = 0) -> None:
        """``floors`` (labels,) logits that a step must reach; NaN: no track of this label. The file
        has another name until it is finished."""
        self.path, self.floors = path, floors.astype(np.float32)
        self._temporary = temporary_of(path)
        self._levels = np.full(len(floors), NOTHING, np.uint8)
        room = max(CHANGES_AT_ONCE, len(floors) + 1)
        self._label, self._change = np.empty(room, np.int32), np.empty(room, np.uint64)
        self._held = 0
        self._next_step = first_step
        write_bytes(self._temporary, b"")

    def add(self, first_step: int, logits: np.ndarray) -> None:
        """``logits`` float32 (steps, labels), in order; NaN, and steps left out, have no score."""
        self._add(_changes, first_step, logits, self.floors)

    def add_levels(self, first_step: int, levels: np.ndarray, columns: np.ndarray) -> None:
        """The same of what a device made of logits: ``levels`` uint8 (steps, n), NOTHING where
        there is no value, of the labels ``columns`` int64 (n,)."""
        self._add(_changes_of_levels, first_step, levels, columns)

    def _add(self, changes: Callable, first_step: int, rows: np.ndarray, about: np.ndarray) -> None:
        if first_step > self._next_step:
            self._end()
        self._next_step = first_step + len(rows)
        row = 0
        while True:
            state = (self._levels, self._label, self._change, self._held)
            row, self._held = changes(rows, row, first_step, about, *state)
            if row == len(rows):
                return
            self._flush()

    def finish(self) -> None:
        """Write what is left."""
        self._end()
        self._flush()
        self._temporary.rename(self.path)

    def _end(self) -> None:
        """No score from here on."""
        nothing = np.full((1, len(self.floors)), np.nan, np.float32)
        step = self._next_step
        self.add(step, nothing)
        self._next_step = step

    def _flush(self) -> None:
        label, change = self._label[: self._held], self._change[: self._held]
        counts = np.bincount(label, minlength=len(self.floors)).astype(np.int64)
        needed = counts.nbytes + change.nbytes
        with writing(self._temporary, needed), open(self._temporary, "ab") as file:
            file.write(counts)
            file.write(_by_label(label, change, np.cumsum(counts) - counts))
        self._held = 0


@jit
def _changes(logits, row, first_step, floors, levels, label_out, change_out, n):
    """Append the changes of rows from ``row`` on, until they end or there is no room for another.

    ``levels`` holds each label's level so far. Returns the row reached and the number held.
    """
    steps, labels = logits.shape
    # which labels have a value or had one, eight of them looked at together
    words = np.zeros(-(-labels // 8), np.uint64)
    busy = words.view(np.uint8)
    while row < steps and n + labels < len(change_out):
        for label in range(labels):
            busy[label] = (logits[row, label] >= floors[label]) | (levels[label] != NOTHING)
        for word in range(len(words)):
            if words[word] == 0:
                continue
            for label in range(8 * word, min(8 * word + 8, labels)):
                value, level = logits[row, label], np.uint8(NOTHING)
                if value >= floors[label]:
                    level = _level(value)
                # written always and kept if it is a change: half of all guesses would be wrong
                change_out[n] = np.uint64(first_step + row) << np.uint64(8) | np.uint64(level)
                label_out[n] = label
                n += level != levels[label]
                levels[label] = level
        row += 1
    return row, n


@jit
def _changes_of_levels(rows, row, first_step, columns, levels, label_out, change_out, n):
    """The same of levels of the labels ``columns``."""
    steps, tracked = rows.shape
    now = levels[columns]
    words = np.zeros(-(-tracked // 8), np.uint64)
    changed = words.view(np.uint8)
    while row < steps and n + tracked < len(change_out):
        for column in range(tracked):
            changed[column] = rows[row, column] != now[column]
        for word in range(len(words)):
            if words[word] == 0:
                continue
            for column in range(8 * word, min(8 * word + 8, tracked)):
                level = rows[row, column]
                change_out[n] = np.uint64(first_step + row) << np.uint64(8) | np.uint64(level)
                label_out[n] = columns[column]
                n += level != now[column]
                now[column] = level
        row += 1
    levels[columns] = now
    return row, n


@jit
def _by_label(label, change, at):
    """``change`` grouped by label, each group in its order; ``at``: where the groups begin."""
    out = np.empty_like(change)
    for i in range(len(change)):
        out[at[label[i]]] = change[i]
        at[label[i]] += 1
    return out
