"""What all pictures of co-binding share: one scale of colours, files, and the page.

Red is more than expected, blue is less, and colours end at the same number in every picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from ..base.chart import as_file
from ..base.disk import write_text
from ..base.heat_map import Scale
from ..base.page_table import Table
from ..base.pages import render_page

PAGE = "index.html"
LIMIT = 3.0  # logits, or log2 of observed over expected, at which colours end
ROWS = 1_000  # of a table at most; the file beside the page has all of them


def scale_of(title: str) -> Scale:
    return Scale(title, LIMIT)


@dataclass(frozen=True)
class Section:
    """A part of the page: pictures by the name of their file, with captions, and a table."""

    title: str
    note: str = ""
    pictures: Mapping[str, tuple[str, Markup]] | None = None
    table: Table | None = None
    side_by_side: bool = False


def write_page(
    folder: Path,
    title: str,
    lead: str,
    tiles: Sequence[tuple[str, str]],
    sections: Sequence[Section],
    files: Sequence[tuple[str, str]],
) -> None:
    """Write index.html, and each picture as an SVG file, into ``folder``. ``files``: what lies
    beside the page."""
    for section in sections:
        for name, (_, drawing) in (section.pictures or {}).items():
            write_text(folder / f"{name}.svg", as_file(drawing))
    about = [("*.svg", "the pictures of this page"), ("run.json", "what was run, on what")]
    page = render_page(
        "cobind.html",
        title=title,
        lead=lead,
        tiles=tiles,
        sections=sections,
        limit=f"{LIMIT:g}",
        files=[*files, *about],
    )
    write_text(folder / PAGE, page)
