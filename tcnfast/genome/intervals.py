"""BED files, narrowPeak files and labelled peak tables, read strictly into columns."""

from __future__ import annotations

import codecs
import gzip
import logging
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NoReturn

import numpy as np

from ..base.errors import TcnfastError, shown, some
from ..base.input_files import read_input
from ..base.talk import count
from .genome import GenomeError, match_chroms, renamed

log = logging.getLogger(__name__)

# a table of more rows than this, each with a label of its own, has names of peaks instead
_FEW = 100

# columns of a narrowPeak file, and of nothing else in the BED family
_NARROWPEAK = 10

_NO_SUMMIT = (b"-1", b".", b"")
_MOST_DIGITS = 18  # of an int64

TALK = (b"#", b"track ", b"track\t", b"browser ", b"browser\t")  # begins lines that are no rows


class IntervalError(TcnfastError):
    """An interval file that cannot be used; the message begins with path:line."""


@dataclass(frozen=True, eq=False)
class Intervals:
    """Intervals as columns of equal length, 0-based half-open, in file order.

    ``chrom`` object (str), ``start`` and ``end`` int64, ``summit`` int64 (a position on the
    contig, -1 where unknown), ``label`` object (str) or None.
    """

    chrom: np.ndarray
    start: np.ndarray
    end: np.ndarray
    summit: np.ndarray
    label: np.ndarray | None = None

    def __len__(self) -> int:
        return self.start.size

    @cached_property
    def centre(self) -> np.ndarray:
        """Summits, int64 (n,): the last base for one on the (exclusive) end, where some callers put
        it, and the middle of an interval whose summit is unknown."""
        middle = (self.start + self.end) // 2
        return np.where(self.summit >= 0, np.minimum(self.summit, self.end - 1), middle)

    @property
    def chroms(self) -> list[str]:
        """Contig names, each once, in order of appearance."""
        return list(dict.fromkeys(self.chrom.tolist()))

    def take(self, index: np.ndarray | slice) -> Intervals:
        """Intervals at ``index``, an integer or boolean array, or a slice."""
        label = None if self.label is None else self.label[index]
        columns = (self.chrom, self.start, self.end, self.summit)
        return Intervals(*(column[index] for column in columns), label)

    def on(self, chrom: str) -> Intervals:
        """Intervals of one contig, sorted by start; empty if it has none."""
        return self.take(self._by_contig.get(chrom, np.empty(0, np.int64)))

    @cached_property
    def _by_contig(self) -> dict[str, np.ndarray]:
        """Rows of each contig, sorted by start: there may be very many contigs."""
        numbers: dict[str, int] = {}
        contig = [numbers.setdefault(name, len(numbers)) for name in self.chrom.tolist()]
        order = np.lexsort((self.start, np.array(contig, np.int64)))
        bounds = np.searchsorted(np.sort(contig), np.arange(1, len(numbers))) if numbers else []
        return dict(zip(numbers, np.split(order, bounds), strict=bool(numbers)))


def check_bed_names(chroms: Iterable[str]) -> None:
    """Raise IntervalError for a contig whose rows in a BED file would be taken for a header."""
    for chrom in chroms:
        if f"{chrom}\t".encode().startswith(TALK):
            raise IntervalError(
                f"contig {shown(chrom)!r}: readers of BED files take a row that begins so for a "
                "comment or a header; rename the contig"
            )


def concatenate(parts: Sequence[Intervals]) -> Intervals:
    """Intervals of all parts, in order; labels are kept only if every part has them."""
    labels = [part.label for part in parts]
    columns = ("chrom", "start", "end", "summit")
    return Intervals(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in columns),
        None if any(label is None for label in labels) else np.concatenate(labels),
    )


def read_bed(
    path: str | os.PathLike[str],
    sizes: Mapping[str, int] | None = None,
    *,
    allow_missing: bool = False,
    summits: bool = False,
) -> Intervals:
    """Intervals of a BED file (three columns or more) or narrowPeak file, plain or gzip.

    ``sizes`` maps contig names to lengths, to check against. A contig that is not in ``sizes`` is
    an error, or its rows are dropped with a warning if ``allow_missing``; if none of the contigs is
    in ``sizes``, or one is there by another name (20, chr20), it is always an error. ``summits``:
    those of a narrowPeak file are read; of others, and without it, the first three columns alone
    are. Raises IntervalError with path and line.
    """
    table, has_summits = _Table(path, sizes), None
    for number, line in _rows(read_lines(path)):
        fields = _split(line)
        row = table.interval(number, fields)
        if has_summits is None:
            has_summits = summits and is_narrowpeak(fields)
        if row is not None:
            table.add(row, _offset_summit(path, number, fields) if has_summits else -1, None)
    return table.intervals(allow_missing)


def read_labelled(
    path: str | os.PathLike[str],
    sizes: Mapping[str, int] | None = None,
    *,
    allow_missing: bool = False,
) -> Intervals:
    """Intervals of a table with labels, plain or gzip.

    The first line begins with ``#`` and names the columns: chrom start end, then label (or tf and
    cell, which make the label TF@CELL), and a summit (or mid) on the contig, if there is one.
    A file without such a line must have four columns: chrom start end label. ``sizes``,
    ``allow_missing`` and errors are those of ``read_bed``; one more is for a fourth column that
    names every row otherwise, as names of peaks do.
    """
    lines = read_lines(path)
    label_columns, summit_column, width = _header(path, lines[0] if lines else b"")
    table = _Table(path, sizes)
    names: dict[tuple[bytes, ...], str] = {}
    for number, line in _rows(lines):
        fields = _split(line)
        if len(fields) < width:
            raise IntervalError(f"{path}:{number}: {count(len(fields), 'column')}, needs {width}")
        row = table.interval(number, fields)
        if row is None:
            continue
        key = tuple(fields[column] for column in label_columns)
        if key not in names:
            if not all(key):
                raise IntervalError(f"{path}:{number}: empty label")
            names[key] = "@".join(part.decode(errors="replace") for part in key)
        summit = -1 if summit_column is None else _position(path, number, fields[summit_column])
        table.add(row, summit, names[key])
    if not lines[0].startswith(b"#") and len(names) == len(table.rows) > _FEW:
        raise IntervalError(
            f"{path}: the fourth column names each of the {count(len(names), 'row')} otherwise, so "
            "it is no label; name the columns in a first line, '#chrom start end label'"
        )
    return table.intervals(allow_missing)


def joined(regions: Intervals) -> tuple[np.ndarray, np.ndarray]:
    """Starts and ends of sorted regions of one contig, those that overlap or touch made one."""
    if not len(regions):
        return regions.start, regions.end
    reach = np.maximum.accumulate(regions.end)
    begins = np.concatenate([[True], regions.start[1:] > reach[:-1]])
    last = np.append(np.flatnonzero(begins)[1:] - 1, len(regions) - 1)
    return regions.start[begins], reach[last]


def mask_of(intervals: Intervals, positions: np.ndarray) -> np.ndarray:
    """Whether each of ``positions``, int64 (P,) in any order, lies in an interval: bool (P,).

    All of one contig: raises IntervalError if ``intervals`` spans several.
    """
    if len(intervals.chroms) > 1:
        raise IntervalError("mask_of: intervals of several contigs; choose one with .on(chrom)")
    positions = np.asarray(positions, np.int64)
    return touched(positions, positions + 1, intervals.start, intervals.end)


def _rows(lines: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """(line number, line) of the lines that hold intervals."""
    for number, line in enumerate(lines, 1):
        if line and not line.startswith(TALK) and not line.isspace():
            yield number, line


class _Table:
    """Rows on their way to Intervals, checked against contig lengths."""

    def __init__(self, path: str | os.PathLike[str], sizes: Mapping[str, int] | None) -> None:
        self.path = path
        self.sizes = sizes
        self.rows: list[tuple[str, int, int]] = []
        self.summits: list[int] = []
        self.labels: list[str | None] = []
        self._names: dict[bytes, tuple[str, int | None]] = {}
        self._missing: dict[str, tuple[int, int]] = {}

    def interval(self, number: int, fields: list[bytes]) -> tuple[str, int, int] | None:
        """(chrom, start, end) of a line; None if the genome lacks the contig."""
        if len(fields) < 3:
            raise IntervalError(
                f"{self.path}:{number}: {count(len(fields), 'column')}; needs chrom, start, end"
            )
        name, start, end = fields[:3]
        if not (start.isdigit() and end.isdigit()) or max(len(start), len(end)) > _MOST_DIGITS:
            self._complain(number, start, end)
        start, end = int(start), int(end)
        if start >= end:
            raise IntervalError(f"{self.path}:{number}: start {start} is not below end {end}")
        if name not in self._names:
            chrom = name.decode(errors="replace")
            limit = 1 << 62 if self.sizes is None else self.sizes.get(chrom)
            self._names[name] = chrom, limit
        chrom, limit = self._names[name]
        if limit is None:
            first, rows = self._missing.get(chrom, (number, 0))
            self._missing[chrom] = first, rows + 1
            return None
        if end > limit:
            raise IntervalError(
                f"{self.path}:{number}: end {end} lies beyond {chrom}, which has {limit} bp; "
                "is it the right assembly?"
            )
        return chrom, start, end

    def _complain(self, number: int, start: bytes, end: bytes) -> NoReturn:
        wrong = not start.isdigit() or len(start) > _MOST_DIGITS
        text, which = (start, "start") if wrong else (end, "end")
        word = shown(text)
        if text.isdigit():
            raise IntervalError(f"{self.path}:{number}: {which} {word} is beyond every contig")
        if text[:1] == b"-" and text[1:].isdigit():
            raise IntervalError(f"{self.path}:{number}: {which} {word} is negative")
        mend = "; begin header lines with '#'" if number == 1 else ""
        raise IntervalError(f"{self.path}:{number}: {which} {word!r} is no integer{mend}")

    def add(self, row: tuple[str, int, int], summit: int, label: str | None) -> None:
        self.rows.append(row)
        self.summits.append(summit)
        self.labels.append(label)

    def intervals(self, allow_missing: bool) -> Intervals:
        wrong = self._missing
        if allow_missing and self.rows:
            wrong = renamed(wrong, self.sizes)
        if wrong:
            number, _ = self._missing[next(iter(wrong))]
            try:
                match_chroms(wrong, self.sizes, f"{self.path}:{number}")
            except GenomeError as error:
                raise IntervalError(str(error)) from None
        if not self.rows:
            raise IntervalError(f"{self.path}:1: no intervals in the file")
        if self._missing:
            dropped = sum(rows for _, rows in self._missing.values())
            words = "%s: dropped %d of %s, on %s that the genome lacks: %s"
            contigs = count(len(self._missing), "contig")
            rows = count(dropped + len(self.rows), "row")
            facts = dropped, rows, contigs, some(self._missing)
            log.warning(words, self.path, *facts)
        chrom, start, end = zip(*self.rows, strict=True)
        label = None if self.labels[0] is None else np.array(self.labels, object)
        integers = (np.array(column, np.int64) for column in (start, end, self.summits))
        return Intervals(np.array(chrom, object), *integers, label)


def _split(line: bytes) -> list[bytes]:
    # tab-separated fields may hold blanks or be empty; blank-separated ones may not
    return line.split(b"\t") if b"\t" in line else line.split()


def is_narrowpeak(fields: list[bytes]) -> bool:
    """Whether a first row is one of a narrowPeak file: other files have ten columns too."""
    if len(fields) != _NARROWPEAK or fields[5] not in (b"+", b"-", b"."):
        return False
    try:
        for field in (fields[4], *fields[6:9]):
            float(field)
    except ValueError:
        return False
    return fields[9].strip() in _NO_SUMMIT or fields[9].strip().isdigit()


def _offset_summit(path: str | os.PathLike[str], number: int, fields: list[bytes]) -> int:
    if len(fields) != _NARROWPEAK:
        raise IntervalError(
            f"{path}:{number}: {count(len(fields), 'column')}, a row of a narrowPeak file has "
            f"{_NARROWPEAK}"
        )
    offset = _position(path, number, fields[_NARROWPEAK - 1])
    start, end = int(fields[1]), int(fields[2])
    # some callers put the summit of a peak on its (exclusive) end
    if offset > end - start:
        raise IntervalError(f"{path}:{number}: summit offset {offset} lies outside the peak")
    return start + offset if offset >= 0 else -1


def _position(path: str | os.PathLike[str], number: int, field: bytes) -> int:
    field = field.strip()
    if field.isdigit() and len(field) <= _MOST_DIGITS:
        return int(field)
    if field in _NO_SUMMIT:
        return -1
    raise IntervalError(f"{path}:{number}: summit {shown(field)!r} is no integer")


def _header(path: str | os.PathLike[str], line: bytes) -> tuple[list[int], int | None, int]:
    """Columns of the label, column of the summit or None, and how many columns a row needs."""
    if not line.startswith(b"#") and len(_split(line)) == 4:
        return [3], None, 4
    names = [name.strip().decode(errors="replace").lower() for name in _split(line[1:].strip())]
    labels = ["label"] if "label" in names else [name for name in ("tf", "cell") if name in names]
    if line[:1] != b"#" or names[1:3] != ["start", "end"] or labels in ([], ["cell"]):
        raise IntervalError(
            f"{path}:1: the first line must name the columns: '#chrom start end label' or "
            "'#chrom start end tf cell', with tabs; or the columns be these four: chrom start end "
            "label"
        )
    summit = next((names.index(name) for name in ("summit", "mid") if name in names), None)
    columns = [names.index(name) for name in labels]
    return columns, summit, max(*columns, summit or 0, 2) + 1


def read_lines(path: str | os.PathLike[str]) -> list[bytes]:
    """Lines of a file, plain or gzip. Raises IntervalError."""
    path = Path(path)
    try:
        data = read_input(path)
        data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
        return data.removeprefix(codecs.BOM_UTF8).splitlines()
    except FileNotFoundError:
        raise IntervalError(f"{path}: no such file") from None
    except EOFError:
        raise IntervalError(f"{path}: truncated gzip; fetch it again") from None
    except (zlib.error, gzip.BadGzipFile) as error:
        raise IntervalError(f"{path}: damaged gzip ({error}); fetch it again") from None
    except OSError as error:
        raise IntervalError(f"{path}: cannot be read: {error.strerror}") from None


def touched(
    starts: np.ndarray, ends: np.ndarray, intervals_start: np.ndarray, intervals_end: np.ndarray
) -> np.ndarray:
    """Whether each window [starts, ends) overlaps an interval by 1 bp or more: bool (windows,).

    All int64, on one contig, in any order.
    """
    starts, ends = _windows(starts, ends)
    order = np.argsort(intervals_start, kind="stable")
    # among the intervals that begin before the window ends, the one that reaches furthest decides
    lowest = np.iinfo(np.int64).min
    reach = np.maximum.accumulate(np.append(lowest, np.asarray(intervals_end, np.int64)[order]))
    began = np.searchsorted(np.asarray(intervals_start, np.int64)[order], ends, side="left")
    return reach[began] > starts


def _windows(starts: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    starts = np.ascontiguousarray(starts, np.int64)
    ends = np.ascontiguousarray(ends, np.int64)
    if starts.ndim != 1 or starts.shape != ends.shape:
        raise TcnfastError(f"starts {starts.shape} and ends {ends.shape} must be equal, (windows,)")
    return starts, ends
