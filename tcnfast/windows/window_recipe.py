"""Recipes: JSON files that say what a window set holds. They name no files of a machine."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from ..base.errors import TcnfastError
from ..base.file_names import check_labels
from ..base.tables import read_object
from .window_set import KINDS

NEGATIVES = ("gc", "flank", "elsewhere", "other", "shuffle")
PEAKS = ("elsewhere", "other")  # negatives that are peaks themselves


@dataclass(frozen=True)
class Recipe:
    """What a window set holds.

    ``labels``: as the peak tables have them; where ``cells`` are given labels are TFs, bound where
    a peak of any of these cells is. Summits no further apart than ``merge`` bases, one from the
    next, form a site. ``core``: the bases around the middle of a site that decide its labels; a
    peak must cover ``fraction`` of them, or lie in them whole. ``length``: bases of a window.
    ``negatives``: windows of each kind of NEGATIVES per site: genome of the same GC content away
    from all peaks, flanks of sites, sites of the same TFs in other cell lines, sites of other TFs
    in the same cell lines, and dinucleotide shuffles of sites. ``trim``: windows end where their
    peak does, the farther end on both sides, and are filled with N. ``max_windows``: sites are
    drawn at random so that the set has no more. ``min_peaks``: labels with fewer training peaks are
    refused.

    Raises TcnfastError for values that cannot be.
    """

    name: str
    labels: list[str]
    cells: list[str] = field(default_factory=list)
    about: str = ""
    length: int = 500
    core: int = 200
    fraction: float = 0.5
    merge: int = 100
    negatives: dict[str, float] = field(default_factory=lambda: {"gc": 1.0})
    trim: bool = False
    max_windows: int | None = None
    min_peaks: int = 200
    seed: int = 1

    def __post_init__(self) -> None:
        wrong = self._wrong()
        if wrong:
            raise TcnfastError(f"recipe {self.name!r}: {wrong}")

    def _wrong(self) -> str | None:
        if not self.labels:
            return "has no labels"
        for what, names in (("label", self.labels), ("cell", self.cells)):
            twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
            if twice:
                return f"{what} {twice!r} is listed twice"
        try:
            check_labels(self.labels)
        except TcnfastError as error:
            return str(error)
        for name, least in (("core", 1), ("merge", 0), ("min_peaks", 1), ("seed", 0)):
            if getattr(self, name) < least:
                return f"{name} {getattr(self, name)}: must be at least {least}"
        if self.length < self.core:
            return f"length {self.length}: must be at least that of the core, {self.core}"
        if not 0 < self.fraction <= 1:
            return f"fraction {self.fraction}: must be above 0, and 1 at most"
        if self.max_windows is not None and self.max_windows < 1:
            return f"max_windows {self.max_windows}: must be at least 1"
        for kind, per_site in self.negatives.items():
            if kind not in NEGATIVES:
                return f"negatives of kind {kind!r}: must be one of {', '.join(NEGATIVES)}"
            if not 0 <= per_site <= 100:
                return f"negatives {kind} {per_site}: must be within 0 and 100 per site"
            if self.trim and per_site and kind not in PEAKS:
                return f"trim: negatives of kind {kind!r} have no peak to be cut to"
        return None

    @property
    def min_overlap(self) -> int:
        """Bases of the core that a peak must cover."""
        return max(1, round(self.core * self.fraction))

    def per_site(self, kind: int) -> float:
        """Windows per site of a kind of KINDS."""
        return self.negatives.get(KINDS[kind], 0.0)

    def changed(self, **values: object) -> Recipe:
        """The same with the values that are not None."""
        return replace(self, **{name: x for name, x in values.items() if x is not None})


def read_recipe(path: str | Path) -> Recipe:
    """Recipe of a JSON file; TcnfastError for a key that is missing, unknown, or no such value."""
    values = read_object(path)
    known = {x.name for x in fields(Recipe)}
    for key, value in values.items():
        if key not in known:
            raise TcnfastError(f"{path}: {key!r} is no key of a recipe: {', '.join(sorted(known))}")
        if value is not None or key != "max_windows":
            want = _unlike(key, value)
            if want:
                raise TcnfastError(f"{path}: {key} is {value!r}, must be {want}")
    for key in ("name", "labels"):
        if key not in values:
            raise TcnfastError(f"{path}: has no {key!r}")
    try:
        return Recipe(**values)
    except TcnfastError as error:
        raise TcnfastError(f"{path}: {error}") from None


def _is_number(value: object, kinds: type | tuple = (int, float)) -> bool:
    return isinstance(value, kinds) and not isinstance(value, bool)


def _unlike(key: str, value: object) -> str | None:
    """What the value of ``key`` must be, where it is not."""
    if key in ("labels", "cells"):
        good = isinstance(value, list) and all(isinstance(x, str) and x for x in value)
        return None if good else "a list of names"
    if key in ("name", "about"):
        return None if isinstance(value, str) and (value or key != "name") else "a text"
    if key == "negatives":
        good = isinstance(value, dict) and all(map(_is_number, value.values()))
        return None if good else "windows per site of each kind, as {'gc': 1}"
    if key == "trim":
        return None if isinstance(value, bool) else "true or false"
    if key == "fraction":
        return None if _is_number(value) else "a number"
    return None if _is_number(value, int) else "an integer"
