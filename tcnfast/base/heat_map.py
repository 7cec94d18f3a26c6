"""Heat maps as inline SVG: red is more, blue is less, a stronger colour is further from 0."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape

from .chart import svg, text_at, text_width

DARK = 0.55  # strength of a colour from which text on it is light
TOLD = 3_000  # cells at most that say what they are when pointed at


@dataclass(frozen=True)
class Scale:
    """What colours mean: ``title``, and the value at which they end."""

    title: str
    limit: float

    def strength(self, value: float) -> float:
        return min(abs(value) / self.limit, 1)


def draw_heat_map(
    values: np.ndarray,
    rows: Sequence[str],
    columns: Sequence[str],
    scale: Scale,
    words: str,
    *,
    cell: tuple[float, float] = (9, 9),
    size: float = 8,
    texts: dict[tuple[int, int], Sequence[str]] | None = None,
    framed: Collection[tuple[int, int]] = (),
) -> Markup:
    """``values`` (rows, columns); NaN is an empty cell. ``cell``: its width and height, in pixels.
    ``texts``: lines of text in a cell, by row and column. Every row and column is named."""
    wide, tall = cell
    left = 6 + max((text_width(row, size) for row in rows), default=0)
    top = 6 + max((text_width(column, size) for column in columns), default=0)
    width = max(left + wide * len(columns) + 6, 330, text_width(scale.title) + 12)
    parts = [_names(rows, columns, left, top, cell, size)]
    told = np.isfinite(values).sum() <= TOLD
    for row, column in np.argwhere(np.isfinite(values)).tolist():
        value, x, y = values[row, column], left + wide * column, top + tall * row
        about = f"<title>{escape(f'{rows[row]}, {columns[column]}: {value:+.2f}')}</title>"
        parts.append(
            f'<rect class="{"more" if value > 0 else "less"}" x="{x:.1f}" y="{y:.1f}" '
            f'width="{wide:g}" height="{tall:g}" fill-opacity="{scale.strength(value):.2f}">'
            f"{about if told else ''}</rect>"
        )
        for line, text in enumerate(lines := (texts or {}).get((row, column), ())):
            kind = "over small" if scale.strength(value) > DARK else "small"
            down = y + tall / 2 + 3 + 10 * (line - (len(lines) - 1) / 2)
            parts.append(text_at(x + wide / 2, down, text, kind, "middle"))
    for row, column in framed:
        x, y = left + wide * column + 1, top + tall * row + 1
        parts.append(
            f'<rect class="frame" x="{x:.1f}" y="{y:.1f}" width="{wide - 2:g}" '
            f'height="{tall - 2:g}"/>'
        )
    edge = top + tall * len(rows)
    parts.append(
        f'<rect class="grid" x="{left:.1f}" y="{top:.1f}" width="{wide * len(columns):g}" '
        f'height="{tall * len(rows):g}"/>'
    )
    parts.append(_bar(scale, width, edge + 14))
    return svg("chart", width, edge + 62, words, "".join(parts), 0.85 * width)


def _names(rows, columns, left: float, top: float, cell: tuple[float, float], size: float) -> str:
    wide, tall = cell
    parts = [
        f'<text style="font-size:{size:g}px" x="{left - 4:.1f}" text-anchor="end" '
        f'y="{top + tall * (index + 0.5) + size * 0.35:.1f}">{escape(name)}</text>'
        for index, name in enumerate(rows)
    ]
    for index, name in enumerate(columns):
        place = f"{left + wide * (index + 0.5) + size * 0.35:.1f} {top - 4:.1f}"
        parts.append(
            f'<text style="font-size:{size:g}px" transform="translate({place}) rotate(-90)">'
            f"{escape(name)}</text>"
        )
    return "".join(parts)


def _bar(scale: Scale, width: float, top: float) -> str:
    """What the colours mean, in steps."""
    steps, wide = 24, 220
    left = (width - wide) / 2
    parts = []
    for step in range(steps):
        value = (step + 0.5) / steps * 2 - 1
        parts.append(
            f'<rect class="{"more" if value > 0 else "less"}" x="{left + wide * step / steps:.1f}" '
            f'y="{top:.1f}" width="{wide / steps + 0.2:.1f}" height="9" '
            f'fill-opacity="{abs(value):.2f}"/>'
        )
    ends = (
        (-scale.limit, f"\u2264 \u2212{scale.limit:g}"),
        (0, "0"),
        (scale.limit, f"\u2265 {scale.limit:g}"),
    )
    for value, text in ends:
        at = left + wide * (value / scale.limit + 1) / 2
        parts.append(text_at(at, top + 21, text, "tick", "middle"))
    parts.append(text_at(width / 2, top + 38, scale.title, "", "middle"))
    return "".join(parts)
