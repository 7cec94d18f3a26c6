"""Plots of an evaluation as SVG: precision and recall, reliability, AP of every label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from ..base.chart import TICK, Axis, Line, draw_chart, svg, text_at, text_width
from ..base.talk import count
from .evaluation_folder import EvaluationTables

ROWS = 40  # labels in one plot of bars
ROW = 17  # its height
MIN_WINDOWS = 50  # of one bin of one label, to be drawn
RIVALS = {  # columns of the scores: what they are, and how they are drawn
    "best_motif_AP": ("best motif", "s1"),
    "CpG_AP": ("CpG content", "s2"),
    "against_AP": ("the other model", "s3"),
}


def draw_precision_recall(tables: EvaluationTables) -> Markup:
    """Every counted label, the best, middle and worst by name, and the mean over labels."""
    curves, ap = tables.curves, tables.scores["AP"].to_numpy(float)
    rows = np.flatnonzero(curves.counted)
    lines = [Line(curves.recall, curves.precision[row], "faint") for row in rows]
    ranked = rows[np.argsort(-ap[rows], kind="stable")]
    marked = dict.fromkeys(ranked[[0, len(ranked) // 2, -1]].tolist()) if len(rows) else ()
    for row, style in zip(marked, ("s1", "s1 dashed", "s1 dotted"), strict=False):
        name = f"{curves.labels[row]} (AP {ap[row]:.3f})"
        lines.append(Line(curves.recall, curves.precision[row], style, name))
    if len(rows):
        name = f"mean of {count(len(rows), 'label')} (macro-AP {np.nanmean(ap[rows]):.3f})"
        lines.append(Line(curves.recall, curves.precision[rows].mean(0), "s0 heavy", name))
    axes = Axis("recall (share of bound windows called)", 0, 1), Axis("precision", 0, 1)
    return draw_chart(*axes, lines, "Precision against recall of every label")


def draw_reliability(tables: EvaluationTables) -> Markup:
    """Bound share against predicted probability, each label and all together."""
    curves = tables.curves
    least = curves.edges[1] / 3
    lines = [Line([least, 1], [least, 1], "ink dotted", "perfect")]
    lines += [
        Line(*_bound_share(curves.reliability[row]), "faint")
        for row in np.flatnonzero(curves.counted)
    ]
    pooled = _bound_share(curves.reliability[curves.counted].sum(0))
    ece = tables.summary["macro"]["ece"]["value"]
    error = "" if ece is None else f" (mean ECE {ece:.5f})"
    lines.append(Line(*pooled, "s0 heavy", f"all labels together{error}", dots=True))
    axes = (
        Axis("predicted probability", least, 1, log=True),
        Axis("share of windows that are bound", least, 1, log=True),
    )
    return draw_chart(*axes, lines, "Share of bound windows against predicted probability")


def _bound_share(reliability: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean probability and bound share of the bins (bins, 3) that hold enough and, as the axes are
    logarithmic, at least one bound window."""
    windows, probability, bound = reliability.T
    kept = (windows >= MIN_WINDOWS) & (bound > 0)
    return probability[kept] / windows[kept], bound[kept] / windows[kept]


@dataclass(frozen=True)
class LabelBars:
    """AP of labels, best first: ``low`` and ``high`` end its interval, NaN where it has none.
    ``rivals``: what each is, its kind of chart.css, and its AP. Arrays are (labels,)."""

    names: list[str]
    ap: np.ndarray
    low: np.ndarray
    high: np.ndarray
    rivals: list[tuple[str, str, np.ndarray]]

    @classmethod
    def of(cls, tables: EvaluationTables) -> LabelBars:
        """Of all labels that have an AP."""
        table = tables.scores[tables.scores["AP"].notna()]
        table = table.sort_values("AP", ascending=False, kind="stable")
        other = tables.summary.get("against", {}).get("model")
        rivals = [
            (other if column == "against_AP" else name, kind, table[column].to_numpy(float))
            for column, (name, kind) in RIVALS.items()
            if column in table
        ]
        columns = ("AP", "AP_low", "AP_high")
        nothing = np.full(len(table), np.nan)
        values = [table[x].to_numpy(float) if x in table else nothing for x in columns]
        return cls(table["label"].tolist(), *values, rivals)

    @property
    def right(self) -> float:
        """Right end of the axes: no bar, interval or rival lies beyond it."""
        values = [self.ap, self.high, *(values for _, _, values in self.rivals)]
        return min(1.0, 1.05 * float(np.nanmax(np.concatenate(values), initial=0.1)))


def draw_labels(tables: EvaluationTables) -> list[Markup]:
    """AP of every label with its interval, beside the floors and the other model: plots of at most
    ROWS labels, all with the same axis."""
    bars = LabelBars.of(tables)
    axis = Axis("AP", 0, bars.right)
    parts = [range(at, min(at + ROWS, len(bars.names))) for at in range(0, len(bars.names), ROWS)]
    return [_bars(bars, rows, axis) for rows in parts]


def _bars(bars: LabelBars, rows: Sequence[int], axis: Axis) -> Markup:
    left = 10 + max(text_width(name, TICK) for name in bars.names)
    named = [("AP", "s0"), *((name, kind) for name, kind, _ in bars.rivals)]
    legend = [20 + text_width(name) + 16 for name, _ in named]
    width = max(440.0, left + 200, sum(legend) + 10)
    inner, bottom = width - left - 14, 26 + ROW * len(rows)
    parts = []
    for value, text in axis.ticks():
        at = left + inner * float(axis.share(value))
        parts.append(f'<path class="grid" d="M{at:.1f} 24V{bottom}"/>')
        parts.append(text_at(at, bottom + 15, text, "tick", "middle"))
    for place, row in enumerate(rows):
        parts.append(_bar(bars, row, axis, left, inner, 26 + ROW * place))
    at = 6.0
    for (name, kind), wide in zip(named, legend, strict=True):
        bar = f'<path class="area s0" d="M{at:.0f} 4h12v10h-12z"/>'
        drawn = bar if kind == "s0" else _mark(kind, at + 6, 9)
        parts += [drawn, text_at(at + 18, 13, name)]
        at += wide
    parts.append(text_at(left + inner / 2, bottom + 31, axis.title, "", "middle"))
    first, last = bars.names[rows[0]], bars.names[rows[-1]]
    return svg("chart", width, bottom + 38, f"AP of labels from {first} to {last}", "".join(parts))


def _bar(bars: LabelBars, row: int, axis: Axis, left: float, inner: float, top: float) -> str:
    def across(value: float) -> float:
        return left + inner * float(axis.share(value))

    middle = top + ROW / 2
    parts = [text_at(left - 5, middle + 4, bars.names[row], "tick", "end")]
    width = across(bars.ap[row]) - left
    shape = f"M{left:.1f} {top + 2}h{width:.1f}v{ROW - 4}H{left:.1f}z"
    parts.append(f'<path class="area s0" d="{shape}"/>')
    if not np.isnan(bars.low[row] + bars.high[row]):
        ends = across(bars.low[row]), across(bars.high[row])
        parts.append(f'<path class="edge" d="M{ends[0]:.1f} {middle}H{ends[1]:.1f}"/>')
    for _, kind, values in bars.rivals:
        if not np.isnan(values[row]):
            parts.append(_mark(kind, across(values[row]), middle))
    return "".join(parts)


def _mark(kind: str, x: float, y: float) -> str:
    """A rival: a line across the bar, a dot, or a diamond."""
    if kind == "s1":
        return f'<path class="line heavy s1" d="M{x:.1f} {y - 6:.1f}v12"/>'
    if kind == "s2":
        return f'<circle class="s2" cx="{x:.1f}" cy="{y:.1f}" r="3"/>'
    return f'<path class="hollow s3" d="M{x - 4:.1f} {y:.1f}l4 -4l4 4l-4 4z"/>'
