"""The calls that a scan's page holds: how many there are in each stretch of the genome for every
label, the best of each label, and all calls of as many labels as its budget of bytes allows."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .call_columns import CallColumns

BINS = 4_000  # of the whole genome, for the strips
BEST = 20  # calls of a label that are listed
BYTES_A_CALL = 6  # of the page; 5.8 on a made-up genome of 3 Gb with 5 million calls


@dataclass(frozen=True)
class Shown:
    """Contigs that the page draws, with their sizes, and where the bins of each begin in a row of
    bins of ``width`` bases."""

    sizes: dict[str, int]
    width: int
    first: list[int]
    bins: int

    @classmethod
    def of(cls, sizes: dict[str, int], most: int = 60) -> Shown:
        """The ``most`` longest contigs, in their order."""
        longest = set(sorted(sizes, key=sizes.__getitem__, reverse=True)[:most])
        shown = {chrom: size for chrom, size in sizes.items() if chrom in longest}
        width = max(1, -(-sum(shown.values()) // BINS))
        per_contig = [-(-size // width) for size in shown.values()]
        return cls(shown, width, [0, *np.cumsum(per_contig).tolist()][:-1], sum(per_contig))


class PageCalls:
    """Takes the calls of label after label, the best label first; ``budget``: bytes of the page
    that whole calls may take. Contigs of a label that the budget has no room for are shown by
    their bins alone, those with the fewest calls first."""

    def __init__(self, shown: Shown, stride: int, budget: int) -> None:
        self._shown, self._stride, self._left = shown, stride, budget
        self._index = {chrom: index for index, chrom in enumerate(shown.sizes)}
        self._bins: list[np.ndarray] = []
        self._units: list[list[int]] = []  # label, contig, calls
        self._columns: list[tuple[np.ndarray, ...]] = []
        self.best: list[list[list[int]]] = []

    def add(self, calls: CallColumns) -> None:
        """The calls of the next label."""
        label = len(self._bins)
        self._bins.append(self._binned(calls))
        self.best.append(self._best_of(calls))
        order = np.argsort(-np.diff(calls.first), kind="stable")
        for at in order.tolist():
            begin, end = calls.first[at : at + 2].tolist()
            contig = self._index.get(calls.chroms[at])
            if contig is None or (end - begin) * BYTES_A_CALL > self._left:
                continue
            self._left -= (end - begin) * BYTES_A_CALL
            self._units.append([label, contig, end - begin])
            rows = slice(begin, end)
            start = calls.start[rows] // self._stride
            steps = -(-calls.end[rows] // self._stride) - start
            self._columns.append((np.diff(start, prepend=0), steps, calls.score[rows]))

    def _binned(self, calls: CallColumns) -> np.ndarray:
        counts = np.zeros(self._shown.bins, np.int64)
        for at, chrom in enumerate(calls.chroms):
            if chrom in self._index:
                middle = calls.start[calls.first[at] : calls.first[at + 1]]
                first = self._shown.first[self._index[chrom]]
                found = np.bincount(first + middle // self._shown.width)
                counts[: len(found)] += found
        return np.minimum(counts, 2**16 - 1).astype("<u2")

    def _best_of(self, calls: CallColumns) -> list[list[int]]:
        """Contig, start, end and score of the highest scores."""
        contig = np.repeat([self._index.get(c, -1) for c in calls.chroms], np.diff(calls.first))
        known = np.flatnonzero(contig >= 0)
        order = known[np.argsort(-calls.score[known], kind="stable")[:BEST]]
        columns = contig, calls.start, calls.end, calls.score
        return [[int(column[row]) for column in columns] for row in order]

    def packed(self) -> tuple[list[list[int]], str]:
        """Units [label, contig, calls], and base64 of the gzip of: uint16 bins (labels, bins); then
        over all units, in steps of the scan, uint32 starts, each less the one before in its unit,
        and uint32 lengths; then uint16 scores. All little-endian; a call begins with a step, and
        ends with one or with its contig."""
        kinds = "<u4", "<u4", "<u2"
        columns = [
            np.concatenate([x[i] for x in self._columns] or [np.zeros(0)]).astype(kind)
            for i, kind in enumerate(kinds)
        ]
        raw = b"".join(x.tobytes() for x in (*self._bins, *columns))
        return self._units, encoded(gzip.compress(raw, 6, mtime=0))


def encoded(data: bytes) -> str:
    """base64, as text."""
    return base64.b64encode(data).decode()


def best_first(rows: Sequence[dict]) -> list[dict]:
    """Rows of a scan's summary over all contigs, the label that can be trusted most first: by
    grade, then expected precision, then name."""

    def rank(row: dict) -> tuple:
        precision = row["expected_precision"]
        known = precision == precision
        return (row.get("grade") or "Z", not known, -precision if known else 0, row["label"])

    return sorted(rows, key=rank)
