"""Loci of a report for the genome browser inside its page: the letters of each, what every base
contributes, and what else is known there."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from ..scan.page_calls import encoded
from .report_loci import Locus

LOCI_BYTES = 3_000_000  # of the page: what the browser shows
STEPS = 1_000  # of the largest contribution, in which contributions are told


def pack_loci(
    title: str, loci: Mapping[str, Sequence[Locus]], sizes: Mapping[str, int], budget: int
) -> tuple[list[int], Markup]:
    """Numbers, over all loci in their order, of those that ``budget`` bytes have room for, and what
    report.js reads: base64 of the gzip of JSON. ``sizes``: lengths of contigs that are known."""
    shown, packed, number = [], [], -1
    for label, some in loci.items():
        for locus in some:
            number += 1
            told = _told(label, locus)
            cost = len(gzip.compress(json.dumps(told).encode(), 6)) * 4 // 3
            if cost <= budget:
                budget -= cost
                shown.append(number)
                packed.append(told)
    contigs = {told["chrom"] for told in packed}
    known = {chrom: size for chrom, size in sizes.items() if chrom in contigs}
    facts = {"title": title, "steps": STEPS, "sizes": known, "loci": packed}
    data = gzip.compress(json.dumps(facts, allow_nan=False).encode(), 6, mtime=0)
    return shown, Markup(encoded(data))


def _told(label: str, locus: Locus) -> dict:
    """A locus without the N before its contig."""
    cut = max(0, -locus.start)
    values = locus.values[cut:]
    unit = max(float(abs(values).max()), 1e-6) / STEPS
    return {
        "label": label,
        "chrom": locus.chrom,
        "start": locus.start + cut,
        "letters": "".join("ACGTN"[code] for code in locus.codes[cut:].tolist()),
        "unit": unit,
        "values": (values / unit).round().astype(int).tolist(),
        "first": locus.first,
        "stride": locus.stride,
        "predicted": [round(float(x), 3) for x in locus.predicted],
        "spans": {name: spans for name, spans in locus.spans.items()},
    }
