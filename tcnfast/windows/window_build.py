"""``tcnfast windows prepare``: a window set of peak files, as a recipe says."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ..base.errors import TcnfastError
from ..base.options import Run, setting
from ..base.run_folder import RunFolder
from ..base.talk import count
from ..data.dataset import Dataset
from ..data.peak_sets import PeakSets, listed_files, paths_of, read_blacklist, read_peaks
from ..data.prepare import contigs_in_use, input_hashes
from ..data.splits import open_split
from ..genome.genome import Genome, Region
from ..genome.intervals import Intervals
from ..genome.labels import BOUND, UNBOUND
from ..genome.shuffle import dinucleotide_shuffles
from . import WindowPrepareOptions
from .window_ground import NOWHERE, Ground, Spans, by_contig, join
from .window_leaks import check_leaks, same_sequences
from .window_negatives import dealt, elsewhere, flanks, gc_matched
from .window_recipe import NEGATIVES, Recipe, read_recipe
from .window_report import write_report
from .window_set import ELSEWHERE, FLANK, GC, KINDS, OTHER, PARTS, SHUFFLE, SITE, WindowSet
from .window_sites import RecipePeaks, core_labels, merged_sites, peaks_of, reaches, trim

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PreparedWindows:
    """The folder of a window set, and its report where it was asked for."""

    folder: Path
    report: str | None


def prepare_windows(
    recipe: str | Path,
    genome: Sequence[str | Path],
    out: str | Path,
    options: WindowPrepareOptions,
    run: Run,
) -> PreparedWindows:
    """What ``tcnfast windows prepare`` does."""
    names = ("min_peaks", "length", "max_windows", "seed")
    wanted = read_recipe(recipe).changed(**{name: getattr(options, name) for name in names})
    split, blacklist, about = options.split, options.blacklist, {}
    key = {"windows": asdict(wanted)}
    with (
        RunFolder(out, "windows prepare", run, key=lambda: key | about) as folder,
        Genome(*genome) as opened,
    ):
        regions = open_split(split, opened.sizes)
        rows, _ = listed_files(options)
        about["inputs"] = input_hashes(paths_of(genome, options, rows))
        about["split"] = {part: [list(r) for r in areas] for part, areas in regions.items()}
        peaks = read_peaks(options, rows, opened.sizes)
        masked = read_blacklist(blacklist, opened.sizes) if blacklist else None
        windows = _Build(opened, peaks, masked, regions, split, wanted, str(recipe)).windows()
        windows.about.update(about)
        windows.save(folder.result)
        text = write_report(folder.result, windows, windows.about["notes"])
        folder.publish()
    log.info("%s in %s", count(len(windows), "window"), folder.path)
    return PreparedWindows(folder.path, text if options.report else None)


class _Build:
    """One window set on its way: sites, then the negatives of each part, then a look for leaks."""

    def __init__(
        self,
        genome: Genome,
        peaks: PeakSets,
        blacklist: Intervals | None,
        regions: dict[str, list[Region]],
        split: str,
        recipe: Recipe,
        source: str,
    ) -> None:
        self.recipe, self.source, self.regions = recipe, source, regions
        self.notes: list[str] = []
        for part in PARTS:
            if not regions[part]:
                raise TcnfastError(f"{split}: {part} holds no region; a window set needs all three")
        self.chroms = contigs_in_use(genome.sizes, regions, split)
        self.peaks: RecipePeaks = peaks_of(recipe, peaks.on_contigs(self.chroms), source)
        rule = recipe.core, recipe.min_overlap
        columns = self.peaks.bound, recipe.labels, self.peaks.relaxed, blacklist
        self.dataset = Dataset(genome, *columns, *rule)
        if peaks.off_genome:
            self._note(
                f"peaks left out because the genome lacks their contig: {peaks.off_genome.total()}"
            )
        self._refuse_rare()
        self.ground = Ground(self.dataset, regions, self.chroms, recipe.length)
        self.every = by_contig(self.peaks.every, self.chroms)
        self.own = by_contig(self.peaks.own, self.chroms)
        self.others = merged_sites(self.peaks.others, self.chroms, recipe.merge)
        self.neighbours = merged_sites(self.peaks.neighbours, self.chroms, recipe.merge)
        # each kind draws for itself
        self.rngs = [np.random.default_rng([recipe.seed, i]) for i in range(len(KINDS))]

    def _refuse_rare(self) -> None:
        counts = self.dataset.count_peaks(self.regions["train"]).tolist()
        rare = [
            f"{label} ({n})"
            for label, n in zip(self.recipe.labels, counts, strict=True)
            if n < self.recipe.min_peaks
        ]
        if rare:
            raise TcnfastError(
                f"{self.source}: labels with fewer than {self.recipe.min_peaks} training peaks: "
                f"{', '.join(rare)}; leave them out, or lower {setting('min_peaks')}"
            )

    def windows(self) -> WindowSet:
        sites, labels = self._sites()
        parts = self.ground.part_of(sites)
        pieces = [(SITE, i, sites.take(parts == i), labels[parts == i]) for i in range(len(PARTS))]
        for i in range(len(PARTS)):
            for kind, spans in self._negatives(i, sites.take(parts == i)):
                unbound = np.full((len(spans), labels.shape[1]), UNBOUND, np.uint8)
                pieces.append((kind, i, spans, unbound))
        made = self._joined(pieces)
        check_leaks(made)
        self._check_classes(made)
        copies = same_sequences(made)
        if copies:
            self._note(f"windows of valid or test that a window of another part repeats: {copies}")
        out = self.ground.hang_out(Spans(made.chrom, made.start))
        if out:
            self._note(f"windows that reach beyond an end of their contig, filled with N: {out}")
        return made

    def _sites(self) -> tuple[Spans, np.ndarray]:
        """Windows of the sites in use (starts), and their labels."""
        recipe = self.recipe
        middles = merged_sites(self.peaks.bound, self.chroms, recipe.merge)
        sites = Spans(middles.chrom, middles.start - recipe.length // 2)
        total = len(sites)
        parts = self.ground.part_of(sites)
        clean = self.ground.clean(sites)
        labels = core_labels(self.dataset, middles, self.chroms)
        bound = (labels == BOUND).any(1)
        inside = parts != NOWHERE
        keep = inside & clean & bound
        self._note(
            f"sites: {total}; left out {np.sum(~inside)} that lie wholly in no region, "
            f"{np.sum(inside & ~clean)} on N or blacklisted, "
            f"{np.sum(inside & clean & ~bound)} whose core no peak covers"
        )
        per_site = 1 + sum(recipe.negatives.values())
        most = total if recipe.max_windows is None else int(recipe.max_windows / per_site)
        share = min(1.0, most / max(1, keep.sum()))
        if share < 1:
            for i in range(len(PARTS)):
                here = np.flatnonzero(keep & (parts == i))
                drop = self.rngs[SITE].permutation(here)[int(share * here.size) :]
                keep[drop] = False
            self._note(f"sites drawn at random for max_windows {recipe.max_windows}: {keep.sum()}")
        return sites.take(keep), labels[keep]

    def _negatives(self, part: int, sites: Spans) -> list[tuple[int, Spans]]:
        """The windows of each kind that a part gets. A shuffle is told by the window that it is
        made from."""
        ground, rngs = self.ground, self.rngs
        wanted = {
            kind: round(len(sites) * self.recipe.per_site(kind))
            for kind in (GC, FLANK, ELSEWHERE, OTHER, SHUFFLE)
        }
        found = {FLANK: flanks(ground, sites, wanted[FLANK], self.every, rngs[FLANK])}
        for kind, middles in ((ELSEWHERE, self.others), (OTHER, self.neighbours)):
            found[kind] = elsewhere(ground, middles, part, wanted[kind], self.own, rngs[kind])
        gc, _ = ground.content(sites)
        avoid = join(list(found.values()))
        found[GC], off = gc_matched(ground, part, gc, wanted[GC], self.every, avoid, rngs[GC])
        if off:
            self._note(f"gc windows of {PARTS[part]} of the next GC there was (in 2 %): {off}")
        found[SHUFFLE] = join([])
        if len(sites):
            found[SHUFFLE] = sites.take(dealt(len(sites), wanted[SHUFFLE], rngs[SHUFFLE]))
        for kind, spans in found.items():
            if len(spans) < wanted[kind]:
                self._note(
                    f"{KINDS[kind]} windows of {PARTS[part]}: {wanted[kind]} asked for, "
                    f"{len(spans)} found"
                )
        return list(found.items())

    def _joined(self, pieces: list[tuple[int, int, Spans, np.ndarray]]) -> WindowSet:
        spans = join([piece[2] for piece in pieces])
        lengths = [len(piece[2]) for piece in pieces]
        kind = np.repeat(np.array([piece[0] for piece in pieces], np.uint8), lengths)
        part = np.repeat(np.array([piece[1] for piece in pieces], np.uint8), lengths)
        labels = np.concatenate([piece[3] for piece in pieces])
        codes = self.ground.codes(spans)
        shuffled = kind == SHUFFLE
        codes[shuffled] = dinucleotide_shuffles(codes[shuffled], self.rngs[SHUFFLE])
        if self.recipe.trim:
            codes = self._trimmed(codes, spans, kind)
        order = np.lexsort((spans.start, spans.chrom, kind, part))
        about = {"recipe": asdict(self.recipe), "notes": self.notes}
        places = spans.chrom, spans.start, self.chroms
        names = self.recipe.name, self.recipe.labels
        return WindowSet(*names, codes, labels, part, kind, *places, about).take(order)

    def _trimmed(self, codes: np.ndarray, spans: Spans, kind: np.ndarray) -> np.ndarray:
        middles, codes = Spans(spans.chrom, spans.start + self.recipe.length // 2), codes.copy()
        tables = {
            SITE: self.peaks.bound,
            ELSEWHERE: self.peaks.others,
            OTHER: self.peaks.neighbours,
        }
        for which, peaks in tables.items():
            here = kind == which
            reach = reaches(middles.take(here), by_contig(peaks, self.chroms), self.chroms)
            codes[here] = trim(codes[here], reach)
        return codes

    def _check_classes(self, made: WindowSet) -> None:
        """Every label needs windows of both classes in every part."""
        parts = [made.labels[made.part == i] for i in range(len(PARTS))]
        counts = np.array([[(x == kind).sum(0) for x in parts] for kind in (BOUND, UNBOUND)])
        for column, i, unbound in np.argwhere(counts.T == 0).tolist():
            label, part = made.names[column], PARTS[i]
            if unbound:
                raise TcnfastError(
                    f"{self.source}: label {label!r} has no unbound window in {part}; ask for "
                    f"negatives ({', '.join(NEGATIVES)})"
                )
            found = zip(PARTS, counts[0, :, column], strict=True)
            where = ", ".join(f"{name} {n}" for name, n in found)
            raise TcnfastError(
                f"{self.source}: label {label!r} has no bound window in {part} ({where}); "
                "leave it out, or take another split"
            )

    def _note(self, line: str) -> None:
        log.info(line)
        self.notes.append(line)
