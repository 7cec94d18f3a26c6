"""What pages say of the labels of a scan: a row of a table each."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from ..base.page_table import Cell, Column, breakable, number_cell, share_bar

LABEL = Column("Label", "name")
GRADE = Column("Grade", "grade", about="A to D: how far calls of this label can be trusted")
CALLS = Column("Calls", "calls", number=True)
RIGHT = Column("Expected right", "precision", number=True, about="calls, and share of the calls")
PER_MB = Column("Calls a Mb", "per_mb", number=True, wide=True)
THRESHOLD = Column("Threshold", "threshold", number=True, wide=True, about="probability")


def label_facts(row: dict, bases: int) -> dict:
    """What is said of a label: of its ``row`` of a scan's summary over all contigs, ``bases`` in
    all. None for what is not known."""
    factor, _, cell = row["label"].partition("@")
    precision = _number(row["expected_precision"])
    return {
        "name": row["label"],
        "factor": factor,
        "cell": cell,
        "grade": row.get("grade"),
        "threshold": _number(row["threshold"]),
        "calls": int(row["calls"]),
        "per_mb": round(1e6 * row["calls"] / max(bases, 1), 2),
        "precision": precision,
        "right": None if precision is None else round(precision * row["calls"]),
    }


def _number(value: float) -> float | None:
    return None if value != value else float(value)


def label_columns(labels: Sequence[dict]) -> list[Column]:
    """Columns of :func:`label_cells`; grades only where some label has one."""
    graded = [GRADE] if any(label["grade"] for label in labels) else []
    return [LABEL, *graded, CALLS, RIGHT, PER_MB, THRESHOLD]


def label_cells(label: dict) -> dict[Column, Cell]:
    """Cells of a label by column."""
    precision, grade = label["precision"], label["grade"]
    right = Cell(Markup('<span class="muted">unknown</span>'), None)
    if precision is not None:
        shown = Markup('{}{:,} <span class="muted">{:.0%}</span>')
        right = Cell(shown.format(share_bar(precision), label["right"], precision), precision)
    return {
        LABEL: Cell(breakable(label["name"]), label["name"]),
        GRADE: grade_cell(grade),
        CALLS: number_cell(label["calls"], ","),
        RIGHT: right,
        PER_MB: number_cell(label["per_mb"], ".2f"),
        THRESHOLD: number_cell(label["threshold"], ".3f", "not called"),
    }


def grade_cell(grade: str | None) -> Cell:
    """A grade as a pill."""
    if grade is None:
        return Cell("", None)
    pill = Markup('<span class="pill grade-{0}">{0}</span>')
    return Cell(pill.format(grade), grade)
