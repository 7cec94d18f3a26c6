"""Example loci of a report: predicted track, real peaks and the attribution of every base."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from ..attribute.attributions import Attributions
from ..base.finite import check_scores
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
    """Drawings of a place, and what they are of: ``codes`` and contributions ``values`` (L,) of the
    window from base ``start`` on; around it, from base ``first`` on, ``predicted`` probabilities in
    steps of ``stride``, and ``spans`` on the contig by what they are."""

    chrom: str
    start: int
    codes: np.ndarray
    values: np.ndarray
    first: int
    stride: int
    predicted: np.ndarray
    spans: dict[str, list[tuple[int, int]]]
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
    """For the label's first ``count`` motifs the window of highest logit that holds one; where no
    motifs were looked for, the windows of highest logit."""
    taken: dict[int, tuple[str, slice]] = {}
    for card in section.cards[:count]:
        rows = [row for row in card.pattern.window.tolist() if row not in taken]
        if rows:
            row = max(rows, key=lambda row: attributions.logit[row])
            words = f"highest logit with {card.pattern.name} ({card.name})"
            taken[row] = words, _zoom(card, attributions, row)
    if not section.searched:
        for row in np.argsort(-attributions.logit, kind="stable")[:count].tolist():
            words = f"one of the {count} highest logits" if count > 1 else "highest logit"
            taken[row] = words, _strongest(attributions.projected[row])
    around = _Surroundings(section.label, sources)
    return [_locus(section, attributions, row, *how, around) for row, how in taken.items()]


def _locus(
    section: LabelMotifs,
    attributions: Attributions,
    row: int,
    reason: str,
    zoom: slice,
    around: _Surroundings,
) -> Locus:
    chrom, start = str(attributions.chrom[row]), int(attributions.start[row])
    width = attributions.width
    first = max(start + width // 2 - AROUND, 0)
    codes, values = attributions.codes[row], attributions.projected[row]
    letters = np.eye(5, 4)[codes[zoom]] * values[zoom, None]
    predicted, spans = around.predicted(chrom, first), around.spans(chrom, first)
    window = start - first, start + width - first
    return Locus(
        chrom,
        start,
        codes,
        values,
        first,
        around.stride,
        predicted,
        spans,
        f"{chrom}:{max(start, 0) + 1:,}-{start + width:,}",
        float(attributions.logit[row]),
        reason,
        _rows(section.label, predicted, spans, first, window),
        (f"{first + 1:,}", f"{first + 2 * AROUND:,}"),
        draw_bars(
            values,
            f"Attribution of each of {width} bases, in all {float(values.sum()):.2f}",
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


def _zoom(card: MotifCard, attributions: Attributions, row: int) -> slice:
    """``ZOOM`` bases of the window around the card's strongest seqlet in it."""
    begin, end = card.pattern.sites
    here = np.flatnonzero(card.pattern.window == row)
    best = here[np.abs(card.pattern.score[here]).argmax()]
    middle = (begin[best] + end[best]) // 2 - int(attributions.start[row])
    return _around(middle, attributions.width)


def _strongest(values: np.ndarray) -> slice:
    """``ZOOM`` bases of the window that contribute most in all."""
    total = np.convolve(np.maximum(values, 0), np.ones(min(ZOOM, len(values))), "same")
    return _around(int(total.argmax()), len(values))


def _around(middle: int, width: int) -> slice:
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


class _Surroundings:
    """What the sources hold of one label."""

    def __init__(self, label: str, sources: LocusSources) -> None:
        self._label, self._sources, scan = label, sources, sources.scan
        self.stride = sources.plan.stride if sources.plan else 1
        known = scan is not None and label in scan.called_labels
        self._intervals = {
            "calls": scan.intervals(label) if known else None,
            "real peaks": sources.peaks,
        }

    def predicted(self, chrom: str, first: int) -> np.ndarray:
        """Probabilities over twice AROUND bases; none without a plan."""
        plan, genome = self._sources.plan, self._sources.genome
        if plan is None:
            return np.empty(0)
        return predicted_track(plan, genome, self._label, chrom, first, 2 * AROUND)

    def spans(self, chrom: str, first: int) -> dict[str, list[tuple[int, int]]]:
        found = {}
        for name, intervals in self._intervals.items():
            if intervals is None:
                continue
            mine = (intervals.chrom == chrom) & (intervals.end > first)
            mine &= intervals.start < first + 2 * AROUND
            if intervals.label is not None:
                mine &= intervals.label == self._label
            ends = intervals.start[mine].tolist(), intervals.end[mine].tolist()
            found[name] = list(zip(*ends, strict=True))
        return found


def _rows(
    label: str,
    predicted: np.ndarray,
    spans: dict[str, list[tuple[int, int]]],
    first: int,
    window: tuple[int, int],
) -> list[tuple[str, Markup, str]]:
    """Drawings of what is known around a locus; its ``window`` is shaded."""
    rows = []
    if len(predicted):
        top = max(float(predicted.max()), 0.05)
        step = 2 * AROUND / len(predicted)
        shaded = window[0] / step, window[1] / step
        words = f"Predicted probability of {label}, at most {predicted.max():.2f}"
        rows.append(("predicted", draw_track(predicted, words, top, shaded), f"up to {top:.2f}"))
    for name, found in spans.items():
        places = [(a - first, b - first) for a, b in found]
        words = f"{name} of {label}: {len(places)} here"
        rows.append((name, draw_spans(places, 2 * AROUND, words, window), ""))
    return rows


def predicted_track(
    plan: Plan, genome: Genome, label: str, chrom: str, first: int, span: int
) -> np.ndarray:
    """Probability of ``label`` in steps of ``plan.stride`` from base ``first`` on, float64
    (span // stride,): each at the middle of its step, N beyond the contig."""
    steps = span // plan.stride
    begin = first + plan.stride // 2 - plan.receptive_field // 2
    codes = genome.codes(chrom, begin, begin + plan.receptive_field + (steps - 1) * plan.stride)
    logits = plan(codes)[:, plan.labels.index(label)].float().cpu()
    check_scores(logits, f"the model at {chrom}:{max(first, 0) + 1}-{first + span}")
    return probability(logits.numpy())
