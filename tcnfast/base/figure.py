"""Figures of matplotlib, which nothing else needs: the extra ``plots``."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from importlib.util import find_spec

log = logging.getLogger(__name__)


def why_not() -> str | None:
    """Why no plot can be drawn here; None if they can."""
    if find_spec("matplotlib") is None:
        return "matplotlib is not installed (pip install 'tcnfast[plots]')"
    return None


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


def can_draw() -> bool:
    """Whether plots can be drawn here; says in a warning why not."""
    reason = why_not()
    if reason:
        log.warning("WARNING: no plots: %s", reason)
    return reason is None


def name_cells(
    axes, columns: Sequence[str], rows: Sequence[str], size: float, rotation: float = 90
) -> None:
    """Names of the columns and rows of a heat map, in letters of ``size`` points."""
    ends = {} if rotation == 90 else {"ha": "right"}
    axes.set_xticks(range(len(columns)), columns, rotation=rotation, fontsize=size, **ends)
    axes.set_yticks(range(len(rows)), rows, fontsize=size)
    axes.tick_params(length=0)


def colour_bar(figure, image, axes, words: str, shrink: float = 0.6, **style) -> None:
    """The scale of a heat map's colours, and what it is of."""
    bar = figure.colorbar(image, ax=axes, shrink=shrink, pad=0.02, **style)
    bar.set_label(words, fontsize=8)
    bar.ax.tick_params(labelsize=7)
