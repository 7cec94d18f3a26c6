"""grades.tsv: how far each label can be trusted, by what calls were worth on validation."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

from ..base.errors import TcnfastError
from ..base.tables import as_cell, as_number, read_table, write_rows
from .ladder import HALF, Ladder, read_ladders, write_ladders
from .metrics import MIN_POSITIVES

GRADES = ("A", "B", "C", "D")
RECALL_OF = {"A": 0.4, "B": 0.2, "C": 0.0}
CALLS, WITHIN, GRADED = "calls.tsv", "calls.within.tsv", "grades.tsv"
_READ = ("label", "grade", "peaks", "AP", "motif_AP")
_SHOWN = ("threshold", "precision", "precision_low", "precision_high", "recall", "calls_per_mb")

_HEADING = "## Calls"
_SECTION = re.compile(rb"^%s\n.*?(?=^## |\Z)" % _HEADING.encode(), re.DOTALL | re.MULTILINE)
_RULE = """\
Calls were compared with peaks on {measured_on}, called as a scan calls them (both strands, \
joined over 64 bp, at least 64 bp long), at 32 cutoffs a label: `calls.tsv`. A call is right if \
it touches a peak of its label. Precision never falls along the cutoffs (isotonic regression); \
megabases are weighed so that they hold as many peaks in the mean as those of training, and each \
label is lent 20 calls at the precision that all labels have at the same cutoff. Intervals (95 %) \
are over blocks of a megabase. The default cutoff of a scan has the best F1 of calls with at \
least half of them expected to be right.

A label has grade A, B or C if some cutoff has half of its calls right with the lower end of the \
interval, over 20 calls or more, and there are {peaks} peaks: A if its calls at the default \
cutoff find 40 % of the peaks, B if 20 %, C if fewer; one grade lower if the average precision of \
its windows is not above that of its best single motif (where that was measured). All others are \
D: a scan calls them where they are named.
"""


@dataclass(frozen=True)
class Grade:
    """Of one label: ``peaks`` on validation, ``ap`` of its windows there and ``motif_ap``, that of
    its best single motif (NaN where not measured)."""

    label: str
    grade: str
    peaks: int
    ap: float
    motif_ap: float


@dataclass(frozen=True)
class Calls:
    """What a model knows of its calls: a ladder and a grade for each label, and the ladders
    ``within`` open chromatin of the labels for which that was measured."""

    ladders: dict[str, Ladder]
    grades: dict[str, Grade]
    within: dict[str, Ladder]

    def ladder(self, label: str, within: bool = False) -> Ladder | None:
        """That of a scan of the whole genome, or of one ``within`` open chromatin."""
        return (self.within if within else self.ladders).get(label)

    def trusted(self, label: str) -> bool:
        """Whether a label is called unasked."""
        return self.grades[label].grade != GRADES[-1]

    def counts(self) -> dict[str, int]:
        """Labels of each grade."""
        found = [grade.grade for grade in self.grades.values()]
        return {grade: found.count(grade) for grade in GRADES}


def grade(ladder: Ladder, peaks: int, ap: float, motif_ap: float = math.nan) -> Grade:
    """The grade of a label by the rule that its card states."""
    letter = GRADES[-1]
    if peaks >= MIN_POSITIVES and ladder.at_precision(HALF):
        recall = ladder.best().recall
        letter = next(letter for letter, least in RECALL_OF.items() if recall >= least)
        if ap <= motif_ap:
            letter = GRADES[GRADES.index(letter) + 1]
    return Grade(ladder.label, letter, peaks, ap, motif_ap)


def calls_words(calls: Calls, measured_on: str) -> str:
    """What a card says of calls: how they were measured, the rule of the grades, and the labels of
    each grade, in Markdown."""
    rule = _RULE.format(measured_on=measured_on, peaks=MIN_POSITIVES)
    lines = []
    for letter in GRADES:
        names = [label for label, row in calls.grades.items() if row.grade == letter]
        lines.append(f"- {letter} ({len(names)}): {', '.join(names) or '-'}")
    return f"{_HEADING}\n\n{rule}\n" + "\n".join(lines) + "\n\n"


def renewed_card(card: bytes, words: str) -> bytes:
    """A card with ``words`` of :func:`calls_words` in place of what it says of calls; at its end
    where it says nothing."""
    found = _SECTION.search(card)
    if found is None:
        return card.rstrip(b"\n") + b"\n\n" + words.encode()
    return card[: found.start()] + words.encode() + card[found.end() :]


def write_calls(folder: Path, calls: Calls | None) -> None:
    """Write the tables into a model folder; without ``calls`` none is left there."""
    for name in (CALLS, WITHIN, GRADED):
        (folder / name).unlink(missing_ok=True)
    if calls is None:
        return
    write_ladders(folder / CALLS, calls.ladders)
    if calls.within:
        write_ladders(folder / WITHIN, calls.within)
    rows = []
    for label, row in calls.grades.items():
        best = calls.ladders[label].best()
        shown = (best.threshold, best.precision, best.low, best.high, best.recall, best.per_mb)
        numbers = as_cell(row.ap, ".4f"), as_cell(row.motif_ap, ".4f")
        rows.append((label, row.grade, row.peaks, *numbers, *(f"{x:.4g}" for x in shown)))
    write_rows(folder / GRADED, (*_READ, *_SHOWN), rows)


def read_calls(folder: Path, labels: list[str]) -> Calls | None:
    """What a model folder knows of calls, None where it has no calls.tsv; TcnfastError that names
    the file at fault."""
    if not (folder / CALLS).exists():
        return None
    ladders = read_ladders(folder / CALLS, labels)
    within = folder / WITHIN
    inside = read_ladders(within, labels, every=False) if within.exists() else {}
    path, grades = folder / GRADED, {}
    for number, row in enumerate(read_table(path, _READ), 2):
        try:
            ap, motif = (as_number(row[x]) for x in _READ[3:])
            if row["grade"] not in GRADES:
                raise ValueError(f"grade {row['grade']!r} is none of {', '.join(GRADES)}")
            made = Grade(row["label"], row["grade"], int(row["peaks"]), ap, motif)
        except ValueError as error:
            raise TcnfastError(f"{path}:{number}: {error}") from None
        grades[row["label"]] = made
    absent = [label for label in labels if label not in grades]
    if absent:
        raise TcnfastError(f"{path}: no grade for label {absent[0]!r}")
    return Calls(ladders, {label: grades[label] for label in labels}, inside)
