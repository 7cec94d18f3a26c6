"""Genome and peaks made into what training and evaluation read: codes, a label at every step."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..base.errors import TcnfastError
from ..base.talk import count
from ..genome.genome import Genome, Region, match_chroms
from ..genome.intervals import Intervals, concatenate, read_bed, read_labelled, touched
from ..genome.labels import AMBIGUOUS, BOUND, PeakTable, label_matrix


@dataclass
class Dataset:
    """A genome with the peaks of several labels.

    A label bin is ``label_bin`` bases around a centre. It is bound where a peak covers at least
    ``min_overlap`` of it (or a shorter peak lies in it whole), ambiguous where a peak, or a relaxed
    peak, touches it otherwise or where the blacklist does, else unbound. ``summits``: the bases
    around their summits that the bound peaks were cut to before, or None for whole peaks.
    """

    genome: Genome
    bound: Intervals
    labels: list[str]
    relaxed: Intervals | None = None
    blacklist: Intervals | None = None
    label_bin: int = 200
    min_overlap: int = 100
    summits: int | None = None

    def __post_init__(self) -> None:
        self._tables: dict[str, PeakTable] = {}
        self._masked: dict[str, Intervals] = {}

    def select(self, labels: list[str]) -> Dataset:
        """The same data with these labels."""
        return replace(self, labels=list(labels))

    def drop_rare(
        self, regions: list[Region], min_peaks: int
    ) -> tuple[Dataset, list[tuple[str, int]]]:
        """The same data without labels of fewer than ``min_peaks`` peaks in ``regions``, and those
        labels with their counts. Raises TcnfastError if none is left."""
        counts = dict(zip(self.labels, self.count_peaks(regions).tolist(), strict=True))
        kept = [label for label, count in counts.items() if count >= min_peaks]
        if not kept:
            raise TcnfastError(f"no label has {count(min_peaks, 'peak')} in the training regions")
        return self.select(kept), [(x, count) for x, count in counts.items() if count < min_peaks]

    def table(self, chrom: str) -> PeakTable:
        """Peaks of one chromosome, all labels, built at first use."""
        if chrom not in self._tables:
            self._tables[chrom] = self._build_table(chrom)
        return self._tables[chrom]

    def _build_table(self, chrom: str) -> PeakTable:
        return PeakTable.build(self.bound, self.relaxed, self.labels, chrom)

    def targets(self, chrom: str, centres: np.ndarray) -> np.ndarray:
        """Labels of the bins around sorted ``centres`` (n,) int64 -> uint8 (n, labels)."""
        starts = centres - self.label_bin // 2
        ends = starts + self.label_bin
        windows = np.column_stack([starts, ends])
        matrix = label_matrix(windows, self.table(chrom), min_overlap=self.min_overlap)
        if self.blacklist is not None:
            if chrom not in self._masked:
                self._masked[chrom] = self.blacklist.on(chrom)
            masked = self._masked[chrom]
            matrix[touched(starts, ends, masked.start, masked.end)] = AMBIGUOUS
        return matrix

    def centres(self, region: Region, receptive_field: int, stride: int) -> np.ndarray:
        """Centres of the steps of the contig whose window and label bin lie inside ``region``."""
        before = max(receptive_field // 2, self.label_bin // 2)
        after = max(receptive_field - receptive_field // 2, self.label_bin - self.label_bin // 2)
        first = -(-(region.start + before - stride // 2) // stride)
        last = (region.end - after - stride // 2) // stride
        return np.arange(first, last + 1, dtype=np.int64) * stride + stride // 2

    def scored_bins(
        self, region: Region, receptive_field: int, stride: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Centres (n,) of the region's steps and their targets uint8 (n, labels).

        A bin that is all N is ambiguous for every label: no scan reports it.
        """
        centres = self.centres(region, receptive_field, stride)
        targets = self.targets(region.chrom, centres)
        targets[~self.known_bins(region, centres)] = AMBIGUOUS
        return centres, targets

    def known_bins(self, region: Region, centres: np.ndarray) -> np.ndarray:
        """Whether the label bins around ``centres`` of the region hold a base that is no N: bool
        (n,)."""
        known = np.concatenate([[0], np.cumsum(self.genome.codes(*region) < 4, dtype=np.int64)])
        start = centres - self.label_bin // 2 - region.start
        return known[start + self.label_bin] > known[start]

    def count_peaks(self, regions: list[Region]) -> np.ndarray:
        """Peaks of each label whose middle lies in ``regions`` -> int64 (labels,)."""
        counts = np.zeros(len(self.labels), np.int64)
        for region in regions:
            labels, middles = self.peak_middles(region)
            counts += np.bincount(labels, minlength=len(self.labels))
        return counts

    def peak_middles(self, region: Region) -> tuple[np.ndarray, np.ndarray]:
        """Label ids and middles of the bound peaks whose middle lies in ``region``."""
        table = self.table(region.chrom)
        middles = (table.start + table.end) // 2
        keep = (table.kind == BOUND) & (middles >= region.start) & (middles < region.end)
        return table.label[keep].astype(np.int64), middles[keep].astype(np.int64)


def open_dataset(
    genome: Genome,
    peaks: list[str],
    ambiguous: list[str] = (),
    blacklist: str | None = None,
    labels: list[str] | None = None,
) -> Dataset:
    """Dataset from files: labelled peak tables, relaxed ones, a BED of regions to leave out.

    A label comes from the first of ``peaks`` that has it. ``labels``: which, in this order; all,
    sorted, if None. Raises TcnfastError for a label without peaks.
    """
    tables = [_shares_contigs(read_labelled(path), genome, path) for path in peaks]
    bound = first_of_label(tables)
    seen = set(bound.label)
    for name in labels or ():
        if name not in seen:
            raise TcnfastError(f"label {name!r} has no peaks in {', '.join(map(str, peaks))}")
    return Dataset(
        genome,
        bound,
        list(labels) if labels else sorted(seen),
        concatenate([_shares_contigs(read_labelled(path), genome, path) for path in ambiguous])
        if ambiguous
        else None,
        _shares_contigs(read_bed(blacklist), genome, blacklist) if blacklist else None,
    )


def first_of_label(tables: list[Intervals]) -> Intervals:
    """Peaks of labelled tables joined, each label's from the first table that has the label."""
    kept: list[Intervals] = []
    seen: set[str] = set()
    for table in tables:
        kept.append(table.take(np.array([name not in seen for name in table.label], bool)))
        seen.update(table.label)
    return concatenate(kept)


def _shares_contigs(intervals: Intervals, genome: Genome, path: str) -> Intervals:
    """The intervals, where at least one of their contigs is in the genome; training may well use a
    part of the genome that the peaks cover."""
    if not any(chrom in genome.sizes for chrom in intervals.chroms):
        match_chroms(intervals.chroms, genome.sizes, path)
    return intervals
