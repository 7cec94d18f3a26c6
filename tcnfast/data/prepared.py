"""The folder that ``tcnfast prepare`` writes: codes and peaks of one dataset, memory-mapped.

``codes.npy`` holds the codes of all contigs end to end, uint8, a byte a base. ``peaks.*.npy`` are
the columns of the peak table, contig after contig and sorted by start: 15 bytes a peak. Everything
else is in ``dataset.json``. Opening maps the files and reads none of them.

Labels are worked out of the peaks when they are asked for (``labels.label_matrix``), because
training draws tiles at any base: 700 labels of 30,000 peaks on GRCh38 are 0.3 GB of peaks, and 540
GB as bits at every base.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..base.disk import new_array, save_array
from ..base.errors import TcnfastError
from ..base.run_folder import file_hash
from ..base.tables import read_description
from ..genome.codes import N
from ..genome.genome import Genome, Region, match_chroms
from ..genome.intervals import Intervals
from ..genome.labels import PeakTable
from ..genome.sequence_files import GenomeError
from .dataset import Dataset

if TYPE_CHECKING:
    import pandas as pd

DATASET = "dataset.json"
VERSION = 1
# start and end are int32, and their sum must be too
MAX_CONTIG = 2**30
COLUMNS = {
    "start": np.int32,
    "end": np.int32,
    "label": np.uint16,
    "kind": np.uint8,
    "reach": np.int32,
}


class DatasetFolder:
    """A finished folder of ``tcnfast prepare``.

    Args:
        path: the folder.
        report: the report as text, where this run made one; else None.

    Raises:
        TcnfastError: of its properties, for a folder that is none, or is damaged.
    """

    def __init__(self, path: str | Path, report: str | None = None) -> None:
        self.path, self.report = Path(path), report

    @cached_property
    def record(self) -> dict[str, Any]:
        """The contents of dataset.json."""
        return read_description(self.path / DATASET, "prepare", VERSION)

    @property
    def labels(self) -> list[str]:
        """The labels, in the order of the columns."""
        return self.record["labels"]

    def table(self) -> pd.DataFrame:
        """The labels, one a row.

        Returns:
            pandas.DataFrame: label, and its peaks in each part of the split.

        Raises:
            TcnfastError: for a folder that is none, or is damaged.
        """
        import pandas

        return pandas.DataFrame({"label": self.labels, **self.record["peaks"]})


class PreparedGenome:
    """The contigs of a prepared folder; ``sizes`` and ``codes`` as those of a Genome.

    Codes that lie wholly inside a contig are a view of the mapped file, without a copy; what is
    written to them stays in memory.
    """

    def __init__(self, folder: str | Path, contigs: list[dict[str, Any]]) -> None:
        self.folder = Path(folder)
        self._contigs = contigs
        self.sizes = {contig["name"]: contig["size"] for contig in contigs}
        self._first = {contig["name"]: contig["first_base"] for contig in contigs}
        self._codes = map_array(self.folder / "codes.npy", np.uint8, sum(self.sizes.values()))

    def codes(self, chrom: str, start: int = 0, end: int | None = None) -> np.ndarray:
        """Codes of [start, end) of a contig, uint8 (end - start,); 4 outside the contig.

        Raises GenomeError for an unknown contig or end < start.
        """
        if chrom not in self.sizes:
            match_chroms([chrom], self.sizes, "the request")
        size, first = self.sizes[chrom], self._first[chrom]
        end = size if end is None else end
        if end < start:
            raise GenomeError(f"{chrom}: end {end} lies before start {start}")
        if start >= 0 and end <= size:
            return self._codes[first + start : first + end]
        out = np.full(end - start, N, np.uint8)
        low, high = min(max(start, 0), size), max(min(end, size), 0)
        if low < high:
            out[low - start : high - start] = self._codes[first + low : first + high]
        return out

    def __reduce__(self) -> tuple[type[PreparedGenome], tuple[Path, list[dict[str, Any]]]]:
        return PreparedGenome, (self.folder, self._contigs)


@dataclass(frozen=True)
class MappedPeaks:
    """The peak tables of a prepared folder. ``rows``: [first, last) of each contig."""

    labels: list[str]
    rows: dict[str, tuple[int, int]]
    columns: dict[str, np.ndarray]

    def table(self, labels: list[str], chrom: str) -> PeakTable:
        """Table of a contig with these labels as columns; mapped as it is if they are all."""
        if len(set(labels)) != len(labels):
            twice = next(name for name in labels if labels.count(name) > 1)
            raise TcnfastError(f"label {twice!r} is listed twice")
        first, last = self.rows.get(chrom, (0, 0))
        start, end, label, kind, reach = (self.columns[name][first:last] for name in COLUMNS)
        if labels != self.labels:
            column = np.full(len(self.labels), -1, np.int32)
            column[[self.labels.index(name) for name in labels]] = np.arange(len(labels))
            keep = column[label] >= 0
            start, end, kind = start[keep], end[keep], kind[keep]
            label = column[label[keep]].astype(COLUMNS["label"])
            reach = np.maximum.accumulate(end)
        return PeakTable(start, end, label, kind, reach, len(labels))


@dataclass
class PreparedDataset(Dataset):
    """A Dataset whose peaks are mapped; ``bound`` and ``relaxed`` are None."""

    peaks: MappedPeaks = field(kw_only=True)

    def _build_table(self, chrom: str) -> PeakTable:
        return self.peaks.table(self.labels, chrom)


def open_prepared(
    folder: str | Path, labels: list[str] | None = None
) -> tuple[PreparedDataset, dict[str, list[Region]], dict[str, Any]]:
    """Dataset, split and the contents of dataset.json of a folder of ``tcnfast prepare``.

    ``labels``: which, in this order; all if None. Raises TcnfastError for a folder that is no such
    output, is damaged, or lacks a label.
    """
    folder = Path(folder)
    record = DatasetFolder(folder).record
    try:
        contigs, names, rule = record["contigs"], record["labels"], record["rule"]
        _check_contigs(contigs)
        rows = {contig["name"]: tuple(contig["peak_rows"]) for contig in contigs}
        peaks = max((last for _, last in rows.values()), default=0)
        columns = {
            name: map_array(folder / f"peaks.{name}.npy", dtype, peaks)
            for name, dtype in COLUMNS.items()
        }
        split = {part: [Region(*r) for r in regions] for part, regions in record["split"].items()}
        dataset = PreparedDataset(
            PreparedGenome(folder, contigs),
            None,
            names,
            None,
            _blacklist(folder, list(rows), record["blacklisted"]),
            rule["label_bin"],
            rule["min_overlap"],
            rule["summits"],
            peaks=MappedPeaks(names, rows, columns),
        )
    except TcnfastError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise TcnfastError(f"{folder / DATASET}: damaged ({error}); prepare it again") from None
    if labels is None:
        return dataset, split, record
    for name in labels:
        if name not in names:
            raise TcnfastError(f"{folder}: label {name!r} is not in this dataset")
    return replace(dataset, labels=list(labels)), split, record


def _check_contigs(contigs: list[dict[str, Any]]) -> None:
    """Raise ValueError for places in the arrays that cannot be."""
    bases = sum(contig["size"] for contig in contigs)
    for contig in contigs:
        size, first, (begin, end) = contig["size"], contig["first_base"], contig["peak_rows"]
        whole = all(type(number) is int for number in (size, first, begin, end))
        if not whole or not (0 <= first <= first + size <= bases and 0 <= begin <= end):
            raise ValueError(f"contig {contig['name']}: places that cannot be")


def map_array(path: Path, dtype: type, size: int) -> np.ndarray:
    """The array (size,) in a .npy file, mapped; writes to it stay in memory.

    Raises TcnfastError for another shape or type, or a file that is too short.
    """
    try:
        # copy-on-write: shared between processes like a read-only map, and torch takes it unasked
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            array = np.load(path, mmap_mode="c" if size else None, allow_pickle=False)
    except Exception as error:  # its header is Python, which may be broken in many ways
        raise TcnfastError(f"{path}: damaged ({error}); prepare it again") from None
    if array.shape[:1] != (size,) or array.dtype != dtype:
        raise TcnfastError(
            f"{path}: holds {array.dtype} {array.shape}, not {np.dtype(dtype)} ({size},); "
            "prepare it again"
        )
    return np.asarray(array)


def _blacklist(folder: Path, chroms: list[str], size: int | None) -> Intervals | None:
    """Rows (contig, start, end) of blacklist.npy; ``size`` None: there was none."""
    if size is None:
        return None
    path = folder / "blacklist.npy"
    rows = np.array(map_array(path, np.int64, size))
    if rows.shape != (size, 3) or ((rows[:, 0] < 0) | (rows[:, 0] >= len(chroms))).any():
        raise TcnfastError(f"{path}: damaged (rows of no contig); prepare it again")
    chrom = np.array(chroms, object)[rows[:, 0]]
    return Intervals(chrom, rows[:, 1], rows[:, 2], np.full(size, -1))


def write_arrays(
    folder: Path, dataset: Dataset, regions: dict[str, list[Region]], chroms: list[str]
) -> dict[str, Any]:
    """Write the arrays of the contigs ``chroms``; returns what dataset.json says of them."""
    firsts = _write_codes(folder, dataset.genome, chroms)
    rows = _write_peaks(folder, dataset, chroms)
    blacklisted = _write_blacklist(folder, dataset.blacklist, chroms)
    names = ["codes.npy", *(f"peaks.{name}.npy" for name in COLUMNS)]
    names += ["blacklist.npy"] if blacklisted is not None else []
    sizes = [dataset.genome.sizes[name] for name in chroms]
    return {
        "version": VERSION,
        "labels": dataset.labels,
        "contigs": [
            {"name": name, "size": size, "first_base": first, "peak_rows": list(span)}
            for name, size, first, span in zip(chroms, sizes, firsts, rows, strict=True)
        ],
        "blacklisted": blacklisted,
        "peaks": {part: dataset.count_peaks(areas).tolist() for part, areas in regions.items()},
        "files": {name: file_hash(folder / name) for name in names},
    }


def _write_codes(folder: Path, genome: Genome, chroms: list[str]) -> list[int]:
    """Write codes.npy of these contigs of a Genome; returns where each begins."""
    sizes = [genome.sizes[chrom] for chrom in chroms]
    firsts = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)]).tolist()
    out = new_array(folder / "codes.npy", np.uint8, (firsts[-1],))
    for chrom, first, size in zip(chroms, firsts, sizes, strict=False):
        out[first : first + size] = genome.codes(chrom)
    out.flush()
    return firsts[:-1]


def _write_peaks(folder: Path, dataset: Dataset, chroms: list[str]) -> list[tuple[int, int]]:
    """Write the peak tables of these contigs; returns the rows [first, last) of each."""
    tables = [dataset.table(chrom) for chrom in chroms]
    for name, dtype in COLUMNS.items():
        column = np.concatenate([getattr(table, name) for table in tables])
        save_array(folder / f"peaks.{name}.npy", column.astype(dtype))
    lasts = np.cumsum([len(table) for table in tables]).tolist()
    return list(zip([0, *lasts], lasts, strict=False))


def _write_blacklist(folder: Path, blacklist: Intervals | None, chroms: list[str]) -> int | None:
    """Write blacklist.npy, and return its rows, if there is a blacklist."""
    if blacklist is None:
        return None
    ids = {chrom: i for i, chrom in enumerate(chroms)}
    keep = np.array([chrom in ids for chrom in blacklist.chrom], bool)
    contig = np.array([ids[chrom] for chrom in blacklist.chrom[keep]], np.int64)
    rows = np.column_stack([contig, blacklist.start[keep], blacklist.end[keep]])
    save_array(folder / "blacklist.npy", rows)
    return len(rows)
