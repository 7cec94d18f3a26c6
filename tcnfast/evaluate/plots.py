"""Plots of an evaluation. Needs matplotlib, which nothing else here does: the extra ``plots``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..base.figure import bare, new_figure
from .assessment import EDGES, RECALLS, Assessment

MODEL, OTHER, FLOOR, GREY = "#1f5fa8", "#d9601e", "#3f7a1e", "#9a9a9a"
ROWS = 60  # labels in one column of bars
MIN_WINDOWS = 50  # of one bin of one label, to be drawn


def write_plots(evaluation, folder: Path) -> None:
    """precision_recall.png, reliability.png and labels.png of an Evaluation."""
    for name, draw in (
        ("precision_recall", draw_precision_recall),
        ("reliability", draw_reliability),
        ("labels", draw_labels),
    ):
        draw(evaluation).savefig(folder / f"{name}.png", dpi=150)


def draw_precision_recall(evaluation):
    """Every counted label, the best, middle and worst by name, and the mean over labels."""
    a = evaluation.assessment
    figure = new_figure(5.6, 5.2)
    axes = figure.add_subplot()
    rows = np.flatnonzero(a.counted)
    for row in rows:
        axes.plot(RECALLS, a.precisions[row], color=GREY, lw=0.5, alpha=0.5)
    ranked = rows[np.argsort(-a.values["ap"][rows], kind="stable")]
    marked = dict.fromkeys(ranked[[0, len(ranked) // 2, -1]].tolist()) if len(ranked) else ()
    for row, style in zip(marked, ("-", "--", ":"), strict=False):
        label = f"{a.labels[row]} (AP {a.values['ap'][row]:.3f})"
        axes.plot(RECALLS, a.precisions[row], color=OTHER, lw=1.3, ls=style, label=label)
    if len(rows):
        mean = a.precisions[rows].mean(0)
        label = f"mean of {len(rows)} labels (macro-AP {a.macro('ap'):.3f})"
        axes.plot(RECALLS, mean, color=MODEL, lw=2.2, label=label)
        axes.legend(frameon=False, fontsize=8, loc="upper right")
    axes.set_xlabel("recall (share of bound windows called)")
    axes.set_ylabel("precision (share of called windows bound)")
    axes.set(xlim=(0, 1), ylim=(0, 1.01), title=f"{evaluation.model}, {evaluation.part}")
    bare(axes)
    return figure


def draw_reliability(evaluation):
    """Bound share against predicted probability, each label and all together, and how many windows
    there are of each."""
    a = evaluation.assessment
    figure = new_figure(5.6, 6.4)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3.2, 1))
    least = EDGES[1] / 3
    upper.plot([least, 1], [least, 1], color="black", lw=0.8, ls=":", label="perfect")
    for row in np.flatnonzero(a.counted):
        x, y, _ = _curve(a.reliability[row])
        upper.plot(x, y, color=GREY, lw=0.5, alpha=0.5)
    pooled = a.reliability[a.counted].sum(0)
    x, y, _ = _curve(pooled)
    label = f"all labels together (mean ECE {a.macro('ece'):.5f})"
    upper.plot(x, y, color=MODEL, lw=2, marker="o", ms=4, label=label)
    upper.set(xscale="log", yscale="log", xlim=(least, 1), ylim=(least, 1.05))
    upper.set(ylabel="share of windows that are bound")
    upper.set_title(f"{evaluation.model}, {evaluation.part}")
    upper.legend(frameon=False, fontsize=8, loc="upper left")
    edges = np.maximum(EDGES, least)
    lower.bar(edges[:-1], pooled[:, 0], np.diff(edges), align="edge", color=MODEL, ec="white")
    lower.set(yscale="log", xlabel="predicted probability", ylabel="windows x labels")
    for axes in (upper, lower):
        bare(axes)
    return figure


def _curve(reliability: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean probability, bound share and count of the bins (bins, 3) that hold enough and, as the
    axes are logarithmic, at least one bound window."""
    windows, probability, bound = reliability.T
    kept = (windows >= MIN_WINDOWS) & (bound > 0)
    return probability[kept] / windows[kept], bound[kept] / windows[kept], windows[kept]


def draw_labels(evaluation):
    """AP of every label with its interval, best first, beside the floors and the other model."""
    a = evaluation.assessment
    ranked = np.argsort(-np.where(a.counted, a.values["ap"], -1), kind="stable")[: a.counted.sum()]
    columns = max(1, -(-len(ranked) // ROWS))
    rows = max(1, -(-len(ranked) // columns))
    figure = new_figure(4.4 * columns, 1.5 + 0.15 * rows)
    right = _right_end(a)
    for index, axes in enumerate(figure.subplots(1, columns, squeeze=False)[0]):
        _draw_bars(axes, evaluation, ranked[index * rows : (index + 1) * rows])
        axes.set(xlim=(0, right), xlabel=f"AP, part {evaluation.part}", ylim=(rows - 0.4, -0.6))
        bare(axes)
    first = figure.axes[0].get_legend_handles_labels()
    figure.legend(*first, loc="outside upper left", ncols=2 * columns, frameon=False, fontsize=8)
    return figure


def _right_end(a: Assessment) -> float:
    ends = np.concatenate([a.values["ap"], a.interval("ap")[1]])
    return min(1.0, 1.05 * float(np.nanmax(ends, initial=0.1)))


def _draw_bars(axes, evaluation, rows: np.ndarray) -> None:
    a = evaluation.assessment
    y = np.arange(len(rows))
    axes.barh(y, a.values["ap"][rows], color=MODEL, alpha=0.4, height=0.75, label=evaluation.model)
    low, high = (end[rows] for end in a.interval("ap"))
    axes.hlines(y, low, high, color="black", lw=0.9, label="95 % interval, 1-Mb blocks")
    marks = {}
    if evaluation.floors:
        marks["best motif"] = evaluation.floors.best_ap, dict(marker="|", color=OTHER, lw=1.8)
        marks["CpG content"] = evaluation.floors.cpg_ap, dict(marker=".", color=FLOOR, s=34)
    if evaluation.other:
        known = dict(zip(evaluation.other.labels, evaluation.other.values["ap"], strict=True))
        aps = np.array([known.get(label, np.nan) for label in a.labels])
        marks[evaluation.against] = aps, dict(marker="D", color="black", s=8, facecolor="none")
    for name, (aps, style) in marks.items():
        axes.scatter(aps[rows], y, zorder=3, label=name, **({"s": 26} | style))
    axes.set_yticks(y, [a.labels[row] for row in rows], fontsize=6)
    axes.tick_params(axis="y", length=0)
