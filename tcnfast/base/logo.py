"""Sequence logos as inline SVG: four letters drawn once in a page, then used at any size."""

from __future__ import annotations

import numpy as np
from markupsafe import Markup, escape

COLUMN = 10  # units of the drawing a column is wide
ROW = 11  # units of the row of bases below a logo
LEAST = 0.03  # letters lower than this share of the drawing are left out: nobody would see them

# outlines in a box of 100 x 100, y down; an inner outline is a hole
GLYPHS = {
    "A": "M37 0H63L100 100H76L68 76H32L24 100H0ZM50 22L38 58H62Z",
    "C": "M98 24C92 8 76 0 54 0C20 0 0 20 0 50C0 80 20 100 54 100C77 100 92 91 98 75"
    "L77 66C73 75 66 80 54 80C34 80 23 68 23 50C23 32 34 20 54 20C65 20 73 25 76 33Z",
    "G": "M96 24C90 8 75 0 54 0C20 0 0 20 0 50C0 80 20 100 55 100C74 100 90 94 100 84V45H52V63H78"
    "V74C72 78 65 80 56 80C34 80 23 68 23 50C23 32 34 20 54 20C64 20 71 24 75 32Z",
    "T": "M0 0H100V20H61V100H39V20H0Z",
}


def glyph_definitions() -> Markup:
    """The four letters, which a page with logos needs once; their ids are base-A to base-T."""
    paths = "".join(
        f'<path id="base-{base}" fill-rule="evenodd" d="{outline}"/>'
        for base, outline in GLYPHS.items()
    )
    return Markup(
        f'<svg class="glyphs" width="0" height="0" aria-hidden="true"><defs>{paths}</defs></svg>'
    )


def draw_logo(
    heights: np.ndarray,
    words: str,
    *,
    height: float = 40,
    top: float | None = None,
    bottom: float | None = None,
    bases: np.ndarray | None = None,
    marked: tuple[int, int] | None = None,
) -> Markup:
    """A logo of ``heights`` (width, 4), any sign; letters below the line stand on their heads.

    ``words``: the text alternative. ``height``: of the drawing, in units of
    which a column has ``COLUMN``. ``top`` and ``bottom``: the values at its edges, by default the
    highest and the lowest stack. ``bases``: codes uint8 (width,) of a row of letters below.
    ``marked``: columns with another ground, from the first on and without the last; a line where
    they are one.
    """
    heights = np.asarray(heights, np.float64)
    top = max(heights.clip(0).sum(1).max(), 0) if top is None else top
    bottom = min(heights.clip(max=0).sum(1).min(), 0) if bottom is None else bottom
    scale = height / max(top - bottom, 1e-12)
    letters = []
    for column, row in enumerate(heights):
        for sign in (1, -1):
            level = top * scale
            for base in np.argsort(np.abs(row)):
                size = abs(row[base]) * scale
                if sign * row[base] <= 0 or size < LEAST * height:
                    continue
                level -= sign * size
                letters.append(_letter("ACGT"[base], column, level, sign * size))
    width = COLUMN * len(heights)
    line = top * scale
    axis = f'<path class="axis" d="M0 {line:.1f}H{width}"/>' if bottom < 0 else ""
    if bases is not None:
        below = height + 3
        letters += [_letter("ACGT"[x], i, below, ROW - 3) for i, x in enumerate(bases) if x < 4]
        height += ROW
    ground = "" if marked is None else _mark(*marked, height)
    return Markup(
        f'<svg class="logo" viewBox="0 0 {width} {height:g}" role="img" '
        f'aria-label="{escape(words)}">{ground}{axis}{"".join(letters)}</svg>'
    )


def _mark(first: int, last: int, height: float) -> str:
    """A ground behind some columns; between two, where nothing of them is left."""
    x, width = COLUMN * first, COLUMN * (last - first)
    kind = "changed" if width else "changed gone"
    x, width = (x, width) if width else (x - 1, 2)
    return f'<rect class="{kind}" x="{x:g}" width="{width:g}" y="-3" height="{height + 6:g}"/>'


def _letter(base: str, column: int, edge: float, size: float) -> str:
    """A letter whose upper edge lies at ``edge`` (lower one, if ``size`` is below 0)."""
    x = COLUMN * (column + 0.03)
    wide = COLUMN * 0.94 / 100
    return (
        f'<use href="#base-{base}" transform="matrix({wide:.3g} 0 0 {size / 100:.3g} {x:g} '
        f'{edge:.1f})"/>'
    )
