"""The calls of a scan as sites of its labels."""

from __future__ import annotations

from collections.abc import Mapping

from ..base.errors import TcnfastError
from ..base.options import setting
from ..genome.intervals import Intervals
from ..scan.scan_folder import ScanFolder


def scan_sites(scan: ScanFolder, sizes: Mapping[str, int]) -> Intervals:
    """Calls of all labels, with their summits, on contigs of ``sizes``. Raises TcnfastError where
    the scan holds none, or calls on other contigs."""
    calls = scan.intervals(sizes=sizes)
    if not len(calls):
        raise TcnfastError(
            f"{scan.path}: the scan holds no call; scan with a lower {setting('cutoff')}"
        )
    return calls
