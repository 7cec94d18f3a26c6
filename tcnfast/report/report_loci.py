"""Example loci of a report: predicted track, real peaks and the attribution of every base."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from ..attribute.attributions import Attributions
from ..base.logits import probability
from ..base.logo import draw_logo
from ..base.svg import draw_bars, draw_spans, draw_track
from ..engines.plan import Plan
from ..genome.genome import Genome
from ..genome.intervals import Intervals
from ..scan.scan_folder import ScanFolder
from .report_motifs import LabelMotifs, MotifCard

AROUND = 2_000  # bases on each side of a locus that tracks show
ZOOM = 44  # bases of the logo: legible on a phone
LOGO_HEIGHT = 56


@dataclass(frozen=True)
class Name:
    """A motif named under a logo; ``left`` and ``width`` in percent of it."""

    text: str
    strand: str
    left: float
    width: float


@dataclass(frozen=True)
class Locus:
    title: str
    logit: float
    reason: str
    rows: list[tuple[str, Markup, str]]  # name, drawing, what stands behind it
    span: tuple[str, str]  # of the rows
    bars: Markup
    bar_span: tuple[str, str]
    logo: Markup
    logo_span: tuple[str, str]
    names: list[Name]


@dataclass(frozen=True)
class LocusSources:
    """Where tracks and peaks of loci come from; None: not shown."""

    genome: Genome | None = None
    plan: Plan | None = None
    peaks: Intervals | None = None
    scan: ScanFolder | None = None


def example_loci(
    section: LabelMotifs, attributions: Attributions, count: int, sources: LocusSources
) -> list[Locus]:
    """For the label's first ``count`` motifs the window of highest logit that holds one."""
    loci, taken = [], set()
    calls = None
    if sources.scan is not None and section.label in sources.scan.called_labels:
        calls = sources.scan.intervals(section.label)
    for card in section.cards[:count]:
        rows = [row for row in card.pattern.window.tolist() if row not in taken]
        if not rows:
            continue
        row = max(rows, key=lambda row: attributions.logit[row])
        taken.add(row)
        loci.append(_locus(section, card, attributions, row, sources, calls))
    return loci


def _locus(
    section: LabelMotifs,
    card: MotifCard,
    attributions: Attributions,
    row: int,
    sources: LocusSources,
    calls: Intervals | None,
) -> Locus:
    chrom, start = str(attributions.chrom[row]), int(attributions.start[row])
    width = attributions.codes.shape[1]
    centre = start + width // 2
    first = max(centre - AROUND, 0)
    left, right = start - first, start + width - first  # the window, as the tracks see it
    projected = attributions.projected[row]
    zoom = _zoom(card, row, start, width)
    letters = np.eye(5, 4)[attributions.codes[row, zoom]] * projected[zoom, None]
    total = float(projected.sum())
    return Locus(
        f"{chrom}:{max(start, 0) + 1:,}-{start + width:,}",
        float(attributions.logit[row]),
        f"highest logit with {card.pattern.name} ({card.name})",
        _tracks(section.label, chrom, first, (left, right), sources, calls),
        (f"{first + 1:,}", f"{first + 2 * AROUND:,}"),
        draw_bars(
            projected,
            f"Attribution of each of {width} bases, in all {total:.2f}",
            (zoom.start, zoom.stop),
        ),
        (f"{start + 1:,}", f"{start + width:,}"),
        draw_logo(
            letters,
            f"Attribution of {chrom}:{start + zoom.start + 1}-{start + zoom.stop}",
            height=LOGO_HEIGHT,
        ),
        (f"{start + zoom.start + 1:,}", f"{start + zoom.stop:,}"),
        _names(section, row, start, zoom),
    )


def _zoom(card: MotifCard, row: int, start: int, width: int) -> slice:
    """``ZOOM`` bases of the window around the card's strongest seqlet in it."""
    begin, end = card.pattern.sites
    here = np.flatnonzero(card.pattern.window == row)
    best = here[np.abs(card.pattern.score[here]).argmax()]
    middle = (begin[best] + end[best]) // 2 - start
    first = int(np.clip(middle - ZOOM // 2, 0, max(width - ZOOM, 0)))
    return slice(first, min(first + ZOOM, width))


def _names(section: LabelMotifs, row: int, start: int, zoom: slice) -> list[Name]:
    """Motifs whose core lies wholly in the zoom; of two that overlap, the first in the list."""
    names, ends = [], []
    size = zoom.stop - zoom.start
    for card in section.cards:
        begin, end = card.pattern.sites
        for i in np.flatnonzero(card.pattern.window == row).tolist():
            a, b = int(begin[i]) - start - zoom.start, int(end[i]) - start - zoom.start
            if a < 0 or b > size or any(a < y and x < b for x, y in ends):
                continue
            ends.append((a, b))
            strand = "-" if card.pattern.reverse[i] else "+"
            text = card.name if card.name != "unknown" else card.pattern.name
            names.append(Name(text, strand, 100 * a / size, 100 * (b - a) / size))
    return names


def _tracks(
    label: str,
    chrom: str,
    first: int,
    marked: tuple[float, float],
    sources: LocusSources,
    calls: Intervals | None,
) -> list[tuple[str, Markup, str]]:
    rows = []
    span = 2 * AROUND
    if sources.plan is not None:
        values = predicted_track(sources.plan, sources.genome, label, chrom, first, span)
        top = max(float(values.max()), 0.05)
        stride = sources.plan.stride
        window = marked[0] / stride, marked[1] / stride
        words = f"Predicted probability of {label}, at most {values.max():.2f}"
        rows.append(("predicted", draw_track(values, words, top, window), f"up to {top:.2f}"))
    for name, intervals in (("calls", calls), ("real peaks", sources.peaks)):
        if intervals is None:
            continue
        mine = (intervals.chrom == chrom) & (intervals.end > first)
        mine &= intervals.start < first + span
        if intervals.label is not None:
            mine &= intervals.label == label
        ends = zip(intervals.start[mine].tolist(), intervals.end[mine].tolist(), strict=True)
        spans = [(a - first, b - first) for a, b in ends]
        words = f"{name} of {label}: {len(spans)} here"
        rows.append((name, draw_spans(spans, span, words, marked), ""))
    return rows


def predicted_track(
    plan: Plan, genome: Genome, label: str, chrom: str, first: int, span: int
) -> np.ndarray:
    """Probability of ``label`` in steps of ``plan.stride`` from base ``first`` on, float64
    (span // stride,): each at the middle of its step, N beyond the contig."""
    steps = span // plan.stride
    begin = first + plan.stride // 2 - plan.receptive_field // 2
    codes = genome.codes(chrom, begin, begin + plan.receptive_field + (steps - 1) * plan.stride)
    logits = plan(codes)[:, plan.labels.index(label)]
    return probability(logits.float().cpu().numpy())
