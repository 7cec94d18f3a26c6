"""thresholds.tsv: how to call each label, and what to expect of the calls.

A model may be called at its best F1, or so that a share of the called windows is bound: that share
is a precision, and 1 minus it a false discovery rate (FDR). ``precision=0.5`` and ``fdr=0.5`` are
therefore the same cutoff, and so are ``precision=0.9`` and ``fdr=0.1``; the file holds each once,
under its precision.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

from ..base.errors import TcnfastError
from ..base.options import setting
from ..base.tables import as_cell, as_number, read_table, replace_file

PRECISIONS = (0.5, 0.9)  # FDR 50 % and 10 %: those that a published model has cutoffs for
COLUMNS = ("label", "threshold", "precision", "recall", "positives")


@dataclass(frozen=True)
class Cutoff:
    """A probability at or above which a label is called; ``precision`` and ``recall`` were
    measured there on held-out regions (NaN: nothing to measure them by).

    Of a row of thresholds.tsv they are those of windows. Of a ladder (ladder.py) they are those of
    calls, with the ends of the interval of the precision, the precision against relaxed peaks too,
    and the calls a megabase.
    """

    threshold: float
    precision: float
    recall: float
    low: float = math.nan
    high: float = math.nan
    relaxed: float = math.nan
    per_mb: float = math.nan


@dataclass(frozen=True)
class Threshold:
    """How to call one label: ``threshold``, ``precision`` and ``recall`` are the :class:`Cutoff` of
    the best F1. ``positives`` are the bound windows that precision and recall were measured on.

    ``at_precision`` maps a precision to the cutoff that reached it on validation, or to None where
    none did; it is empty for models published before those were kept.
    """

    label: str
    threshold: float
    precision: float
    recall: float
    positives: int
    at_precision: dict[float, Cutoff | None] = field(default_factory=dict)

    @property
    def best(self) -> Cutoff:
        """The cutoff of the best F1."""
        return Cutoff(self.threshold, self.precision, self.recall)


def parse_cutoff(rule: str | float) -> str:
    """One spelling of ``best``, ``f1``, ``precision=P``, ``fdr=Q`` (which is precision=1-Q),
    ``recall=R`` or a probability; TcnfastError for anything else."""
    text = str(rule).strip().lower()
    if text in ("best", "f1"):
        return text
    kind, equals, number = text.rpartition("=")
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    value = round(1 - value if kind == "fdr" else value, 6)
    kinds = ("precision", "fdr", "recall") if equals else ("",)
    if kind not in kinds or not 0 < value < 1:
        raise TcnfastError(
            f"{setting('cutoff', rule)}: give best, f1, precision=P, fdr=P, recall=P, or a "
            "probability P; 0 < P < 1"
        )
    kind = "precision" if kind == "fdr" else kind
    return f"{kind}={value:g}" if kind else f"{value:g}"


def held_cutoffs(thresholds: dict[str, Threshold]) -> list[str]:
    """The rules that a model's thresholds know, as :func:`parse_cutoff` spells them."""
    precisions = next(iter(thresholds.values())).at_precision
    return ["f1", *(f"precision={p:g}" for p in sorted(precisions))]


def write_thresholds(path: Path, labels: list[str], thresholds: dict[str, Threshold]) -> None:
    """Write the table, a row a label; NA: out of reach, or not measured."""
    precisions = sorted({p for label in labels for p in thresholds[label].at_precision})
    header = [*COLUMNS, *(name for p in precisions for name in _columns_at(p))]
    rows = ["\t".join(header)]
    for label in labels:
        row = thresholds[label]
        cells = [label, *_cells(row.best), str(row.positives)]
        for precision in precisions:
            cells += _cells(row.at_precision[precision])
        rows.append("\t".join(cells))
    replace_file(path, ("\n".join(rows) + "\n").encode())


def read_thresholds(path: Path, labels: list[str]) -> dict[str, Threshold]:
    """The table of ``labels``; TcnfastError that names the line at fault."""
    thresholds = {}
    rows = read_table(path, COLUMNS)
    header = rows[0] if rows else ()
    precisions = [_precision_of(name, path) for name in header if name.startswith("threshold@")]
    for precision in precisions:
        read_table(path, _columns_at(precision))
    for number, row in enumerate(rows, 2):
        try:
            best = _cutoff([row[name] for name in ("threshold", "precision", "recall")])
            positives = int(row["positives"])
            others = {p: _cutoff([row[name] for name in _columns_at(p)]) for p in precisions}
            if best is None:
                raise ValueError("threshold NA is no probability")
        except ValueError as error:
            raise TcnfastError(f"{path}:{number}: {error}") from None
        thresholds[row["label"]] = Threshold(
            row["label"], best.threshold, best.precision, best.recall, positives, others
        )
    absent = [label for label in labels if label not in thresholds]
    if absent:
        raise TcnfastError(f"{path}: no threshold for label {absent[0]!r}")
    return thresholds


def _columns_at(precision: float) -> tuple[str, ...]:
    return tuple(f"{name}@precision={precision:g}" for name in ("threshold", "precision", "recall"))


def _precision_of(column: str, path: Path) -> float:
    text = column.removeprefix("threshold@precision=")
    try:
        precision = float(text)
    except ValueError:
        precision = math.nan
    if not 0 < precision < 1 or f"{precision:g}" != text:
        raise TcnfastError(f"{path}: column {column!r} names no precision between 0 and 1")
    return precision


def _cells(cutoff: Cutoff | None) -> list[str]:
    if cutoff is None:
        return ["NA"] * 3
    measured = (as_cell(x, ".4f") for x in (cutoff.precision, cutoff.recall))
    return [f"{cutoff.threshold:.6g}", *measured]


def _cutoff(cells: list[str]) -> Cutoff | None:
    if cells[0] == "NA":
        return None
    cutoff = Cutoff(*map(as_number, cells))
    if not 0 < cutoff.threshold < 1:
        raise ValueError(f"threshold {cutoff.threshold} is no probability")
    return cutoff
