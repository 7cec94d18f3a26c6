"""Sites: summits of several labels that lie close together, the labels of each, and windows cut to
their peaks."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..base.errors import TcnfastError
from ..data.dataset import Dataset
from ..data.peak_sets import PeakSets
from ..genome.codes import N
from ..genome.intervals import Intervals, concatenate
from .window_ground import Spans, join
from .window_recipe import Recipe


@dataclass(frozen=True, eq=False)
class RecipePeaks:
    """Peaks in the words of a recipe.

    ``bound`` and ``relaxed``: those of its labels. ``others``: bound peaks of its TFs in other cell
    lines, ``neighbours``: of other TFs in the same cell lines. ``every``: all peaks there are,
    bound and relaxed, of any label.
    """

    bound: Intervals
    relaxed: Intervals | None
    others: Intervals
    neighbours: Intervals
    every: Intervals

    @property
    def own(self) -> Intervals:
        """All peaks of the labels, bound and relaxed."""
        return self.bound if self.relaxed is None else concatenate([self.bound, self.relaxed])


def peaks_of(recipe: Recipe, peaks: PeakSets, source: str) -> RecipePeaks:
    """The peaks that a recipe speaks of; ``source``: the file of the recipe, for messages.

    Raises TcnfastError for a label, or a cell line, that has no peaks.
    """
    in_recipe = _namer(recipe)
    bound = _renamed(peaks.bound, in_recipe)
    relaxed = None if peaks.relaxed is None else _renamed(peaks.relaxed, in_recipe)
    there = set(bound.label)
    missing = [name for name in recipe.labels if name not in there]
    if missing:
        raise TcnfastError(
            f"{source}: label {missing[0]!r} has no peaks (missing: {len(missing)}); the tables "
            f"have {', '.join(peaks.labels[:5])}{', ...' if len(peaks.labels) > 5 else ''}"
        )
    cells = {_cell(name) for name in peaks.labels}
    for cell in recipe.cells:
        if cell not in cells:
            raise TcnfastError(f"{source}: no label of the peak tables is of cell line {cell!r}")
    tfs = {_tf(name) for name in recipe.labels}
    own_cells = set(recipe.cells) or {_cell(name) for name in recipe.labels}
    table = peaks.bound
    other = [_tf(x) in tfs and _cell(x) != "" and in_recipe(x) is None for x in table.label]
    near = [_tf(x) not in tfs and _cell(x) in own_cells for x in table.label]
    others, neighbours = (table.take(np.array(which, bool)) for which in (other, near))
    every = table if peaks.relaxed is None else concatenate([table, peaks.relaxed])
    return RecipePeaks(bound, relaxed, others, neighbours, every)


def _namer(recipe: Recipe):
    """The label of the recipe that a label of the tables stands for, or None."""
    labels, cells = set(recipe.labels), set(recipe.cells)

    def in_recipe(name: str) -> str | None:
        if cells:
            return _tf(name) if _cell(name) in cells and _tf(name) in labels else None
        return name if name in labels else None

    return in_recipe


def _renamed(intervals: Intervals, in_recipe) -> Intervals:
    names = {name: in_recipe(name) for name in set(intervals.label)}
    labels = np.array([names[name] for name in intervals.label], object)
    keep = labels != None  # noqa: E711  elementwise
    return replace(intervals.take(keep), label=labels[keep])


def _tf(name: str) -> str:
    return name.partition("@")[0]


def _cell(name: str) -> str:
    return name.partition("@")[2]


def merged_sites(peaks: Intervals, chroms: list[str], merge: int) -> Spans:
    """Middles of the sites of ``peaks`` on ``chroms``, sorted.

    Summits (middles of peaks, where the table has none) that lie within ``merge`` bases, one of the
    next, are one site; its middle is the median of them, the lower one of two.
    """
    found = []
    for i, chrom in enumerate(chroms):
        here = peaks.on(chrom)
        summits = np.sort(here.centre)
        if not summits.size:
            continue
        first = np.flatnonzero(np.concatenate([[True], np.diff(summits) > merge]))
        last = np.append(first[1:], summits.size) - 1
        middles = summits[(first + last) // 2]
        found.append(Spans(np.full(middles.size, i, np.int16), middles))
    return join(found)


def core_labels(dataset: Dataset, sites: Spans, chroms: list[str]) -> np.ndarray:
    """Labels, uint8 (sites, labels), of the label bin around the middle of each site."""
    out = np.zeros((len(sites), len(dataset.labels)), np.uint8)
    for i, chrom in enumerate(chroms):
        here = np.flatnonzero(sites.chrom == i)
        if here.size:
            order = here[np.argsort(sites.start[here], kind="stable")]
            out[order] = dataset.targets(chrom, sites.start[order])
    return out


def reaches(middles: Spans, peaks: dict[str, Intervals], chroms: list[str]) -> np.ndarray:
    """How far a window cut to its peak reaches either side of its middle: int64 (n,) bases.

    That is to the farther end of the peak whose summit the middle is, of several the widest;
    ``peaks`` of each contig. A peak without a summit has it in its middle.
    """
    out = np.zeros(len(middles), np.int64)
    for i, chrom in enumerate(chroms):
        rows = np.flatnonzero(middles.chrom == i)
        here = peaks[chrom]
        if not rows.size or not len(here):
            continue
        summits = here.centre
        far = np.maximum(summits - here.start, here.end - summits)
        order = np.lexsort((far, summits))
        last = np.searchsorted(summits[order], middles.start[rows], side="right") - 1
        found = summits[order][last] == middles.start[rows]
        out[rows] = np.where(found & (last >= 0), far[order][last], 0)
    return out


def trim(codes: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """Windows uint8 (n, length) with N where a base is ``reach`` int64 (n,) or more before the
    middle one, or that far behind it."""
    away = np.arange(codes.shape[1]) - codes.shape[1] // 2
    kept = (away >= -reach[:, None]) & (away < reach[:, None])
    return np.where(kept, codes, np.uint8(N))
