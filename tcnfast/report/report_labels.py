"""The table of a report's labels: what a scan, an evaluation and the motifs say of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from markupsafe import Markup

from ..base.page_table import Cell, Column, Table, breakable
from ..scan.page_labels import CALLS, GRADE, LABEL, RIGHT, THRESHOLD, label_cells
from .report_model import Metrics, Score
from .report_motifs import LabelMotifs
from .report_scan import ScanPart

AP = Column("AP", "ap", number=True, about="average precision")
WINDOWS = Column("Windows", "windows", number=True, about="that were attributed")
MOTIF = Column("Strongest motif", "motif")
MATCH = Column("Best match", "match")
Q = Column("q", "q", number=True, wide=True, about="of the match, Benjamini and Hochberg")
SEQLETS = Column("Seqlets", "seqlets", number=True, wide=True)
VERDICT = Column("Verdict", "verdict", wide=True)


def ranked_labels(scan: ScanPart, metrics: Metrics, sections: Sequence[LabelMotifs]) -> list[str]:
    """Every label that something is said of, the best first: as in the scan, by grade and expected
    precision; then by AP; then as they come."""
    known = [label["name"] for label in scan.labels]
    by_ap = sorted(metrics.labels, key=lambda name: -metrics.labels[name].share)
    return list(dict.fromkeys([*known, *by_ap, *(section.label for section in sections)]))


def label_table(
    names: Sequence[str], scan: ScanPart, metrics: Metrics, sections: Sequence[LabelMotifs]
) -> Table:
    """Columns are those that some label has something in."""
    facts = {label["name"]: label for label in scan.labels}
    places = {section.label: (index, section) for index, section in enumerate(sections, 1)}
    motifs = any(section.searched for section in sections)
    columns = [LABEL]
    if any(label["grade"] for label in scan.labels):
        columns.append(GRADE)
    if scan.labels:  # on a phone motifs matter more
        shown = (CALLS, RIGHT) if motifs else (CALLS, RIGHT, THRESHOLD)
        columns += [replace(x, wide=x.wide or motifs) for x in shown]
    if metrics.labels:
        columns.append(replace(AP, wide=motifs or bool(scan.labels)))
    if motifs:
        columns += [MOTIF, MATCH, VERDICT, Q, SEQLETS]
    elif sections:
        columns.append(WINDOWS)
    rows = []
    for name in names:
        cells = (
            {x.key: cell for x, cell in label_cells(facts[name]).items()} if name in facts else {}
        )
        index, section = places.get(name, (0, None))
        cells |= {"ap": _ap(metrics.labels.get(name, Score()))} | _motif_cells(section)
        shown = Markup('<a href="#label-{}">{}</a>').format(index, breakable(name))
        cells["name"] = Cell(shown if section else breakable(name), name)
        rows.append([cells.get(column.key, Cell("", None)) for column in columns])
    return Table("overview", columns, rows, find="CTCF, K562, ...")


def _ap(score: Score) -> Cell:
    if not score.ap:
        return Cell("", None)
    return Cell(score.ap, score.share)


def _motif_cells(section: LabelMotifs | None) -> dict[str, Cell]:
    if section is None:
        return {}
    if not section.searched:
        return {"windows": Cell(f"{section.windows:,}", section.windows)}
    pill = Markup('<span class="pill {}">{}</span>').format(section.verdict, section.verdict_words)
    cells = {"verdict": Cell(pill, section.verdict_words)}
    if not section.cards:
        return cells
    first = section.cards[0]
    named = first.name != "unknown"
    name = first.row.match_name if named else Markup('<span class="muted">none</span>')
    return cells | {
        "motif": Cell(first.logo, first.pattern.consensus),
        "match": Cell(name, str(name) if named else None),
        "q": Cell(first.q, float(first.row.q) if first.matches else None),
        "seqlets": Cell(f"{len(first.pattern):,}", len(first.pattern)),
    }
