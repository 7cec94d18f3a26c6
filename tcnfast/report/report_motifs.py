"""The motifs of a report: for each label a card for every pattern, with the known motif that it
resembles drawn under it, column by column."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from ..base.logo import draw_logo
from ..base.svg import draw_histogram
from ..base.talk import count
from ..motifs.motif_folder import MotifFolder
from ..motifs.patterns import Pattern
from ..pwm.meme import Motif, information

SIGNIFICANT = 1e-3  # q-value up to which a match counts
MARGIN = 4  # columns of a known motif that are shown beyond the found one
REACH, BIN = 200, 20  # of the histogram of places, bp
LOGO_HEIGHT = 34

VERDICTS = {
    "own": "own motif",
    "other": "another factor's motif",
    "unknown": "no known motif",
    "nothing": "no motif",
    "unsearched": "motifs not looked for",
}


@dataclass(frozen=True)
class MotifCard:
    """A pattern, its row of motifs.tsv and rows of matches.tsv (named tuples), and drawings."""

    pattern: Pattern
    row: Any
    matches: list[Any]
    logo: Markup
    known: Markup | None  # the best match, aligned
    places: Markup

    @property
    def verdict(self) -> str:
        if not self.row.q <= SIGNIFICANT:  # NaN: no match
            return "unknown"
        return "own" if self.row.named_q <= SIGNIFICANT else "other"

    @property
    def name(self) -> str:
        """The name of its best match, where that is significant."""
        return "unknown" if self.verdict == "unknown" else self.row.match_name

    @property
    def q(self) -> str:
        return f"{self.row.q:.2e}" if self.matches else "NA"


@dataclass(frozen=True)
class LabelMotifs:
    label: str
    windows: int
    note: str
    cards: list[MotifCard]
    searched: bool = True  # for motifs

    @property
    def verdict(self) -> str:
        """The best that can be said of any of its motifs that raise the score."""
        if not self.searched:
            return "unsearched"
        verdicts = [card.verdict for card in self.cards if card.pattern.sign == "pos"]
        return next((name for name in VERDICTS if name in verdicts), "nothing")

    @property
    def verdict_words(self) -> str:
        return VERDICTS[self.verdict]

    @property
    def seqlets(self) -> int:
        return sum(len(card.pattern) for card in self.cards)


def read_motifs(folder: MotifFolder, targets: Collection[str] | None = None) -> list[LabelMotifs]:
    """All labels of the folder, or those named, in its order."""
    rows = {(row.label, row.pattern): row for row in folder.motifs.itertuples()}
    matches = defaultdict(list)
    for row in folder.matches.itertuples():
        matches[row.label, row.pattern].append(row)
    sections = []
    for about in folder.summary.itertuples():
        if targets is not None and about.label not in targets:
            continue
        patterns = folder.patterns(about.label).patterns if about.patterns else []
        keys = [(about.label, pattern.name) for pattern in patterns]
        cards = [
            _card(pattern, rows[key], matches[key], folder.known)
            for pattern, key in zip(patterns, keys, strict=True)
        ]
        windows = int(about.windows) if cards else 0
        sections.append(LabelMotifs(about.label, windows, about.note, cards))
    return sections


def _card(pattern: Pattern, row: Any, matches: list[Any], known: dict[str, Motif]) -> MotifCard:
    logo, aligned = _draw(pattern, matches[0] if matches else None, known)
    words = (
        f"Places of {count(len(pattern), 'seqlet')} around the middle of their windows: median "
        f"distance {row.distance_median:.0f} bp"
    )
    places = draw_histogram(pattern.distance, REACH, BIN, words)
    return MotifCard(pattern, row, matches, logo, aligned, places)


def _draw(
    pattern: Pattern, match: Any | None, known: dict[str, Motif]
) -> tuple[Markup, Markup | None]:
    """Contributions of the trimmed motif, and the bits of its best match in the same columns."""
    core = pattern.contributions[pattern.core]
    words = f"Contributions of {pattern.name}, consensus {pattern.consensus}"
    if match is None:
        return draw_logo(core, words, height=LOGO_HEIGHT), None
    target, offset = known[match.match].probabilities, match.offset
    if match.strand == "-":
        target = target[::-1, ::-1]
    first = max(min(0, offset), -MARGIN)
    last = min(max(len(core), offset + len(target)), len(core) + MARGIN)
    ours = place(core, -first, last - first)
    theirs = place(information(target), offset - first, last - first)
    below = f"Known motif {match.match_name}, {match.match}, in the same columns"
    return (
        draw_logo(ours, words, height=LOGO_HEIGHT),
        draw_logo(theirs, below, height=LOGO_HEIGHT * 0.7, top=2),
    )


def place(matrix: np.ndarray, at: int, width: int) -> np.ndarray:
    """Zeros (width, 4) with ``matrix`` (w, 4) from row ``at`` on; what sticks out is cut off."""
    out = np.zeros((width, 4))
    first, last = max(at, 0), min(at + len(matrix), width)
    if last > first:
        out[first:last] = matrix[first - at : last - at]
    return out
