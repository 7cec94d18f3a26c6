"""Codes of a genome on their way to a device: segments with their context, several in a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from ..base.jit import jit
from ..genome.codes import N
from .stages import Stages


class Window(NamedTuple):
    """What a score depends on: bases between scores, of its window, and of its label bin."""

    stride: int
    receptive_field: int
    label_bin: int

    def length(self, steps: int) -> int:
        """Bases that the scores of so many steps depend on."""
        return (steps - 1) * self.stride + self.receptive_field


class Batch(NamedTuple):
    """Segments of equal length, ready for a device."""

    first_steps: list[int]
    codes: np.ndarray  # (B, T) uint8, with context
    unknown: np.ndarray  # (B, steps) bool: the label bin is all N
    slot: object  # where the device keeps them


def groups(spans: list[tuple[int, int]], batch_size: int) -> Iterator[list[tuple[int, int]]]:
    """Runs of at most ``batch_size`` spans of one length."""
    group: list[tuple[int, int]] = []
    for first, last in spans:
        if group and (len(group) == batch_size or group[0][1] - group[0][0] != last - first):
            yield group
            group = []
        group.append((first, last))
    if group:
        yield group


def read(
    genome,
    chrom: str,
    spans: list[tuple[int, int]],
    window: Window,
    buffers: Callable[[int, int, int], tuple[np.ndarray, np.ndarray, object]],
    stages: Stages,
) -> Batch:
    """Read spans of steps of a contig, with N around its ends.

    ``buffers(B, T, steps)`` gives what to fill: codes (B, T), unknown (B, steps), and a slot.
    """
    stride, label_bin = window.stride, window.label_bin
    context = max(window.receptive_field // 2, label_bin // 2)
    trim = context - window.receptive_field // 2
    steps = spans[0][1] - spans[0][0]
    codes, unknown, slot = buffers(len(spans), window.length(steps), steps)
    for row, (first, _) in enumerate(spans):
        centre = first * stride + stride // 2
        end = centre + (steps - 1) * stride + 1
        with stages.timed("read"):
            piece = genome.codes(chrom, centre - context, end + context)
        with stages.timed("mask"):
            codes[row] = piece[trim : len(piece) - trim]
            _all_n(piece, context, stride, label_bin, unknown[row])
    return Batch([first for first, _ in spans], codes, unknown, slot)


@jit
def _all_n(piece: np.ndarray, context: int, stride: int, label_bin: int, unknown: np.ndarray):
    """Which steps have no known base in their label bin; ``context`` is the first step's centre."""
    most = np.uint8(0)
    for at in range(len(piece)):  # vector instructions: most of a genome has no N
        most = max(most, piece[at])
    if most < N:
        unknown[:] = False
        return
    reached, last_known = 0, -1
    for step in range(len(unknown)):
        start = context - label_bin // 2 + stride * step
        end = min(start + label_bin, len(piece))
        for at in range(max(reached, start), end):
            if piece[at] < N:
                last_known = at
        reached = end
        unknown[step] = last_known < start
