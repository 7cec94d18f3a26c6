"""The calls of a scan as labelled intervals."""

from __future__ import annotations

from collections.abc import Mapping

from ..base.errors import TcnfastError
from ..genome.intervals import Intervals
from ..scan.scan_folder import ScanFolder


def scan_calls(scan: ScanFolder, sizes: Mapping[str, int]) -> Intervals:
    """All calls of a scan, with their summits. Raises TcnfastError where there is none, or one is
    on a contig that ``sizes`` lacks."""
    calls = scan.intervals(sizes=sizes)
    if not len(calls):
        raise TcnfastError(f"{scan.path}: the scan holds no call; scan with a lower --cutoff")
    return calls
