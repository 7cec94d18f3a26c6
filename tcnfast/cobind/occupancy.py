"""Which label is bound in which bin of the genome, and the places that bins may trade with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..base.errors import TcnfastError
from ..data.dataset import Dataset
from ..genome.codes import N
from ..genome.genome import Region
from ..genome.intervals import touched
from ..genome.labels import BOUND

GC_CLASSES = 10
DENSITY_CLASSES = 5
DENSITY_BLOCKS = 50  # on either side of a block
_BINS_AT_ONCE = 2**16
MIN_ACTIVE_LABELS = 10  # with fewer, how many bind in a place says too much about which


@dataclass(frozen=True, eq=False)
class Occupancy:
    """Bound bins of every label, among all bins that are covered, numbered along the contigs.

    ``bins`` int32 (entries,): those of label i are ``bins[first[i] : first[i + 1]]``, rising;
    ``first`` int64 (labels + 1,). ``contig`` int64 (contigs + 1,): first bin of each contig, and
    the number of bins. Blocks are ``block`` bins in a row; ``gc`` float64 (blocks,) is the share of
    G and C among their known bases.
    """

    labels: list[str]
    first: np.ndarray
    bins: np.ndarray
    contig: np.ndarray
    block: int
    gc: np.ndarray

    @property
    def n_bins(self) -> int:
        return int(self.contig[-1])

    @property
    def counts(self) -> np.ndarray:
        """Bound bins of each label, int64 (labels,)."""
        return np.diff(self.first)

    @property
    def label_of(self) -> np.ndarray:
        """Label of each entry of ``bins``, int32."""
        return np.repeat(np.arange(len(self.labels), dtype=np.int32), self.counts)

    def select(self, keep: np.ndarray) -> Occupancy:
        """The labels for which ``keep``, bool (labels,), is true."""
        labels = [label for label, kept in zip(self.labels, keep, strict=True) if kept]
        first = np.concatenate([[0], np.cumsum(self.counts[keep])])
        return replace(self, labels=labels, first=first, bins=self.bins[keep[self.label_of]])

    def strata(self, kept: str) -> np.ndarray:
        """Class of each block, int64 (blocks,), within which blocks may change places.

        ``kept`` "local": the decile of GC, and the fifth of local density, which is how many bound
        bins, of all labels, lie within 50 blocks on either side. "active": the decile of GC, and
        how many labels are bound somewhere in the block itself, in classes 0, 1-3, 4-7, ...: a pair
        that meets where nobody else goes has blocks of one label to be compared with.
        """
        gc = _quantile_class(self.gc, GC_CLASSES)
        if kept == "active":
            keys = self.label_of.astype(np.int64) * len(self.gc) + self.bins // self.block
            active = np.bincount(np.unique(keys) % len(self.gc), minlength=len(self.gc))
            other = np.where(active, np.maximum(np.ceil(np.log2(active + 1)), 2), 0).astype(int)
        else:
            bound = np.bincount(self.bins // self.block, minlength=len(self.gc))
            other = _quantile_class(self._near(bound), DENSITY_CLASSES)
        return gc * (other.max(initial=0) + 1) + other

    def _near(self, bound: np.ndarray) -> np.ndarray:
        """Sums of ``bound`` (blocks,) over the blocks nearby, on the same contig."""
        near = np.ones(2 * DENSITY_BLOCKS + 1, bound.dtype)
        contigs = np.split(bound, self.contig[1:-1] // self.block)
        sums = [np.convolve(x, near)[DENSITY_BLOCKS:][: len(x)] if len(x) else x for x in contigs]
        return np.concatenate(sums)


def occupancy(dataset: Dataset, regions: Sequence[Region], bin_width: int, block: int) -> Occupancy:
    """Occupancy of the bins of ``bin_width`` bases that lie in ``regions``.

    Bins are the multiples of their width on the contig. A bin counts if half of it or more is known
    bases and the blacklist leaves it alone. A peak binds the bins of which it covers half, or, if
    it covers half of none, the bin of its middle. Bins that fill no block at the end of a contig
    are left out.
    """
    entries, gc, contig = [], [], [0]
    for chrom in dict.fromkeys(region.chrom for region in regions):
        numbers, shares = _covered_bins(dataset, regions, chrom, bin_width, block)
        labels, bins = _bound_bins(dataset, chrom, bin_width)
        at = np.minimum(np.searchsorted(numbers, bins), max(len(numbers) - 1, 0))
        here = numbers[at] == bins if len(numbers) else np.zeros(len(bins), bool)
        entries.append((labels[here].astype(np.int64) << 32) + contig[-1] + at[here])
        gc.append(shares)
        contig.append(contig[-1] + len(numbers))
    if contig[-1] == 0:
        raise TcnfastError("no bin of known sequence lies in the regions; give larger ones")
    keys = np.unique(np.concatenate(entries))
    first = np.searchsorted(keys, np.arange(len(dataset.labels) + 1) << 32)
    bins = (keys & 0xFFFFFFFF).astype(np.int32)
    return Occupancy(list(dataset.labels), first, bins, np.array(contig), block, np.concatenate(gc))


def whole_contigs(dataset: Dataset) -> list[Region]:
    """The contigs that have a peak; TcnfastError where none has."""
    sizes = dataset.genome.sizes
    regions = [Region(chrom, 0, size) for chrom, size in sizes.items() if len(dataset.table(chrom))]
    if not regions:
        raise TcnfastError("no contig of the genome has a peak; is it the right assembly?")
    return regions


def _covered_bins(
    dataset: Dataset, regions: Sequence[Region], chrom: str, bin_width: int, block: int
) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of a contig's bins, int64, rising, whole blocks of them, and the GC of the blocks."""
    found, known, gc = [], [], []
    for region in regions:
        if region.chrom != chrom:
            continue
        end = dataset.genome.sizes[chrom] if region.end is None else region.end
        numbers = np.arange(-(-region.start // bin_width), end // bin_width, dtype=np.int64)
        if not len(numbers):
            continue
        found.append(numbers)
        # in pieces: a chromosome's bases, compared with letters, would take a gigabyte
        for part in np.array_split(numbers, -(-len(numbers) // _BINS_AT_ONCE)):
            begin, end = part[0] * bin_width, (part[-1] + 1) * bin_width
            codes = dataset.genome.codes(chrom, begin, end).reshape(len(part), bin_width)
            known.append((codes != N).sum(1))
            gc.append(((codes == 1) | (codes == 2)).sum(1))
    if not found:
        return np.zeros(0, np.int64), np.zeros(0)
    numbers, order = np.unique(np.concatenate(found), return_index=True)
    known, gc = np.concatenate(known)[order], np.concatenate(gc)[order]
    covered = 2 * known >= bin_width
    if dataset.blacklist is not None:
        masked = dataset.blacklist.on(chrom)
        starts = numbers * bin_width
        covered &= ~touched(starts, starts + bin_width, masked.start, masked.end)
    kept = np.flatnonzero(covered)
    kept = kept[: len(kept) // block * block]
    known, gc = known[kept].reshape(-1, block).sum(1), gc[kept].reshape(-1, block).sum(1)
    return numbers[kept], gc / known


def _bound_bins(dataset: Dataset, chrom: str, bin_width: int) -> tuple[np.ndarray, np.ndarray]:
    """(label, bin) of every bin that a bound peak covers by half, or holds its middle."""
    table = dataset.table(chrom)
    bound = table.kind == BOUND
    start, end, label = (
        np.asarray(column, np.int64)[bound] for column in (table.start, table.end, table.label)
    )
    half = bin_width // 2
    first, last = -(-(start - half) // bin_width), (end + half) // bin_width
    none = first >= last
    middle = (start + end) // 2 // bin_width
    first, last = np.where(none, middle, first), np.where(none, middle + 1, last)
    lengths = last - first
    within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return np.repeat(label, lengths), np.repeat(first, lengths) + within


def _quantile_class(values: np.ndarray, classes: int) -> np.ndarray:
    """Class of each value, int64, of ``classes`` that hold about equally many; equal values share
    one."""
    edges = np.quantile(values, np.linspace(0, 1, classes + 1)[1:-1])
    return np.searchsorted(edges, values, side="right")
