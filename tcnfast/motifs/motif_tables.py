"""The tables and BED files that ``tcnfast motifs`` writes."""

from __future__ import annotations

import numpy as np

from ..pwm.hits import Hits
from ..pwm.similarity import Match
from .patterns import Pattern, PatternSet

SHOWN = 5  # matches of a pattern that matches.tsv lists
_MATCH = ("match", "match_name", "p", "q", "similarity")
MOTIF_COLUMNS = (
    *("label", "pattern", "sign", "seqlets", "sites", "consensus"),
    *_MATCH,
    *("named_match", "named_q", "distance_median", "distance_spread"),
)
MATCH_COLUMNS = ("label", "pattern", "rank", *_MATCH, "offset", "overlap", "strand")
LABEL_COLUMNS = ("label", "windows", "patterns", "seqlets", "note")
_BED = ("#chrom", "start", "end", "pattern", "score", "strand", "label")
SEQLET_COLUMNS = (*_BED, "seqlet_start", "seqlet_end", "match_name")
HIT_COLUMNS = (*_BED, "bits", "p")


def motif_row(label: str, pattern: Pattern, matches: list[Match]) -> tuple:
    """One row of motifs.tsv.

    ``sites``: seqlets at places of their own. ``named_*``: the best match among motifs named for
    the label's factor. ``distance_median`` (of the absolute distance of sites from the middle of
    their windows) and ``distance_spread`` (interquartile range of the signed one) in bp.
    """
    factor = label.partition("@")[0]
    named = next((match for match in matches if match.target.is_named(factor)), None)
    quarter, three = np.percentile(pattern.distance, (25, 75))
    return (
        *(label, pattern.name, pattern.sign),
        *(len(pattern), len(pattern.distinct), pattern.consensus),
        *(_match(matches[0], pattern) if matches else [None] * len(_MATCH)),
        named and named.target.id,
        named and f"{named.q:.2e}",
        f"{np.median(np.abs(pattern.distance)):.0f}",
        f"{three - quarter:.0f}",
    )


def match_rows(label: str, pattern: Pattern, matches: list[Match]) -> list[tuple]:
    """The ``SHOWN`` best matches of a pattern as rows of matches.tsv."""
    return [
        (label, pattern.name, rank, *_match(x, pattern), x.offset, x.overlap, x.strand)
        for rank, x in enumerate(matches[:SHOWN], 1)
    ]


def _match(match: Match, pattern: Pattern) -> tuple:
    alike = match.similarity(pattern.frequencies[pattern.core])
    return match.target.id, match.target.name, f"{match.p:.2e}", f"{match.q:.2e}", f"{alike:.2f}"


def label_row(found: PatternSet) -> tuple:
    """One row of labels.tsv, for a label that was searched."""
    note = "" if found.patterns else "no cluster of seqlets held together"
    return found.label, found.windows, len(found.patterns), sum(map(len, found.patterns)), note


def seqlet_rows(found: PatternSet, names: dict[str, str | None]) -> list[tuple]:
    """Seqlets of a label as rows of a BED file, sorted by place, each place of a pattern once.

    Start and end are the trimmed motif's; ``names``: the match that each pattern is called by. The
    score is the contribution as a share of the label's largest, in thousandths.
    """
    largest = max((np.abs(pattern.score).max() for pattern in found.patterns), default=1)
    rows = []
    for pattern in found.patterns:
        begin, end = pattern.sites
        for i in pattern.distinct.tolist():
            first, strand = int(pattern.start[i]), "-" if pattern.reverse[i] else "+"
            score = round(1000 * abs(float(pattern.score[i])) / largest)
            place = str(pattern.chrom[i]), int(begin[i]), int(end[i])
            around = first, first + pattern.width
            name = names[pattern.name] or "NA"
            rows.append((*place, pattern.name, score, strand, found.label, *around, name))
    # seqlets in the N outside a contig have no line of BED
    return [row for row in sorted(rows) if row[1] >= 0]


def hit_rows(label: str, patterns: list[str], chrom: np.ndarray, hits: Hits) -> list[tuple]:
    """Hits of a label's ``patterns`` on contigs ``chrom`` (n,) as rows of a BED file; the score is
    -10 log10 p, at most 1000."""
    tens = np.rint(-10 * np.log10(np.maximum(hits.p, 1e-100))).astype(int).clip(max=1000)
    place = chrom, hits.start, hits.end, hits.motif
    columns = (x.tolist() for x in (*place, tens, hits.reverse, hits.score, hits.p))
    return [
        (name, start, end, patterns[motif], score, "+-"[reverse], label, f"{bits:.2f}", f"{p:.2e}")
        for name, start, end, motif, score, reverse, bits, p in zip(*columns, strict=True)
    ]
