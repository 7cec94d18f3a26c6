"""What ``tcnfast motifs`` writes: tables, BED files and a MEME file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ..pwm.hits import Hit
from ..pwm.tomtom import Match
from .patterns import Pattern, PatternSet

MOTIFS, MATCHES, LABELS, MEME = "motifs.tsv", "matches.tsv", "labels.tsv", "motifs.meme"
KNOWN = "matches.meme"
SHOWN = 5  # matches of a pattern that matches.tsv lists

MOTIF_COLUMNS = (
    "label", "pattern", "sign", "seqlets", "sites", "consensus", "match", "match_name", "p", "q",
    "similarity", "named_match", "named_q", "distance_median", "distance_spread",
)  # fmt: skip
MATCH_COLUMNS = (
    "label", "pattern", "rank", "match", "match_name", "p", "q", "similarity", "offset", "overlap",
    "strand",
)  # fmt: skip
LABEL_COLUMNS = ("label", "windows", "patterns", "seqlets", "note")
SEQLET_HEADER = (
    "#chrom\tstart\tend\tpattern\tscore\tstrand\tlabel\tseqlet_start\tseqlet_end\tmatch_name\n"
)
HIT_HEADER = "#chrom\tstart\tend\tpattern\tscore\tstrand\tlabel\tbits\tp\n"


def motif_row(label: str, pattern: Pattern, matches: list[Match]) -> dict[str, str]:
    """One row of motifs.tsv.

    ``sites``: seqlets at places of their own. ``named_*``: the best match among motifs named for
    the label's factor. ``distance_median`` (of the absolute distance of sites from the middle of
    their windows) and ``distance_spread`` (interquartile range of the signed one) in bp.
    """
    best = matches[0] if matches else None
    factor, query = label.partition("@")[0], pattern.frequencies[pattern.core]
    named = next((match for match in matches if match.target.is_named(factor)), None)
    quarter, three = np.percentile(pattern.distance, (25, 75))
    match = (None,) * 5
    if best:
        match = (best.target.id, best.target.name, f"{best.p:.2e}", f"{best.q:.2e}",
                 f"{best.similarity(query):.2f}")  # fmt: skip
    values = (
        label, pattern.name, pattern.sign, len(pattern), len(pattern.distinct), pattern.consensus,
        *match, named and named.target.id, named and f"{named.q:.2e}",
        f"{np.median(np.abs(pattern.distance)):.0f}", f"{three - quarter:.0f}",
    )  # fmt: skip
    return _row(MOTIF_COLUMNS, values)


def match_rows(label: str, pattern: Pattern, matches: list[Match]) -> list[dict[str, str]]:
    """The ``SHOWN`` best matches of a pattern as rows of matches.tsv."""
    query = pattern.frequencies[pattern.core]
    return [
        _row(
            MATCH_COLUMNS,
            (label, pattern.name, rank, match.target.id, match.target.name, f"{match.p:.2e}",
             f"{match.q:.2e}", f"{match.similarity(query):.2f}", match.offset, match.overlap,
             match.strand),
        )
        for rank, match in enumerate(matches[:SHOWN], 1)
    ]  # fmt: skip


def _row(columns: tuple[str, ...], values: Iterable) -> dict[str, str]:
    """NA stands for what is None."""
    return {
        column: "NA" if value is None else str(value)
        for column, value in zip(columns, values, strict=True)
    }


def write_table(path: Path, columns: tuple[str, ...], rows: list[dict[str, str]]) -> None:
    lines = ["\t".join(columns), *("\t".join(row[column] for column in columns) for row in rows)]
    path.write_text("\n".join(lines) + "\n")


def seqlet_lines(found: PatternSet, names: dict[str, str]) -> str:
    """Seqlets of a label as BED lines with a header, sorted by place, each place of a pattern once.

    Start and end are the trimmed motif's; ``names``: the match that each pattern is called by. The
    score is the contribution as a share of the label's largest, in thousandths.
    """
    largest = max((np.abs(pattern.score).max() for pattern in found.patterns), default=1)
    rows = []
    for pattern in found.patterns:
        begin, end = pattern.sites
        for i in pattern.distinct.tolist():
            score = round(1000 * abs(float(pattern.score[i])) / largest)
            strand = "-" if pattern.reverse[i] else "+"
            first = int(pattern.start[i])
            rows.append(
                (str(pattern.chrom[i]), int(begin[i]), int(end[i]), pattern.name, score, strand,
                 found.label, first, first + pattern.width, names.get(pattern.name, "NA"))
            )  # fmt: skip
    # seqlets in the N outside a contig have no line of BED
    lines = ["\t".join(map(str, row)) for row in sorted(rows) if row[1] >= 0]
    return SEQLET_HEADER + "".join(f"{line}\n" for line in lines)


def hit_lines(label: str, hits: list[Hit]) -> str:
    """Hits of a label as BED lines with a header; the score is -10 log10 p, at most 1000."""
    lines = []
    for hit in hits:
        score = min(1000, round(-10 * np.log10(max(hit.p, 1e-100))))
        pattern = hit.motif.rpartition(".")[2]
        lines.append(
            f"{hit.chrom}\t{hit.start}\t{hit.end}\t{pattern}\t{score}\t{hit.strand}\t{label}\t"
            f"{hit.score:.2f}\t{hit.p:.2e}\n"
        )
    return HIT_HEADER + "".join(lines)
