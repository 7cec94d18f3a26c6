"""The calls of a scan in a report: how many there are of each label, what they are worth, and the
best of the labels that can be trusted most."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from ..base.page_table import Cell, Column, Table, number_cell
from ..scan.page_calls import best_first
from ..scan.page_labels import label_facts
from ..scan.scan_folder import ScanFolder

LISTED = 12  # labels whose best calls are listed
BEST = 8  # of each
COLUMNS = (
    Column("Place", "place"),
    Column("Probability", "probability", number=True),
)


@dataclass(frozen=True)
class ScanPart:
    """``labels``: facts of each (page_labels.label_facts), the best first; ``best``: the best calls
    of some, label and table; ``words``: what ran on what."""

    labels: list[dict] = field(default_factory=list)
    best: list[tuple[dict, Table]] = field(default_factory=list)
    tiles: list[tuple[str, str]] = field(default_factory=list)
    words: str = ""
    warnings: list[str] = field(default_factory=list)


def read_scan(scan: ScanFolder | None, targets: Collection[str] | None) -> ScanPart:
    """Of all labels, or of ``targets``."""
    if scan is None:
        return ScanPart()
    called = set(scan.called_labels)  # TcnfastError for a scan for motifs
    rows = [row for row in scan.totals if targets is None or row["label"] in targets]
    labels = [label_facts(row, 0) for row in best_first(rows)]
    listed = [label for label in labels if label["name"] in called][:LISTED]
    best = [(label, _best(scan, label["name"], index)) for index, label in enumerate(listed)]
    warnings = list(scan.record.get("warnings", []))
    return ScanPart(labels, best, _tiles(labels), _words(scan), warnings)


def _best(scan: ScanFolder, label: str, index: int) -> Table:
    calls = scan.calls(label).sort_values("probability", ascending=False, kind="stable")
    rows = []
    for row in calls.head(BEST).itertuples():
        place = f"{row.chrom}:{row.start + 1:,}-{row.end:,}"
        rows.append((Cell(place), number_cell(row.probability)))
    return Table(f"best-{index}", COLUMNS, rows)


def _tiles(labels: Sequence[dict]) -> list[tuple[str, str]]:
    tiles = [
        ("labels called", f"{sum(label['calls'] > 0 for label in labels)} of {len(labels)}"),
        ("calls", f"{sum(label['calls'] for label in labels):,}"),
    ]
    known = [label["right"] for label in labels if label["right"] is not None]
    return [*tiles, ("expected to be right", f"{sum(known):,}")] if known else tiles


def _words(scan: ScanFolder) -> str:
    names = ", ".join(name for name, _ in scan.record["key"].get("genome", []))
    words = f"Calls of {names or scan.path.name}."
    expected = scan.record.get("expected_precision_of")
    return words + (f" What is expected to be right: {expected}." if expected else "")
