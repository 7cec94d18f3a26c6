"""The table and the picture of docs/motifs.md, from what studies/motifs.py wrote.

python -m benchmarks.studies.motif_table OUT/all picture.svg > table.md
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from tcnfast.base.logo import draw_logo, glyph_definitions
from tcnfast.motifs.motif_folder import MotifFolder
from tcnfast.report.report_motifs import SIGNIFICANT, LabelMotifs, MotifCard, read_motifs

# motifs of JASPAR that a person of the field would call the same, and the factors they belong to
FAMILIES = {
    "ETS": (r"ELK|ETV|ETS|ERG|ELF|GABPA|FLI|EHF|ERF|SPI", ("GABPA", "SPI1", "ETS1")),
    "AP-1": (r"FOS|JUN|BATF", ("JUND", "ATF3", "FOS")),
    "C/EBP": (r"CEBP", ("CEBPB",)),
    "FOX": (r"FOX", ("FOXA1", "FOXA2")),
    "TEAD": (r"TEAD", ("TEAD4",)),
    "CREB/ATF": (r"CRE[BM]|ATF|FOSB::JUN$|JUN::JUNB$", ("ATF7", "CREB1", "ATF3")),
    "E-box": (r"MAX|MYC|MXI|USF|MLX|MNT|HES", ("MAX", "MYC", "MXI1")),
    "MAF": (r"MAF|NFE2|BACH", ("MAFK",)),
    "GATA": (r"GATA", ("GATA3",)),
    "YY1": (r"YY|ZFP42", ("YY1",)),
    "ZNF143": (r"ZNF143|ZNF76", ("ZNF143",)),
}
DRAWN = 12
WIDE, HIGH, PER_ROW = 300, 92, 3


def main() -> None:
    sections = read_motifs(MotifFolder(sys.argv[1]))
    print("| label | windows | verdict | its motif | other motifs |\n|---|---:|---|---|---|")
    for section in sections:
        print(table_row(section))
    own = [(s, card) for s in sections for card in s.cards[:3] if judge(s.label, card) == "own"]
    first = {}
    for section, card in sorted(own, key=lambda pair: -len(pair[1].pattern)):
        first.setdefault(section.label.partition("@")[0], (section, card))
    Path(sys.argv[2]).write_text(draw(list(first.values())[:DRAWN]))


def table_row(section: LabelMotifs) -> str:
    """One label: whether its own motif is there, and what else is."""
    good = [card for card in section.cards if judge(section.label, card) != "unknown"]
    verdicts = [judge(section.label, card) for card in good]
    verdict = next((v for v in ("own", "family", "other") if v in verdicts), "nothing")
    mine = good[verdicts.index(verdict)] if good else None
    its = "" if verdict in ("other", "nothing") else words(mine, verdict)
    others = [words(card) for card in good if not its or card is not mine]
    unmatched = len(section.cards) - len(good)
    if unmatched:
        others.append(f"{unmatched} unmatched")
    shown = {"other": "partner's"}.get(verdict, verdict)
    return f"| {section.label} | {section.windows} | {shown} | {its} | {', '.join(others)} |"


def judge(label: str, card: MotifCard) -> str:
    """own: named for the factor; family: of a relative with the same motif; other; unknown."""
    if card.verdict in ("own", "unknown") or card.pattern.sign == "neg":
        return card.verdict if card.pattern.sign == "pos" else "unknown"
    factor, name = label.partition("@")[0], card.row.match_name.upper()
    for pattern, factors in FAMILIES.values():
        if factor in factors and re.search(f"^({pattern})", name):
            return "family"
    return "other"


def words(card: MotifCard, verdict: str = "other") -> str:
    q = card.row.named_q if verdict == "own" else card.row.q
    assert q <= SIGNIFICANT
    return f"{card.row.match_name} ({card.row.seqlets}, {q:.0e})"


def draw(shown: list[tuple[LabelMotifs, MotifCard]]) -> str:
    """Logos of some motifs as one SVG file."""
    rows = -(-len(shown) // PER_ROW)
    parts = []
    for index, (section, card) in enumerate(shown):
        x, y = 20 + WIDE * (index % PER_ROW), 10 + HIGH * (index // PER_ROW)
        core = card.pattern.contributions[card.pattern.core]
        logo = draw_logo(core, section.label, height=56)
        width = min(12.0 * len(core), WIDE - 40)
        inner = str(logo).replace("<svg ", f'<svg y="18" width="{width}" height="56" ', 1)
        name = f"{section.label}: {len(card.pattern)} seqlets"
        parts.append(f'<g transform="translate({x} {y})"><text y="12">{name}</text>{inner}</g>')
    style = (
        "text{font:13px sans-serif;fill:#333}.axis{stroke:#888;fill:none}#base-A{fill:#15803d}"
        "#base-C{fill:#1d4ed8}#base-G{fill:#c2690a}#base-T{fill:#c62828}"
    )
    size = f'width="{WIDE * PER_ROW}" height="{HIGH * rows + 20}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size}><style>{style}</style>'
        f'<rect width="100%" height="100%" fill="#fff"/>{glyph_definitions()}{"".join(parts)}</svg>'
    )


if __name__ == "__main__":
    main()
