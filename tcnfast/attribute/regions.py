"""Which windows are explained: around the summits of a BED file, or of a scan's calls."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import numpy as np

from ..base.errors import TcnfastError, some
from ..base.options import setting
from ..base.talk import count
from ..genome.codes import N
from ..genome.genome import Genome
from ..genome.intervals import Intervals, read_bed
from ..model.model_folder import ModelFolder
from ..scan.scan_folder import ScanFolder
from . import SiteOptions

log = logging.getLogger(__name__)


def window_codes(genome: Genome, sites: Intervals, width: int, which: range) -> np.ndarray:
    """uint8 windows (n, width) with their middle base on the centres of some of the sites; N beyond
    the contig."""
    first = sites.centre - width // 2
    return np.stack([genome.codes(sites.chrom[i], first[i], first[i] + width) for i in which])


def find_sites(
    options: SiteOptions, labels: list[str], sizes: Mapping[str, int], model: ModelFolder
) -> dict[str, Intervals]:
    """The sites of each label: every region of the BED file, in file order, duplicates and all; or
    the label's calls in the scan, best first. A label without calls is left out, with a warning.

    Regions on contigs that the genome lacks are left out, with a warning. Raises IntervalError that
    names the line of a region beyond the end of a contig, or where all contigs are unknown, and
    TcnfastError for a folder that is no finished scan, and where nothing was called.
    """
    if options.bed:
        sites = read_bed(options.bed, sizes, allow_missing=True, summits=True).take(
            slice(options.top)
        )
        return dict.fromkeys(labels, sites)
    scan = ScanFolder(options.scan)
    if scan.model_hash != model.hash:
        words = "WARNING: %s was scanned with another model; its calls are not this one's"
        log.warning(words, scan.path)
    called, found = set(scan.called_labels), {}
    for label in labels:
        if label in called:
            best_first = np.argsort(-scan.calls(label)["probability"].to_numpy(), kind="stable")
            found[label] = scan.intervals(label, sizes).take(best_first[: options.top])
    without = [label for label in labels if label not in called]
    if not found:
        raise TcnfastError(f"{setting('scan', str(scan.path))}: no call of {', '.join(labels[:5])}")
    if without:
        words = "%s without a call in %s left out: %s"
        log.warning(words, count(len(without), "label"), scan.path, some(without))
    return found


def describe(sites: Intervals, sizes: Mapping[str, int], codes: np.ndarray) -> list[str]:
    """What is unusual about windows (n, width), in words: duplicates, ends of contigs, N."""
    place = list(zip(sites.chrom.tolist(), sites.centre.tolist(), strict=True))
    width = codes.shape[1]
    first = sites.centre - width // 2
    size = np.array([sizes[chrom] for chrom in sites.chrom.tolist()])
    counts = {
        "are there more than once, and are explained each time": len(place) - len(set(place)),
        "reach beyond the end of a contig, where N stands": ((first < 0) | (first + width > size)),
        "hold N, which gets nothing": (codes == N).any(1),
    }
    return [f"{np.sum(count)} {words}" for words, count in counts.items() if np.any(count)]
