"""Charts as inline SVG with axes, names and a legend, in the colours of the page that holds them.

A chart is as wide as its place allows, and wider than asked for where a name needs the room.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from markupsafe import Markup, escape

SIZE, TICK = 12, 11  # of letters, as chart.css has them
LEGEND_LINE = 17
_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Axis:
    """From ``low`` to ``high``; of a ``log`` axis both above 0."""

    title: str
    low: float
    high: float
    log: bool = False

    def share(self, values) -> np.ndarray:
        """Where values lie: 0 at the low end, 1 at the high one."""
        values = np.asarray(values, np.float64)
        low, high = self.low, self.high
        if self.log:
            values, low, high = np.log(values), np.log(low), np.log(high)
        return (values - low) / max(high - low, 1e-12)

    def ticks(self) -> list[tuple[float, str]]:
        """Values and their text."""
        if self.log:
            powers = range(int(np.ceil(np.log10(self.low))), int(np.log10(self.high) + 1e-9) + 1)
            return [(10.0**power, _power(power)) for power in powers]
        span = self.high - self.low
        rough = span / 5
        unit = 10 ** np.floor(np.log10(rough))
        step = unit * next(x for x in (1, 2, 5, 10) if x * unit >= rough * 0.999)
        first, last = np.ceil(self.low / step - 1e-9), np.floor(self.high / step + 1e-9)
        values = step * np.arange(first, last + 1)
        digits = max(0, -int(np.floor(np.log10(step) + 1e-9)))
        return [(float(x), f"{x + 0.0:.{digits}f}".replace("-", "\u2212")) for x in values]


def _power(power: int) -> str:
    return f"{10.0**power:g}" if power > -4 else f"10^\u2212{-power}"


@dataclass(frozen=True)
class Line:
    """A curve through points; ``kind``: classes of chart.css; named ones are in the legend."""

    x: Sequence[float]
    y: Sequence[float]
    kind: str = "s0"
    name: str = ""
    dots: bool = False


@dataclass(frozen=True)
class Band:
    """The area between two curves."""

    x: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    kind: str = "s0"


def draw_chart(
    x: Axis,
    y: Axis,
    marks: Sequence[Line | Band],
    words: str,
    *,
    width: float = 440,
    height: float = 300,
    legend: bool = True,
) -> Markup:
    """Marks in axes; ``words``: the text alternative; ``height``: of the axes alone."""
    named = [mark for mark in marks if isinstance(mark, Line) and mark.name] if legend else []
    ticks = y.ticks()
    left = 24 + max(text_width(text, TICK) for _, text in ticks)
    right = 8 + text_width(x.ticks()[-1][1], TICK) / 2
    width = max([width, *(left + 34 + text_width(mark.name) for mark in named)])
    top, inner = 8, width - left - right
    parts = [_grid(x, y, left, top, inner, height)]
    parts += [_mark(mark, x, y, left, top, inner, height) for mark in marks]
    across, line = left, top + height + 50
    for mark in named:
        wide = 30 + text_width(mark.name) + 14
        if across > left and across + wide - 14 > width:
            across, line = left, line + LEGEND_LINE
        parts.append(f'<path class="line {mark.kind}" d="M{across:.1f} {line}h22"/>')
        parts.append(text_at(across + 30, line + 4, mark.name))
        across += wide
    whole = line + (9 if named else -8)
    return svg("chart", width, whole, words, "".join(parts))


def _grid(x: Axis, y: Axis, left: float, top: float, inner: float, height: float) -> str:
    bottom = top + height
    parts = []
    for value, text in x.ticks():
        at = left + inner * float(x.share(value))
        parts.append(f'<path class="grid" d="M{at:.1f} {top}V{bottom}"/>')
        parts.append(text_at(at, bottom + 15, text, "tick", "middle"))
    for value, text in y.ticks():
        at = bottom - height * float(y.share(value))
        parts.append(f'<path class="grid" d="M{left:.1f} {at:.1f}h{inner:.1f}"/>')
        parts.append(text_at(left - 5, at + 4, text, "tick", "end"))
    parts.append(f'<path class="edge" d="M{left:.1f} {top}V{bottom}h{inner:.1f}"/>')
    parts.append(text_at(left + inner / 2, bottom + 32, x.title, "", "middle"))
    turned = f'transform="translate(11 {top + height / 2:.1f}) rotate(-90)" text-anchor="middle"'
    parts.append(f"<text {turned}>{escape(y.title)}</text>")
    return "".join(parts)


def _mark(mark, x: Axis, y: Axis, left: float, top: float, inner: float, height: float) -> str:
    def points(xs, ys) -> list[str]:
        across = left + inner * np.clip(x.share(xs), 0, 1)
        down = top + height - height * np.clip(y.share(ys), -0.02, 1.02)
        known = ~np.isnan(across + down)
        return [f"{a:.1f} {b:.1f}" for a, b in zip(across[known], down[known], strict=True)]

    if isinstance(mark, Band):
        around = points(mark.x, mark.low) + points(mark.x, mark.high)[::-1]
        return f'<path class="area {mark.kind}" d="M{"L".join(around)}Z"/>' if around else ""
    path = points(mark.x, mark.y)
    if not path:
        return ""
    drawn = f'<path class="line {mark.kind}" d="M{"L".join(path)}"/>'
    if mark.dots:
        places = (point.split() for point in path)
        drawn += "".join(
            f'<circle class="{mark.kind}" cx="{a}" cy="{b}" r="3"/>' for a, b in places
        )
    return drawn


def text_at(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    """A text element; ``kind``: classes of chart.css."""
    named = f' class="{kind}"' if kind else ""
    return f'<text{named} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def text_width(text: str, size: float = SIZE) -> float:
    """How wide text is at most, as a rule, in letters of ``size``."""
    widths = (
        1.0 if x in "@mMwW%" else 0.78 if x.isupper() or x in "+\u2212" else 0.64 for x in text
    )
    return size * sum(widths)


def svg(
    kind: str, width: float, height: float, words: str, inside: str, least: float = 0
) -> Markup:
    """The element; ``least``: width in pixels under which its place scrolls."""
    style = f"max-width:{1.35 * width:.0f}px" + (f";min-width:{least:.0f}px" if least else "")
    return Markup(
        f'<svg class="{kind}" viewBox="0 0 {width:.0f} {height:.0f}" role="img" style="{style}" '
        f'aria-label="{escape(words)}">{inside}</svg>'
    )


def as_file(drawing: Markup) -> str:
    """A chart as an SVG file of its own, in light colours."""
    page = (_TEMPLATES / "page.css").read_text()
    colours = page[page.index(":root") : page.index("}") + 1]
    style = colours + (_TEMPLATES / "chart.css").read_text()
    head, _, rest = str(drawing).partition(">")
    head = head.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
    return f"{head}><style>{style}</style>{rest}\n"
