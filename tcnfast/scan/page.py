"""index.html of a scan: one file that shows its calls in any browser, from disk, and asks nothing
of the network. igv.js is in it (igv/README.md)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from ..base.page_table import Table
from ..base.pages import render_page, script_json
from ..base.tables import replace_file
from ..base.talk import count
from . import PAGE
from .call_columns import read_call_columns
from .igv_source import igv_source, igv_version
from .page_calls import PageCalls, Shown, best_first, encoded
from .page_labels import label_cells, label_columns, label_facts
from .scan_folder import ScanFolder

log = logging.getLogger(__name__)

CALL_BYTES = 9_000_000  # of the page: whole calls
TRACK_BYTES = 3_000_000  # of the page: bigWigs
SHOWN_AT_FIRST = 6  # labels with rows in the browser when the page is opened
WORDS = {
    "kind": "scan",
    "one": "label",
    "Many": "Labels",
    "calls": "calls",
    "score": "Probability",
    "digits": 3,
    "per": 1000,
    "rows": "Calls of the labels below, and tracks where the scan wrote some. Other tracks of the "
    "scan, and files of your own, can be added from disk",
}
PEAKS = ("peaks/", "the calls of each label, ENCODE narrowPeak")
FILES = [
    ("tracks/", "probabilities along the genome, bigWig"),
    ("igv_session.xml, jbrowse.json", "sessions of IGV and of JBrowse 2"),
    ("tcnfast_mqc.tsv", "a table for MultiQC"),
    ("summary.tsv", "calls of each label, in all and on each contig"),
]


def write_page(
    scan: ScanFolder, sizes: dict[str, int], labels: Sequence[str] | None = None
) -> Path:
    """Write the page of a scan with a model into its folder. ``sizes``: of the scanned contigs.
    ``labels``: whose calls come first where not all have room, best labels if None."""
    ranked = best_first(scan.totals)
    last, wanted = len(ranked), list(labels or [])
    ranked.sort(key=lambda row: wanted.index(row["label"]) if row["label"] in wanted else last)
    shown = Shown.of(sizes)
    calls = PageCalls(shown, int(scan.record["key"]["stride"]), CALL_BYTES)
    for row in ranked:
        calls.add(read_call_columns(scan.peaks_of(row["label"])))
    units, packed = calls.packed()
    tracks = _tracks(scan, [row["label"] for row in ranked])
    facts = {
        "title": title_of(scan),
        "contigs": list(shown.sizes.items()),
        "stride": scan.record["key"]["stride"],
        "bin": shown.width,
        "bins": shown.bins,
        "labels": [label_facts(row, sum(sizes.values())) for row in ranked],
        "best": calls.best,
        "units": units,
        "tracks": tracks,
        "at_first": _at_first([row["label"] for row in ranked], wanted, tracks),
        "words": WORDS,
    }
    page = render_page(
        "scan.html",
        title=facts["title"],
        facts=script_json(facts),
        calls=Markup(packed),
        igv=igv_source(),
        tiles=_tiles(ranked, sizes),
        sentences=_sentences(scan, sizes, shown),
        warnings=scan.record.get("warnings", []),
        labels=_table(facts["labels"]),
        files=[PEAKS, *(FILES if tracks else FILES[1:])],
        words=WORDS,
        igv_version=igv_version(),
    )
    path = scan.path / PAGE
    # names of files may be no UTF-8
    replace_file(path, page.encode(errors="replace"))
    return path


def _at_first(ranked: list[str], wanted: list[str], tracks: list[dict]) -> list[int]:
    """Numbers of the labels with rows in the browser when the page is opened: those asked for, or
    some with a track and the best."""
    tracked = [x["label"] for x in tracks if x["data"] and x["label"] in ranked]
    some = [*tracked[: SHOWN_AT_FIRST // 2], *ranked]
    shown = wanted or list(dict.fromkeys(some))[:SHOWN_AT_FIRST]
    return [ranked.index(label) for label in shown]


def title_of(scan: ScanFolder) -> str:
    """Names of the genome's files."""
    return ", ".join(name for name, _ in scan.record["key"]["genome"])


def _table(labels: list[dict]) -> Table:
    columns = label_columns(labels)
    cells = [label_cells(label) for label in labels]
    rows = [[row[column] for column in columns] for row in cells]
    return Table("table", columns, rows, find="CTCF, K562, ...", pressed=True)


def _tracks(scan: ScanFolder, ranked: list[str]) -> list[dict]:
    """bigWigs of the scan in the order of the labels, then those of labels that were not called:
    their files, and the bytes of those that there is room for."""
    tracks, left = [], TRACK_BYTES
    known = [label for label in ranked if label in scan.tracks]
    for label in [*known, *(label for label in scan.tracks if label not in known)]:
        path = scan.tracks[label]
        if path.suffix != ".bw":
            continue
        size = -(-path.stat().st_size * 4 // 3)
        data = encoded(path.read_bytes()) if size <= left else None
        left -= size if data else 0
        tracks.append({"label": label, "file": f"tracks/{path.name}", "data": data})
    return tracks


def _tiles(ranked: list[dict], sizes: dict[str, int]) -> list[tuple[str, str]]:
    calls = sum(row["calls"] for row in ranked)
    tiles = [
        ("bases scanned", f"{sum(sizes.values()):,}"),
        ("contigs", f"{len(sizes):,}"),
        ("labels called", f"{sum(row['calls'] > 0 for row in ranked)} of {len(ranked)}"),
        ("calls", f"{calls:,}"),
    ]
    known = [row for row in ranked if row["expected_precision"] == row["expected_precision"]]
    if known:
        right = sum(row["expected_precision"] * row["calls"] for row in known)
        tiles.append(("expected to be right", f"{round(right):,}"))
    return tiles


def _sentences(scan: ScanFolder, sizes: dict[str, int], shown: Shown) -> list[str]:
    """What ran on what, in plain words."""
    record, key = scan.record, scan.record["key"]
    model = record.get("model", "a model")
    strands = {"both": "both strands, their mean", "max": "both strands, the higher of the two"}
    strand = strands.get(key["strand"], f"the {key['strand']} strand")
    words = [
        f"The model {model} scored a position every {key['stride']} bp of "
        f"{sum(sizes.values()):,} bases in {count(len(sizes), 'contig')} ({strand}; backend "
        f"{key['backend']}, {key['precision']}). It reads DNA alone: it does not know which of "
        "these places are open in a cell.",
    ]
    if record.get("expected_precision_of"):
        words.append(f"What is expected to be right: {record['expected_precision_of']}.")
    if key["within"]:
        words.append("Only regions of a BED file were called.")
    if record["skipped_contigs"]:
        words.append(f"{count(len(record['skipped_contigs']), 'contig')} left out: see run.json.")
    if len(shown.sizes) < len(sizes):
        words.append(f"This page draws the {len(shown.sizes)} longest contigs.")
    return words
