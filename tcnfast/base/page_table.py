"""The table of all pages: it sorts by a press on a head, finds rows by words, and hides on a phone
what matters less."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape


@dataclass(frozen=True)
class Column:
    """``key`` names it for scripts; a ``number`` sorts as one, the largest first; what is ``wide``
    is not shown on a phone; ``about``: what it is, shown to who points at the head."""

    title: str
    key: str
    number: bool = False
    wide: bool = False
    about: str = ""


@dataclass(frozen=True)
class Cell:
    """``shown``: text, or Markup of a drawing or a link. ``value``: what it sorts by, by default
    the text; None: nothing is known, such rows come last."""

    shown: object
    value: float | str | None = ""

    @property
    def key(self) -> float | str | None:
        """What it sorts by; NaN is nothing known."""
        value = str(self.shown) if self.value == "" else self.value
        return None if value != value else value


@dataclass(frozen=True)
class Table:
    """Rows of cells, which a template shows; the first cell of a row is its head. ``find``: an
    example of what to look for; without one the table has no box to find rows. ``pressed``: rows
    can be chosen, which is left to the page's script."""

    id: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    find: str = ""
    pressed: bool = False


def number_cell(value: float | None, form: str = ".3f", nothing: str = "") -> Cell:
    """A number as text, and ``nothing`` where it is None or NaN."""
    if value is None or value != value:
        return Cell(nothing, None)
    return Cell(format(value, form), float(value))


def breakable(label: str) -> Markup:
    """A label that a phone may break before its cell line."""
    return escape(label).replace("@", Markup("<wbr>@"))


def share_bar(share: float) -> Markup:
    """A small bar for a share of 0 to 1, beside its number."""
    return Markup('<span class="bar wide" style="--share:{:.3f}"></span>').format(share)
