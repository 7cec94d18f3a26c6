"""Peaks of many labels read from their files, checked against the genome and cut to the split."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ..base.errors import TcnfastError
from ..base.options import setting
from ..base.talk import count
from ..genome.genome import match_chroms, renamed
from ..genome.intervals import IntervalError, Intervals, concatenate, read_bed, read_labelled
from .data_options import PeakOptions
from .dataset import first_of_label
from .encode_metadata import LeftOut, read_encode
from .manifest import PeakFile, read_manifest
from .splits import SPLIT_NAMES

log = logging.getLogger(__name__)


class _Lengths(dict):
    """Contig lengths for the readers: rows on other contigs pass, to be counted here."""

    def get(self, name: str, default: int = 1 << 62) -> int:
        return super().get(name, default)


@dataclass
class PeakSets:
    """Peaks, and relaxed peaks if there are any, of ``labels`` (sorted names) on a genome.

    ``off_genome``: rows left out, by contig, because the genome lacks the contig.
    """

    bound: Intervals
    relaxed: Intervals | None
    labels: list[str]
    off_genome: Counter = field(default_factory=Counter)

    def on_contigs(self, chroms: Iterable[str]) -> PeakSets:
        """The same without peaks on other contigs."""
        chroms = set(chroms)
        relaxed = None if self.relaxed is None else _on(self.relaxed, chroms)
        return replace(self, bound=_on(self.bound, chroms), relaxed=relaxed)

    def around_summits(self, width: int, sizes: Mapping[str, int]) -> PeakSets:
        """The same with every peak replaced by the ``width`` bases around its summit, cut at the
        ends of the contig; relaxed peaks stay whole. Raises TcnfastError for peaks without one."""
        peaks = self.bound
        without = np.flatnonzero(peaks.summit < 0)
        if without.size:
            label, summits = peaks.label[without[0]], setting("summits")
            raise TcnfastError(
                f"{summits}: {without.size} of {count(len(peaks), 'peak')} have no summit, the "
                f"first of label {label!r}; give narrowPeak files or a summit column, or leave "
                f"{summits} out"
            )
        limit = np.array([sizes[chrom] for chrom in peaks.chrom], np.int64)
        start = np.clip(peaks.summit - width // 2, 0, limit - 1)
        end = np.clip(peaks.summit - width // 2 + width, start + 1, limit)
        return replace(self, bound=replace(peaks, start=start, end=end))


def listed_files(options: PeakOptions) -> tuple[list[PeakFile], list[LeftOut]]:
    """Rows of the manifest, or of the metadata and those of it that are left out; none of tables
    with labels."""
    if options.manifest:
        return read_manifest(options.manifest), []
    if options.encode:
        return read_encode(options.encode, options.assembly, options.allow_audit_errors)
    return [], []


def paths_of(
    genome: Iterable[str | Path], options: PeakOptions, rows: list[PeakFile]
) -> list[tuple[str, str]]:
    """The (role, path) of every input; ``rows`` are those of :func:`listed_files`."""
    split = None if options.split in SPLIT_NAMES else options.split
    relaxed = [*options.ambiguous, *(row.ambiguous for row in rows if row.ambiguous)]
    found = [
        *(("genome", path) for path in genome),
        ("manifest", options.manifest),
        ("encode", options.encode),
        *(("peaks", path) for path in (*options.peaks, *(row.path for row in rows))),
        *(("ambiguous", path) for path in dict.fromkeys(map(str, relaxed))),
        ("blacklist", options.blacklist),
        ("split", split),
    ]
    return [(role, str(path)) for role, path in found if path]


def read_peaks(options: PeakOptions, rows: list[PeakFile], sizes: Mapping[str, int]) -> PeakSets:
    """The peaks; ``rows`` are those of :func:`listed_files`. Raises TcnfastError, with path and
    line, for broken files and files that do not fit the genome."""
    if rows:
        return read_peak_files(rows, sizes)
    return read_peak_tables(list(options.peaks), list(options.ambiguous), sizes)


def read_peak_files(files: list[PeakFile], sizes: Mapping[str, int]) -> PeakSets:
    """Peaks of files of one label each (BED or narrowPeak); those of one label are joined.

    Raises TcnfastError, with path and line, for broken or empty files, for peaks beyond the end of
    a contig and where files and genome call the contigs otherwise.
    """
    off_genome: Counter = Counter()

    def read(path: Path, file: PeakFile) -> Intervals:
        try:
            rows = read_bed(path, _Lengths(sizes), summits=True)
        except IntervalError as error:
            raise IntervalError(f"{error} (of label {file.label!r}, {file.where})") from None
        kept = _on_genome(rows, sizes, path, off_genome)
        return replace(kept, label=np.full(len(kept), file.label, object))

    bound = [read(file.path, file) for file in files]
    relaxed, seen = [], set()
    for file in files:
        # rows of one label often name the same relaxed peaks
        if file.ambiguous and (file.label, file.ambiguous) not in seen:
            seen.add((file.label, file.ambiguous))
            relaxed.append(read(file.ambiguous, file))
    labels = sorted({file.label for file in files})
    return PeakSets(
        concatenate(bound), concatenate(relaxed) if relaxed else None, labels, off_genome
    )


def read_peak_tables(peaks: list[str], ambiguous: list[str], sizes: Mapping[str, int]) -> PeakSets:
    """Peaks of labelled tables; a label comes from the first of ``peaks`` that has it.

    Raises TcnfastError as ``read_peak_files``.
    """
    off_genome: Counter = Counter()
    tables = [read_labelled(path, _Lengths(sizes)) for path in peaks]
    labels = sorted({name for table in tables for name in table.label})
    bound = first_of_label(tables)
    bound = _on_genome(bound, sizes, ", ".join(map(str, peaks)), off_genome)
    relaxed = [read_labelled(path, _Lengths(sizes)) for path in ambiguous]
    relaxed = [
        _on_genome(table, sizes, path, off_genome)
        for table, path in zip(relaxed, ambiguous, strict=True)
    ]
    return PeakSets(bound, concatenate(relaxed) if relaxed else None, labels, off_genome)


def read_blacklist(path: str, sizes: Mapping[str, int]) -> Intervals:
    """Regions to leave out; TcnfastError as ``read_peak_files``."""
    off_genome: Counter = Counter()
    return _on_genome(read_bed(path, _Lengths(sizes)), sizes, path, off_genome)


def _on(intervals: Intervals, chroms: set[str]) -> Intervals:
    return intervals.take(np.array([chrom in chroms for chrom in intervals.chrom], bool))


def _on_genome(
    intervals: Intervals, sizes: Mapping[str, int], path: str | Path, off_genome: Counter
) -> Intervals:
    """The intervals on contigs of the genome; counts the others.

    Raises GenomeError where the genome writes 20 for chr20, or chr20 for 20.
    """
    missing = [name for name in intervals.chroms if name not in sizes]
    if not missing:
        return intervals
    match_chroms(renamed(missing, sizes), sizes, str(path))
    kept = _on(intervals, set(sizes))
    off_genome.update(name for name in intervals.chrom if name not in sizes)
    return kept
