"""summary.tsv of a scan: what was called of each label, in all and on each contig."""

from __future__ import annotations

from pathlib import Path

COLUMNS = {
    "label": str,
    "chrom": str,
    "threshold": float,
    "expected_precision": float,
    "calls": int,
    "bases": int,
}


def summary_rows(labels, rules, chroms, counts) -> list[dict]:
    """``counts`` int (labels, contigs, 2): calls and bases; ``rules``: a label's cutoff or None."""
    rows = []
    for label, per_chrom in zip(labels, counts, strict=True):
        rule = rules[label]
        head = {
            "label": label,
            "threshold": rule.threshold if rule else float("nan"),
            "expected_precision": rule.precision if rule else float("nan"),
        }
        both = [("all", per_chrom.sum(0)), *zip(chroms, per_chrom, strict=True)]
        for chrom, (calls, bases) in both:
            row = {**head, "chrom": chrom, "calls": int(calls), "bases": int(bases)}
            rows.append({name: row[name] for name in COLUMNS})
    return rows


def write_summary(path: Path, rows: list[dict]) -> None:
    lines = ["\t".join(COLUMNS), *("\t".join(str(row[name]) for name in COLUMNS) for row in rows)]
    path.write_text("\n".join(lines) + "\n")


def read_summary(path: Path) -> list[dict]:
    """Rows of summary.tsv as dicts."""
    rows = [line.split("\t") for line in path.read_text().splitlines()[1:]]
    return [
        {name: kind(text) for (name, kind), text in zip(COLUMNS.items(), row, strict=True)}
        for row in rows
    ]
