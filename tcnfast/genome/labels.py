"""Which labels are bound in which window: peaks against windows in one numba sweep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..base.errors import TcnfastError
from ..base.jit import jit
from .intervals import Intervals
from .label_values import AMBIGUOUS, BOUND, UNBOUND


@dataclass(frozen=True, eq=False)
class PeakTable:
    """Peaks of one contig and all labels, sorted by start, as arrays (peaks,).

    ``start``, ``end`` int64; ``label`` int32, an index into the labels; ``kind`` uint8, BOUND or
    AMBIGUOUS; ``reach`` int64, the furthest end so far, by which a sweep finds where to begin. In a
    table that is mapped from a file the integers are narrower.
    """

    start: np.ndarray
    end: np.ndarray
    label: np.ndarray
    kind: np.ndarray
    reach: np.ndarray
    n_labels: int

    def __len__(self) -> int:
        return self.start.size

    @classmethod
    def build(
        cls, bound: Intervals, relaxed: Intervals | None, labels: Sequence[str], chrom: str
    ) -> PeakTable:
        """Table of the Intervals ``bound``, and ``relaxed`` if not None, on contig ``chrom``.

        ``labels`` is the list of label names that gives the columns; other peaks are left out.
        Raises TcnfastError for intervals without labels and for a name listed twice.
        """
        ids = {name: i for i, name in enumerate(labels)}
        if len(ids) != len(labels):
            twice = next(name for i, name in enumerate(labels) if ids[name] != i)
            raise TcnfastError(f"label {twice!r} is listed twice")
        parts = [_columns(bound, BOUND, ids, chrom)]
        if relaxed is not None:
            parts.append(_columns(relaxed, AMBIGUOUS, ids, chrom))
        start, end, label, kind = (np.concatenate(column) for column in zip(*parts, strict=True))
        order = np.argsort(start, kind="stable")
        end = end[order]
        reach = np.maximum.accumulate(end)
        return cls(start[order], end, label[order], kind[order], reach, len(labels))


def label_matrix(windows: np.ndarray, peaks: PeakTable, *, min_overlap: int = 100) -> np.ndarray:
    """Which labels are bound in which windows of one contig.

    BOUND (1) if a bound peak overlaps the window by ``min_overlap`` bp, or by its whole length if
    it
    is shorter; else AMBIGUOUS (2) if any peak touches it; else UNBOUND (0). The cost is that of the
    peaks near the windows, so small calls are cheap.

    Args:
        windows: int64 (windows, 2), start and end of each, half-open, sorted by start.
        peaks: the PeakTable of the windows' contig.
        min_overlap: bp of a peak that make a window bound, at least 1.

    Returns:
        numpy.ndarray: label values, uint8 (windows, labels).

    Raises:
        TcnfastError: for windows of another shape, empty, or not sorted by start, and for a
            min_overlap under 1.
    """
    if min_overlap < 1:
        raise TcnfastError(f"min_overlap must be at least 1 bp, not {min_overlap}")
    windows = np.asarray(windows, np.int64)
    if windows.ndim != 2 or windows.shape[1] != 2:
        raise TcnfastError(f"windows {windows.shape} must be (windows, 2): start, end")
    starts, ends = windows[:, 0].copy(), windows[:, 1].copy()
    out = np.zeros((starts.size, peaks.n_labels), np.uint8)
    columns = peaks.start, peaks.end, peaks.label, peaks.kind, peaks.reach
    wrong = sweep(starts, ends, *columns, min_overlap, out)
    if wrong >= 0:
        raise TcnfastError(
            f"window {wrong}, [{starts[wrong]}, {ends[wrong]}), is empty or begins before the one "
            "in front of it; sort windows by start"
        )
    return out


def _columns(
    intervals: Intervals, kind: int, ids: dict[str, int], chrom: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    if intervals.label is None:
        raise TcnfastError("peaks without labels; read them with read_labelled")
    here = intervals.on(chrom)
    assert here.label is not None
    label = np.array([ids.get(name, -1) for name in here.label.tolist()], np.int32)
    wanted = label >= 0
    kinds = np.full(np.count_nonzero(wanted), kind, np.uint8)
    return here.start[wanted], here.end[wanted], label[wanted], kinds


@jit
def sweep(
    starts: np.ndarray,
    ends: np.ndarray,
    peak_start: np.ndarray,
    peak_end: np.ndarray,
    peak_label: np.ndarray,
    peak_kind: np.ndarray,
    reach: np.ndarray,
    min_overlap: int,
    out: np.ndarray,
) -> int:
    """Fill ``out``; returns the index of the first bad window, or -1.

    Peaks go by in order of start. ``low`` is the first window that may still be touched: all
    windows in front of it end before the current peak, and so before all later ones.
    """
    windows = starts.size
    last_end = np.int64(0)
    for w in range(windows):
        if ends[w] <= starts[w] or (w > 0 and starts[w] < starts[w - 1]):
            return w
        last_end = max(last_end, ends[w])
    if windows == 0 or peak_start.size == 0:
        return -1
    low = 0
    for p in range(np.searchsorted(reach, starts[0], side="right"), peak_start.size):
        begin, end = peak_start[p], peak_end[p]
        if begin >= last_end:
            break
        while low < windows and ends[low] <= begin:
            low += 1
        needed = min(min_overlap, end - begin)
        w = low
        while w < windows and starts[w] < end:
            overlap = min(ends[w], end) - max(starts[w], begin)
            if overlap > 0 and overlap >= needed and peak_kind[p] == BOUND:
                out[w, peak_label[p]] = BOUND
            elif overlap > 0 and out[w, peak_label[p]] == UNBOUND:
                out[w, peak_label[p]] = AMBIGUOUS
            w += 1
    return -1
