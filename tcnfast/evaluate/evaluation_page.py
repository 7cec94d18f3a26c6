"""index.html of an evaluation: its means, its plots, and a row of every label."""

from __future__ import annotations

from pathlib import Path

from ..base.chart import as_file
from ..base.disk import write_text
from ..base.page_table import Cell, Column, Table, breakable, number_cell
from ..base.pages import render_page
from . import plots
from .evaluation_folder import EvaluationTables

PAGE = "index.html"
_BOUND = "windows that touch a peak of the label"
COLUMNS = {
    "label": Column("Label", "label"),
    "AP": Column("AP", "AP", number=True, about="average precision"),
    "chance": Column("Chance", "chance", number=True, wide=True, about="AP of a guess"),
    "best_motif_AP": Column("Best motif", "best_motif_AP", number=True, about="its AP"),
    "CpG_AP": Column("CpG", "CpG_AP", number=True, wide=True, about="AP of CpG content"),
    "against_AP": Column("Other model", "against_AP", number=True, about="its AP"),
    "AUROC": Column("AUROC", "AUROC", number=True, wide=True),
    "precision": Column("Precision", "precision", number=True, wide=True, about="at the cutoff"),
    "recall": Column("Recall", "recall", number=True, wide=True, about="at the cutoff"),
    "calls": Column("Calls", "calls", number=True),
    "call_precision": Column("Right", "call_precision", number=True, about="calls at a peak"),
    "call_recall": Column("Found", "call_recall", number=True, wide=True, about="peaks called"),
    "positives": Column("Bound", "positives", number=True, wide=True, about=_BOUND),
}
WHOLE = ("calls", "positives")  # numbers without decimals
MEANS = {"ap": "macro-AP", "auroc": "macro-AUROC", "f1": "best F1", "ece": "calibration error"}


def write_page(folder: Path, words: list[str]) -> None:
    """Write the page, and its plots as files, into the folder of an evaluation whose tables are
    written. ``words``: the summary for a reader."""
    tables = EvaluationTables(folder)
    drawn = {
        "precision_recall": plots.draw_precision_recall(tables),
        "reliability": plots.draw_reliability(tables),
    }
    labels = plots.draw_labels(tables)
    names = ["labels", *(f"labels.{index}" for index in range(2, len(labels) + 1))]
    for name, drawing in {**drawn, **dict(zip(names, labels, strict=False))}.items():
        write_text(folder / f"{name}.svg", as_file(drawing))
    summary = tables.summary
    page = render_page(
        "evaluate.html",
        title=f"{summary['model']} on part {summary['part']}",
        words=words,
        tiles=[("labels", f"{summary['labels']:,}"), *mean_tiles(summary)],
        **drawn,
        bars=labels,
        rivals=[name for name, _, _ in plots.LabelBars.of(tables).rivals],
        table=score_table(tables),
    )
    write_text(folder / PAGE, page)


def mean_tiles(summary: dict) -> list[tuple[str, str]]:
    """Means over labels and their intervals, as text."""
    tiles = []
    for name, title in MEANS.items():
        entry = summary["macro"].get(name, {})
        if entry.get("value") is not None:
            low, high = entry.get("low"), entry.get("high")
            ends = "" if low is None else f" ({low:.3f} to {high:.3f})"
            tiles.append((title, f"{entry['value']:.{4 if name == 'ece' else 3}f}{ends}"))
    return tiles


def score_table(tables: EvaluationTables) -> Table:
    """A row of each label, the best AP first."""
    scores = tables.scores.sort_values("AP", ascending=False, kind="stable")
    columns = {name: column for name, column in COLUMNS.items() if name in scores}
    rows = []
    for row in scores.to_dict("records"):
        cells = [Cell(breakable(row["label"]), row["label"])]
        for name in list(columns)[1:]:
            form = ",.0f" if name in WHOLE else ".4f" if name == "chance" else ".3f"
            cells.append(number_cell(row[name], form))
        rows.append(cells)
    return Table("scores", list(columns.values()), rows, find="CTCF, K562, ...")
