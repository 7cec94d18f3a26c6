"""The motifs of a report: for each label a card for every pattern, with the known motif that it
resembles drawn under it, column by column."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from markupsafe import Markup

from ..base.file_names import file_names
from ..base.logo import draw_logo
from ..base.svg import draw_histogram
from ..base.tables import read_table
from ..motifs import motif_tables as tables
from ..motifs.patterns import Pattern, PatternSet
from ..pwm.meme import Motif, information, read_meme

SIGNIFICANT = 1e-3  # q-value up to which a match counts
MARGIN = 4  # columns of a known motif that are shown beyond the found one
REACH, BIN = 200, 20  # of the histogram of places, bp
LOGO_HEIGHT = 34

VERDICTS = {
    "own": "own motif",
    "other": "another factor's motif",
    "unknown": "no known motif",
    "nothing": "no motif",
}


@dataclass(frozen=True)
class MotifCard:
    pattern: Pattern
    row: dict[str, str]  # of motifs.tsv
    matches: list[dict[str, str]]  # of matches.tsv
    verdict: str
    logo: Markup
    known: Markup | None  # the best match, aligned
    places: Markup

    @property
    def name(self) -> str:
        """What the pattern is called by: its match, where that counts."""
        return self.row["match_name"] if self.verdict in ("own", "other") else "unknown"


@dataclass(frozen=True)
class LabelMotifs:
    label: str
    windows: str
    note: str
    cards: list[MotifCard]

    @property
    def verdict(self) -> str:
        """The best that can be said of any of its motifs that raise the score."""
        verdicts = [card.verdict for card in self.cards if card.pattern.sign == "pos"]
        return next((name for name in VERDICTS if name in verdicts), "nothing")

    @property
    def verdict_words(self) -> str:
        return VERDICTS[self.verdict]

    @property
    def seqlets(self) -> int:
        return sum(len(card.pattern) for card in self.cards)


def read_motifs(folder: Path, targets: list[str] | None = None) -> list[LabelMotifs]:
    """All labels of a folder of ``tcnfast motifs``, or those named, in its order."""
    labels = read_table(folder / tables.LABELS, tables.LABEL_COLUMNS)
    motifs, matches = defaultdict(dict), defaultdict(list)
    for row in read_table(folder / tables.MOTIFS, tables.MOTIF_COLUMNS):
        motifs[row["label"]][row["pattern"]] = row
    for row in read_table(folder / tables.MATCHES, tables.MATCH_COLUMNS):
        matches[row["label"], row["pattern"]].append(row)
    known = {}
    if matches:
        known = {motif.id: motif for motif in read_meme(folder / tables.KNOWN)}
    sections = []
    for row, name in zip(labels, file_names([row["label"] for row in labels]), strict=True):
        label, cards = row["label"], []
        if targets is not None and label not in targets:
            continue
        if motifs[label]:
            for pattern in PatternSet.open(folder / "patterns" / f"{name}.npz").patterns:
                ranked = matches[label, pattern.name]
                cards.append(_card(pattern, motifs[label][pattern.name], ranked, known))
        sections.append(LabelMotifs(label, row["windows"], row["note"], cards))
    return sections


def _card(
    pattern: Pattern, row: dict[str, str], matches: list[dict[str, str]], known: dict[str, Motif]
) -> MotifCard:
    verdict = "unknown"
    if row["q"] != "NA" and float(row["q"]) <= SIGNIFICANT:
        named = row["named_q"] != "NA" and float(row["named_q"]) <= SIGNIFICANT
        verdict = "own" if named else "other"
    logo, aligned = _draw(pattern, matches[0] if matches else None, known)
    places = draw_histogram(
        pattern.distance, REACH, BIN,
        f"Places of {len(pattern)} seqlets around the middle of their windows: median distance "
        f"{row['distance_median']} bp",
    )  # fmt: skip
    return MotifCard(pattern, row, matches, verdict, logo, aligned, places)


def _draw(
    pattern: Pattern, match: dict[str, str] | None, known: dict[str, Motif]
) -> tuple[Markup, Markup | None]:
    """Contributions of the trimmed motif, and the bits of its best match in the same columns."""
    core = pattern.contributions[pattern.core]
    words = f"Contributions of {pattern.name}, consensus {pattern.consensus}"
    if match is None:
        return draw_logo(core, words, height=LOGO_HEIGHT), None
    target, offset = known[match["match"]].probabilities, int(match["offset"])
    if match["strand"] == "-":
        target = target[::-1, ::-1]
    first = max(min(0, offset), -MARGIN)
    last = min(max(len(core), offset + len(target)), len(core) + MARGIN)
    ours = place(core, -first, last - first)
    theirs = place(information(target), offset - first, last - first)
    below = f"Known motif {match['match_name']}, {match['match']}, in the same columns"
    return (
        draw_logo(ours, words, height=LOGO_HEIGHT),
        draw_logo(theirs, below, height=LOGO_HEIGHT * 0.7, top=2),
    )


def place(matrix: np.ndarray, at: int, width: int) -> np.ndarray:
    """``matrix`` (w, 4) from row ``at`` of ``width`` rows on; what sticks out is cut off."""
    out = np.zeros((width, 4))
    first, last = max(at, 0), min(at + len(matrix), width)
    if last > first:
        out[first:last] = matrix[first - at : last - at]
    return out
