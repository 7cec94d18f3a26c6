"""What a window set must not do: let a part see bases of another."""

from __future__ import annotations

import numpy as np

from ..base.errors import TcnfastError
from ..genome.codes import N, reverse_complement
from .window_set import PARTS, SHUFFLE, WindowSet


def check_leaks(windows: WindowSet) -> None:
    """Raise TcnfastError where a window overlaps one of another part, or a shuffle of a window lies
    in another part than that window.

    Windows without coordinates are told by what a shuffle keeps: ends and dinucleotide counts.
    """
    found = overlaps(windows)
    if found is not None:
        a, b = (f"{_name(windows, i)} ({PARTS[windows.part[i]]})" for i in found)
        raise TcnfastError(f"window set {windows.name!r}: {a} and {b} overlap: parts share bases")
    found = strayed_shuffle(windows)
    if found is not None:
        shuffle, source = found
        raise TcnfastError(
            f"window set {windows.name!r}: window {shuffle} ({PARTS[windows.part[shuffle]]}) is a "
            f"shuffle of window {source} ({PARTS[windows.part[source]]}): parts share sequences"
        )


def overlaps(windows: WindowSet) -> tuple[int, int] | None:
    """Two windows of different parts that overlap, as indices, or None. A shuffle stands for the
    window that it was made from."""
    placed = np.flatnonzero(windows.chrom >= 0)
    order = placed[np.lexsort((windows.start[placed], windows.chrom[placed]))]
    # all are of one length: where any two of different parts overlap, two neighbours do
    a, b = order[:-1], order[1:]
    close = windows.start[b] - windows.start[a] < windows.length
    leaks = close & (windows.chrom[a] == windows.chrom[b]) & (windows.part[a] != windows.part[b])
    first = np.flatnonzero(leaks)
    return (int(a[first[0]]), int(b[first[0]])) if first.size else None


def strayed_shuffle(windows: WindowSet) -> tuple[int, int] | None:
    """A shuffle and a window of another part that it can have been made from, as indices; None if
    there is none. Only windows without coordinates are looked at, the others give themselves away
    by overlap."""
    loose = np.flatnonzero(windows.chrom < 0)
    shuffled = windows.kind[loose] == SHUFFLE
    if not shuffled.any():
        return None
    keys = composition(windows.codes[loose])
    own: dict[bytes, dict[int, int]] = {}
    for i, key in zip(loose[~shuffled], keys[~shuffled], strict=True):
        own.setdefault(key.tobytes(), {}).setdefault(int(windows.part[i]), int(i))
    for i, key in zip(loose[shuffled], keys[shuffled], strict=True):
        sources = own.get(key.tobytes(), {})
        if sources and int(windows.part[i]) not in sources:
            return int(i), next(iter(sources.values()))
    return None


def composition(codes: np.ndarray) -> np.ndarray:
    """What a shuffle keeps of each row, int32 (n, 27): dinucleotide counts, first and last code."""
    pairs = 5 * codes[:, :-1].astype(np.int64) + codes[:, 1:]
    rows = 25 * np.arange(len(codes))[:, None]
    counts = np.bincount((pairs + rows).ravel(), minlength=25 * len(codes))
    counts = counts.reshape(len(codes), 25).astype(np.int32)
    return np.column_stack([counts, codes[:, :1], codes[:, -1:]]).astype(np.int32)


def same_sequences(windows: WindowSet) -> int:
    """Windows of valid or test whose sequence, on either strand, is that of a window of an earlier
    part, shuffles apart: copies within a genome, or within a benchmark that others made."""
    rows = np.flatnonzero(windows.kind != SHUFFLE)
    codes = windows.codes[rows]
    known = (codes < N).all(1)
    rows, codes = rows[known], codes[known]
    seen: dict[bytes, int] = {}
    copies = 0
    other = reverse_complement(codes)
    for i in np.argsort(windows.part[rows], kind="stable"):
        part = int(windows.part[rows[i]])
        key = min(codes[i].tobytes(), other[i].tobytes())
        copies += seen.setdefault(key, part) < part
    return copies


def _name(windows: WindowSet, i: int) -> str:
    start = int(windows.start[i])
    return f"{windows.chroms[windows.chrom[i]]}:{start}-{start + windows.length}"
