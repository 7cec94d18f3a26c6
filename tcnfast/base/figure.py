"""Figures of matplotlib, which nothing else needs: the extra ``plots``."""

from __future__ import annotations

from importlib.util import find_spec


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
