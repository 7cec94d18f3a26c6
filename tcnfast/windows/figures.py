"""Figures of a study, from its CSV files alone. Needs matplotlib: the extra ``plots``."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd

from ..base.extras import install
from .study_results import CURVES, read_rows
from .study_tables import Results, gains, pearson

COLOURS = ("#1f5fa8", "#d9601e", "#3f7a1e", "#8a4fa0", "#b8860b", "#7a7a7a", "#c0392b", "#16817a")
# of those who come after as many as there are colours, and again
MARKERS, LINES = "os^Dv", ("-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)))


def why_not() -> str | None:
    """Why no plot can be drawn here; None if they can."""
    if find_spec("matplotlib") is None:
        return f"matplotlib is not installed ({install('plots')})"
    return None


def write_figures(folder: str | Path) -> None:
    """Write labels.svg, frequency.svg, precision_recall.svg and, of binary sets, size.svg and
    auroc.svg."""
    folder = Path(folder)
    results, curves = Results(folder), read_rows(folder / CURVES)
    figures = {}
    if len(results.binary) > 2:
        figures = {"size": _size(results), "auroc": _auroc(results)}
    if results.multi:
        figures |= {
            "labels": _labels(results),
            "frequency": _frequency(results),
            "precision_recall": _precision_recall(results, curves),
        }
    import matplotlib

    # text as text, no date, no random ids: the same results give the same bytes
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "tcnfast"}):
        for name, figure in figures.items():
            figure.savefig(folder / f"{name}.svg", metadata={"Date": None})


def look(i: int) -> tuple:
    """Colour, marker and line of the model number ``i``; those of 40 differ."""
    again = i // len(COLOURS) % len(MARKERS)
    return COLOURS[i % len(COLOURS)], MARKERS[again], LINES[again]


def _main_models(results: Results) -> list[str]:
    """The models that ran on every multi-label set."""
    return results.models_of(results.multi)


def _labels(results: Results):
    """AP of every label with its interval, the reference's best first."""
    sets, models = results.multi, _main_models(results)
    most = max(len(results.labels[s]) for s in sets)
    figure = new_figure(4.4 * len(sets), 1.2 + 0.28 * most)
    for axes, name in zip(figure.subplots(1, len(sets), squeeze=False)[0], sets, strict=True):
        value = {x: results.mean(name, results.reference, x, "ap") for x in results.labels[name]}
        ranked = sorted(value, key=lambda x: -np.nan_to_num(value[x]))
        for i, model in enumerate(models):
            y = np.arange(len(ranked)) + 0.22 * (i - (len(models) - 1) / 2)
            rows = [results.spread(name, model, x, "ap") for x in ranked]
            columns = ([r.get(k, np.nan) for r in rows] for k in ("low", "high", "value"))
            low, high, mid = map(np.array, columns)
            colour, marker, _ = look(i)
            axes.hlines(y, low, high, color=colour, lw=1)
            axes.plot(mid, y, marker, ms=3.2, color=colour, label=model)
        axes.set_yticks(np.arange(len(ranked)), ranked, fontsize=7)
        axes.set(title=name, xlabel="AP, test part", xlim=(0, 1), ylim=(len(ranked) - 0.5, -0.5))
        bare(axes)
    figure.axes[0].legend(frameon=False, fontsize=8, loc="lower right")
    return figure


def _frequency(results: Results):
    """Gain of the reference over each other model against the label's training windows."""
    sets = results.multi
    others = [m for m in results.models if m != results.reference]
    others = [m for m in others if any(results.seeds(s, m) for s in sets)]
    columns = min(3, max(1, len(others)))
    rows = -(-len(others) // columns)
    figure = new_figure(3.6 * columns, 3.0 * max(1, rows))
    grid = figure.subplots(max(1, rows), columns, squeeze=False, sharex=True)
    for axes, model in zip(grid.ravel(), others, strict=False):
        found = gains(results, model)
        x, y = found["size"], found["value"]
        axes.axhline(0, color="black", lw=0.7)
        for i, name in enumerate(sets):
            here, (colour, marker, _) = found["set"] == name, look(i)
            axes.scatter(x[here], y[here], s=14, color=colour, marker=marker)
        words = f"r {pearson(np.log10(x), y):+.2f} with log10" if len(x) > 2 else ""
        axes.set(xscale="log", title=f"{results.reference} minus {model}")
        axes.text(0.02, 0.97, words, transform=axes.transAxes, va="top", fontsize=8)
        bare(axes)
    for axes in grid.ravel()[len(others) :]:
        axes.set_visible(False)
    figure.supxlabel("bound training windows of the label", fontsize=9)
    figure.supylabel("difference in AP, test part", fontsize=9)
    empty = grid.ravel()[0]
    looks = [look(i) for i in range(len(sets))]
    handles = [empty.scatter([], [], s=14, color=colour, marker=m) for colour, m, _ in looks]
    how = dict(ncols=len(sets), frameon=False, fontsize=8)
    figure.legend(handles, sets, loc="outside upper right", **how)
    return figure


def _precision_recall(results: Results, curves: pd.DataFrame):
    sets = results.multi
    figure = new_figure(3.7 * len(sets), 3.6)
    for axes, name in zip(figure.subplots(1, len(sets), squeeze=False)[0], sets, strict=True):
        for i, model in enumerate(_main_models(results)):
            rows = curves[(curves["set"] == name) & (curves["model"] == model)]
            colour, _, line = look(i)
            how = dict(color=colour, ls=line, lw=1.6, label=model)
            axes.plot(rows["recall"], rows["precision"], **how)
        axes.set(title=name, xlim=(0, 1), ylim=(0, 1.01))
        axes.set(xlabel="recall", ylabel="precision, mean over labels")
        bare(axes)
    figure.axes[0].legend(frameon=False, fontsize=8)
    return figure


def _auroc(results: Results):
    """AUROC of every model on every binary set, with its interval."""
    sets, models = results.binary, results.models
    figure = new_figure(7.2, 1.2 + 0.045 * len(sets) * (len(models) + 3))
    axes = figure.add_subplot()
    for i, model in enumerate(models):
        there = [j for j, name in enumerate(sets) if results.seeds(name, model)]
        y = np.array(there) + 0.8 * ((i + 0.5) / len(models) - 0.5)
        rows = [results.spread(sets[j], model, results.labels[sets[j]][0], "auroc") for j in there]
        low, high = (np.array([r.get(k, np.nan) for r in rows]) for k in ("low", "high"))
        mid = [results.mean(sets[j], model, results.labels[sets[j]][0], "auroc") for j in there]
        colour, marker, _ = look(i)
        axes.hlines(y, low, high, color=colour, lw=1)
        axes.plot(mid, y, marker, ms=3, color=colour, label=model)
    for j in range(1, len(sets)):
        axes.axhline(j - 0.5, color="0.9", lw=0.7)
    axes.set_yticks(range(len(sets)), sets, fontsize=8)
    axes.set(xlabel="AUROC, test part", ylim=(len(sets) - 0.5, -0.5))
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    bare(axes)
    return figure


def _size(results: Results):
    """AP of the binary sets against their training windows, with Pearson's r."""
    from matplotlib.ticker import LogLocator

    models = results.models_of(results.binary)
    figure = new_figure(5.4, 3.8)
    axes = figure.add_subplot()
    x = np.array([results.mean(s, "", "", "train_windows") for s in results.binary])
    for i, model in enumerate(models):
        y = np.array([results.mean(s, model, results.labels[s][0], "ap") for s in results.binary])
        words = f"{model}: r {pearson(x, y):.2f}, with log size {pearson(np.log10(x), y):.2f}"
        colour, marker, _ = look(i)
        axes.scatter(x, y, s=18, color=colour, marker=marker, label=words)
    axes.set(xscale="log", xlabel="training windows", ylabel="AP, test part")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.xaxis.set_minor_formatter("")
    axes.legend(frameon=False, fontsize=8)
    bare(axes)
    return figure


def new_figure(width: float, height: float):
    """A figure that no window system and no global state knows of."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure((width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def bare(axes) -> None:
    """Take away the frame's upper and right side."""
    axes.spines[["top", "right"]].set_visible(False)
