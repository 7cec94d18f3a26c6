"""Small drawings of a report: tracks, intervals, histograms. They stretch to any width and
contain no text; ``words`` is their text alternative."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup, escape

Span = tuple[float, float]


def _svg(kind: str, width: float, height: float, words: str, inside: str) -> Markup:
    return Markup(
        f'<svg class="{kind}" viewBox="0 0 {width:g} {height:g}" preserveAspectRatio="none" '
        f'role="img" aria-label="{escape(words)}">{inside}</svg>'
    )


def draw_track(values: np.ndarray, words: str, top: float, marked: Span | None = None) -> Markup:
    """Steps of equal width, values (n,) from 0 to ``top``; NaN is no value. ``marked``: a span in
    steps with another ground."""
    values = np.nan_to_num(np.asarray(values, np.float64))
    high = 100 - 100 * np.minimum(values / max(top, 1e-12), 1)
    path = ["M0 100"]
    for index, y in enumerate(high):
        if index == 0 or round(y, 1) != round(high[index - 1], 1):
            path.append(f"H{index}V{y:.1f}")
    path.append(f"H{len(values)}V100Z")
    ground = _ground(marked)
    return _svg("track", len(values), 100, words, f'{ground}<path d="{"".join(path)}"/>')


def draw_bars(values: np.ndarray, words: str, marked: Span | None = None) -> Markup:
    """One bar a base for values (n,) of either sign, drawn to their own largest."""
    values = np.asarray(values, np.float64)
    top, bottom = max(values.max(), 0), min(values.min(), 0)
    scale = 100 / max(top - bottom, 1e-12)
    parts = {1: [], -1: []}
    for index, value in enumerate(values):
        if abs(value) * scale >= 1:
            bar = f"M{index + 0.5:g} {top * scale:.1f}v{-value * scale:.1f}"
            parts[1 if value > 0 else -1].append(bar)
    paths = "".join(
        f'<path class="{name}" d="{"".join(parts[sign])}"/>'
        for sign, name in ((1, "up"), (-1, "down"))
        if parts[sign]
    )
    axis = f'<path class="axis" d="M0 {top * scale:.1f}H{len(values)}"/>'
    return _svg("bars", len(values), 100, words, _ground(marked) + axis + paths)


def draw_spans(spans: Sequence[Span], width: float, words: str, marked: Span | None = None):
    """Intervals as blocks on a line of ``width`` units."""
    blocks = "".join(
        f'<rect x="{max(a, 0):g}" width="{min(b, width) - max(a, 0):g}" y="30" height="40"/>'
        for a, b in spans
        if b > 0 and a < width
    )
    return _svg("spans", width, 100, words, _ground(marked) + blocks)


def draw_histogram(values: np.ndarray, reach: int, bin_width: int, words: str) -> Markup:
    """How often values (n,) fall in bins of ``bin_width`` from -``reach`` to ``reach``."""
    edges = np.arange(-reach, reach + 1, bin_width)
    counts = np.histogram(values, edges)[0]
    top = max(counts.max(), 1)
    bars = "".join(
        f'<rect x="{i + 0.06:g}" width=".88" y="{100 - 100 * count / top:.1f}" '
        f'height="{100 * count / top:.1f}"/>'
        for i, count in enumerate(counts)
        if count
    )
    middle = f'<path class="axis" d="M{len(counts) / 2:g} 0V100"/>'
    return _svg("histogram", len(counts), 100, words, middle + bars)


def _ground(marked: Span | None) -> str:
    if marked is None:
        return ""
    a, b = marked
    return f'<rect class="ground" x="{a:g}" width="{b - a:g}" y="0" height="100"/>'
