"""The calls of a scan folder as labelled intervals."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..base.errors import TcnfastError
from ..base.run_folder import RECORD
from ..genome.intervals import Intervals, concatenate, read_bed
from ..scan.tracks import file_names


def scanned_labels(folder: str | Path) -> list[str]:
    """Labels that a scan reports. Raises TcnfastError where the folder is no finished scan."""
    try:
        key = json.loads((Path(folder) / RECORD).read_text())["key"]
        if key["command"] == "scan":
            return list(key["targets"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise TcnfastError(f"{folder}: is no output of tcnfast scan; name the folder it wrote")


def scan_calls(
    folder: str | Path, sizes: Mapping[str, int], labels: list[str] | None = None
) -> Intervals:
    """Calls of ``labels`` (all that the scan reports, if None), with their summits.

    Raises TcnfastError where the folder is no finished scan, lacks a label, holds no call of them,
    or calls on contigs that ``sizes`` lacks.
    """
    known = scanned_labels(folder)
    for label in labels or ():
        if label not in known:
            raise TcnfastError(f"{folder}: the scan has no label {label!r}")
    parts = []
    for label, name in zip(known, file_names(known), strict=True):
        path = Path(folder) / "peaks" / f"{name}.narrowPeak"
        # a label that the scan's cutoff never calls has no file, one without calls an empty one
        if (labels is None or label in labels) and path.exists() and path.stat().st_size:
            calls = read_bed(path, sizes)
            columns = (calls.chrom, calls.start, calls.end, calls.summit)
            parts.append(Intervals(*columns, np.full(len(calls), label, object)))
    if not parts:
        raise TcnfastError(f"{folder}: the scan holds no call; scan with a lower --cutoff")
    return concatenate(parts)
