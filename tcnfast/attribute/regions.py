"""Which windows are explained: around the summits of a BED file, or of a scan's calls."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..base.errors import TcnfastError
from ..genome.codes import N
from ..genome.genome import Genome
from ..genome.intervals import Intervals, read_bed
from ..scan.scan_folder import ScanFolder

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Sites:
    """Regions, 0-based half-open, and the base of each whose logit is explained: its summit, or its
    middle where it has none. ``chrom`` object (n,), the others int64 (n,)."""

    chrom: np.ndarray
    start: np.ndarray
    end: np.ndarray
    centre: np.ndarray

    def __len__(self) -> int:
        return len(self.start)

    def take(self, index: np.ndarray) -> Sites:
        return Sites(*(getattr(self, name)[index] for name in ("chrom", "start", "end", "centre")))

    def codes(self, genome: Genome, width: int, which: range) -> np.ndarray:
        """uint8 windows (n, width) with their middle base on the centres; N beyond the contig."""
        first = self.centre - width // 2
        windows = [genome.codes(self.chrom[i], first[i], first[i] + width) for i in which]
        return np.stack(windows)


def sites_of(intervals: Intervals) -> Sites:
    middle = (intervals.start + intervals.end) // 2
    # some callers put a summit on the (exclusive) end
    summit = np.minimum(intervals.summit, intervals.end - 1)
    centre = np.where(intervals.summit >= 0, summit, middle)
    return Sites(intervals.chrom, intervals.start, intervals.end, centre)


def sites_of_bed(path: str | Path, sizes: Mapping[str, int]) -> Sites:
    """Every row, in file order; duplicates are kept. Raises IntervalError that names the line of a
    region on an unknown contig or beyond the end of one."""
    return sites_of(read_bed(path, sizes))


def sites_of_scan(
    folder: str | Path, labels: list[str], sizes: Mapping[str, int], model_hash: str
) -> dict[str, Sites]:
    """The calls of each of ``labels``, best first; one without calls is left out, with a warning.

    Raises TcnfastError for a folder that is no finished scan, and where nothing was called.
    """
    scan = ScanFolder(folder)
    if scan.model_hash != model_hash:
        log.warning(
            "WARNING: %s was scanned with another model; its calls are not this one's", folder
        )
    called, found = set(scan.called_labels), {}
    for label in labels:
        if label in called:
            sites = sites_of(scan.intervals(label, sizes))
            best_first = np.argsort(-scan.calls(label)["probability"].to_numpy(), kind="stable")
            found[label] = sites.take(best_first)
    without = [label for label in labels if label not in called]
    if not found:
        raise TcnfastError(f"--scan {folder}: no call of {', '.join(labels[:5])}")
    if without:
        some = ", ".join(without[:5]) + (", ..." if len(without) > 5 else "")
        log.warning(
            "%d labels have no calls in %s and are left out: %s", len(without), folder, some
        )
    return found


def describe(sites: Sites, sizes: Mapping[str, int], width: int) -> list[str]:
    """What is unusual about windows, in words: duplicates, overlaps, ends of contigs."""
    place = list(zip(sites.chrom.tolist(), sites.centre.tolist(), strict=True))
    twice = len(place) - len(set(place))
    first = sites.centre - width // 2
    size = np.array([sizes[chrom] for chrom in sites.chrom.tolist()])
    beyond = int(((first < 0) | (first + width > size)).sum())
    words = []
    if twice:
        words.append(f"{twice} are there more than once, and are explained each time")
    if beyond:
        words.append(f"{beyond} reach beyond the end of a contig, where N stands")
    return words


def count_n(codes: np.ndarray) -> int:
    """How many windows hold an N."""
    return int((codes == N).any(1).sum())
