"""Writes bigWig files (Kent et al. 2010, doi:10.1093/bioinformatics/btq351).

libBigWig and bigtools take one Python object or call an interval and libBigWig reports no failed
write; here the work is numpy, numba and zlib, which all let other threads run, and a full disk is
an OSError. How fast: benchmarks/results/tail.csv.
"""

from __future__ import annotations

import shutil
import struct
import tempfile
import zlib
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import numpy as np

from .jit import jit

MAGIC, CHROM_TREE_MAGIC, INDEX_MAGIC = 0x888FFC26, 0x78CA8C91, 0x2468ACE0
VERSION = 4
BEDGRAPH = 1  # the type of a section of INTERVALs
SECTION_ITEMS = 1024  # compressed together, as UCSC's own tools do
NODE_ITEMS = 256  # of a tree, likewise
MOST_ZOOMS, ZOOM_FACTOR = 10, 4  # likewise
# on tracks of encode-v1 at floor 0.01 (AMD EPYC, zlib 1.2.13, 2026-11) level 1 takes 8.6 million
# intervals a second and 4.4 bytes each, level 6 3.5 million and 4.9 bytes
ZLIB_LEVEL = 1
SPOOL_BYTES = 2**18  # of a zoom level in memory before it goes to a temporary file

INTERVAL = np.dtype([("start", "<u4"), ("end", "<u4"), ("value", "<f4")])
# what is known of the covered bases of [start, end)
SUMMARY = np.dtype(
    [
        ("contig", "<u4"),
        ("start", "<u4"),
        ("end", "<u4"),
        ("covered", "<u4"),
        ("least", "<f4"),
        ("most", "<f4"),
        ("total", "<f4"),
        ("squares", "<f4"),
    ]
)
_SPAN = [("start_contig", "<u4"), ("start", "<u4"), ("end_contig", "<u4"), ("end", "<u4")]
INDEX_LEAF = np.dtype([*_SPAN, ("offset", "<u8"), ("size", "<u8")])
INDEX_NODE = np.dtype([*_SPAN, ("child", "<u8")])


class BigWigWriter:
    """A bigWig of intervals that come in order; whole only after ``close``.

    ``sizes``: contigs in the order in which they come. ``first_zoom``: bases of a bin of the finest
    zoom level. Memory does not grow with the intervals. Raises OSError when the disk is full;
    what is left of the file then is no bigWig.
    """

    def __init__(self, path: Path, sizes: dict[str, int], first_zoom: int) -> None:
        longest = max(sizes.values(), default=0)
        widths = [first_zoom * ZOOM_FACTOR**i for i in range(MOST_ZOOMS)]
        widths = [width for width in widths if width < longest] or widths[:1]
        self._zooms = [_Zoom(width, path.parent) for width in widths]
        self._contig = 0
        self._whole = np.array([0, np.inf, -np.inf, 0, 0])  # see _sum_up
        self._tree_at = 64 + 24 * len(self._zooms)
        self._tree = _chrom_tree(sizes, self._tree_at)
        self._summary_at = self._tree_at + len(self._tree)
        self._data_at = self._summary_at + 40
        self._file = open(path, "wb")
        self._file.seek(self._data_at + 8)  # what lies before is written last
        self._data = _Sections(self._file, INTERVAL, headed=True)

    def add(self, contig: int, start: np.ndarray, end: np.ndarray, value: np.ndarray) -> None:
        """Intervals [start, end) of one contig, sorted, apart; ``value`` float32, no NaN."""
        if contig != self._contig:
            self._end_contig()
            self._contig = contig
        if not len(start):
            return
        items = np.empty(len(start), INTERVAL)
        items["start"], items["end"], items["value"] = start, end, value
        self._data.add(contig, items)
        summaries = _summaries(contig, items)
        _sum_up(items, self._whole)
        for zoom in self._zooms:
            summaries = zoom.add(contig, summaries)

    def _end_contig(self) -> None:
        self._data.end_contig(self._contig)
        rest = np.empty(0, SUMMARY)
        for zoom in self._zooms:
            rest = zoom.end_contig(self._contig, rest)

    def close(self) -> None:
        """Write what is left, the indexes and the header."""
        self._end_contig()
        file = self._file
        index_at = file.tell()
        file.write(_index(self._data.index(0), index_at))
        zoom_headers = b""
        for zoom in self._zooms:
            at = file.tell()
            file.write(struct.pack("<I", zoom.sections.items))
            index = zoom.sections.index(file.tell())
            zoom.copy_to(file)
            zoom_headers += struct.pack("<IIQQ", zoom.width, 0, at, file.tell())
            file.write(_index(index, file.tell()))
        file.write(struct.pack("<I", MAGIC))
        header = struct.pack(
            "<IHHQQQHHQQIQ", MAGIC, VERSION, len(self._zooms), self._tree_at, self._data_at,
            index_at, 0, 0, 0, self._summary_at, self._most_bytes(), 0,
        )  # fmt: skip
        covered, *rest = self._whole if self._whole[0] else np.zeros(5)
        summary = struct.pack("<Qdddd", int(covered), *rest)
        n_sections = struct.pack("<Q", len(self._data.spans))
        file.seek(0)
        file.write(header + zoom_headers + self._tree + summary + n_sections)
        file.close()

    def _most_bytes(self) -> int:
        """Of a section before it was compressed."""
        return max(24 + SECTION_ITEMS * INTERVAL.itemsize, SECTION_ITEMS * SUMMARY.itemsize)

    def __enter__(self) -> BigWigWriter:
        return self

    def __exit__(self, kind, *_) -> None:
        try:
            if kind is None:
                self.close()
        finally:
            for file in (self._file, *(zoom.spool for zoom in self._zooms)):
                with suppress(OSError):  # what failed is on its way up already
                    file.close()


class _Sections:
    """Items compressed SECTION_ITEMS at a time into a file, and what an index needs to find them.

    ``headed``: each section begins with the header that data have and zooms have not.
    """

    def __init__(self, file: BinaryIO, dtype: np.dtype, headed: bool) -> None:
        self._file, self._headed = file, headed
        self._waiting = np.empty(0, dtype)
        self.items = 0
        self.spans: list[tuple[int, ...]] = []  # rows of INDEX_LEAF

    def add(self, contig: int, items: np.ndarray) -> None:
        items = np.concatenate([self._waiting, items])
        whole = len(items) // SECTION_ITEMS * SECTION_ITEMS
        for first in range(0, whole, SECTION_ITEMS):
            self._write(contig, items[first : first + SECTION_ITEMS])
        self._waiting = items[whole:].copy()

    def end_contig(self, contig: int) -> None:
        if len(self._waiting):
            self._write(contig, self._waiting)
            self._waiting = self._waiting[:0]

    def _write(self, contig: int, items: np.ndarray) -> None:
        start, end = int(items["start"][0]), int(items["end"][-1])
        head = b""
        if self._headed:
            head = struct.pack("<IIIIIBBH", contig, start, end, 0, 0, BEDGRAPH, 0, len(items))
        data = zlib.compress(head + items.tobytes(), ZLIB_LEVEL)
        self.spans.append((contig, start, contig, end, self._file.tell(), len(data)))
        self._file.write(data)
        self.items += len(items)

    def index(self, moved: int) -> np.ndarray:
        """INDEX_LEAF (sections,), for a file in which they lie ``moved`` bytes further on."""
        leaves = np.array(self.spans, INDEX_LEAF)
        leaves["offset"] += np.uint64(moved)
        return leaves


class _Zoom:
    """One zoom level: summaries of bins of ``width`` bases, spooled until the data are written."""

    def __init__(self, width: int, folder: Path) -> None:
        self.width = width
        self.spool = tempfile.SpooledTemporaryFile(SPOOL_BYTES, dir=folder)
        self.sections = _Sections(self.spool, SUMMARY, headed=False)
        self._open = np.empty(0, SUMMARY)  # of the bin that may still grow

    def add(self, contig: int, finer: np.ndarray) -> np.ndarray:
        """Takes summaries of the next finer level; returns those of bins that are whole now."""
        if not len(finer):
            return finer
        n_bins = int(finer["end"][-1]) // self.width - int(finer["start"][0]) // self.width + 1
        pieces = (
            2 * len(finer) + int((finer["end"] - finer["start"]).sum(dtype=np.int64)) // self.width
        )
        bins = np.empty(1 + min(n_bins, pieces), SUMMARY)
        bins[: len(self._open)] = self._open
        n = _merge(finer, self.width, bins, len(self._open))
        self._open = bins[n - 1 : n].copy()
        self.sections.add(contig, bins[: n - 1])
        return bins[: n - 1]

    def end_contig(self, contig: int, finer: np.ndarray) -> np.ndarray:
        """The same, and no bin stays open."""
        whole, last = self.add(contig, finer), self._open
        self._open = last[:0]
        self.sections.add(contig, last)
        self.sections.end_contig(contig)
        return np.concatenate([whole, last])

    def copy_to(self, file: BinaryIO) -> None:
        self.spool.seek(0)
        shutil.copyfileobj(self.spool, file)


def _summaries(contig: int, items: np.ndarray) -> np.ndarray:
    """Each interval as a summary of its own."""
    out = np.empty(len(items), SUMMARY)
    bases, value = (items["end"] - items["start"]).astype(np.float32), items["value"]
    out["contig"], out["start"], out["end"] = contig, items["start"], items["end"]
    out["covered"] = items["end"] - items["start"]
    out["least"] = out["most"] = value
    out["total"], out["squares"] = bases * value, bases * value**2
    return out


@jit
def _sum_up(items, whole):
    """Add intervals to ``whole``: bases covered, least, most, sum and sum of squares of values."""
    for i in range(len(items)):
        value = np.float64(items[i].value)
        bases = np.float64(items[i].end) - np.float64(items[i].start)
        whole[0] += bases
        whole[1], whole[2] = min(whole[1], value), max(whole[2], value)
        whole[3] += bases * value
        whole[4] += bases * value**2


@jit
def _merge(finer, width, bins, n):
    """Merge sorted summaries into bins of ``width`` bases, after the ``n`` of ``bins``; returns how
    many there are then. What lies across an edge is shared out by bases."""
    for i in range(len(finer)):
        item = finer[i]
        at, end = np.int64(item.start), np.int64(item.end)
        while at < end:
            stop = min(end, (at // width + 1) * width)
            if n == 0 or np.int64(bins[n - 1].start) // width != at // width:
                bins[n].contig, bins[n].start = item.contig, at
                bins[n].covered, bins[n].total, bins[n].squares = 0, 0, 0
                bins[n].least, bins[n].most = item.least, item.most
                n += 1
            share = (stop - at) / (end - np.int64(item.start))
            into = bins[n - 1]
            into.end = stop
            into.covered += np.uint32(round(item.covered * share))
            into.least, into.most = min(into.least, item.least), max(into.most, item.most)
            into.total += np.float32(item.total * share)
            into.squares += np.float32(item.squares * share)
            at = stop
    return n


def _index(leaves: np.ndarray, at: int) -> bytes:
    """The R tree over sections, to lie ``at`` this offset."""
    first, last = (leaves[0], leaves[-1]) if len(leaves) else (np.zeros((), INDEX_LEAF),) * 2
    header = struct.pack(
        "<IIQIIIIQII", INDEX_MAGIC, NODE_ITEMS, len(leaves), first["start_contig"], first["start"],
        last["end_contig"], last["end"], at, SECTION_ITEMS, 0,
    )  # fmt: skip
    return header + _tree(leaves, INDEX_NODE, at + len(header))


def _chrom_tree(sizes: dict[str, int], at: int) -> bytes:
    """The B+ tree from names, which it holds sorted, to numbers and sizes."""
    names = [name.encode() for name in sizes]
    key_size = max(map(len, names), default=1)
    leaf = np.dtype([("key", f"S{key_size}"), ("contig", "<u4"), ("size", "<u4")])
    node = np.dtype([("key", f"S{key_size}"), ("child", "<u8")])
    leaves = np.array(list(zip(names, range(len(names)), sizes.values(), strict=True)), leaf)
    leaves = leaves[np.argsort(leaves["key"], kind="stable")]
    header = struct.pack("<IIIIQQ", CHROM_TREE_MAGIC, NODE_ITEMS, key_size, 8, len(leaves), 0)
    return header + _tree(leaves, node, at + len(header))


def _tree(leaves: np.ndarray, node: np.dtype, at: int) -> bytes:
    """Nodes of a tree over sorted ``leaves``, the root first, to lie ``at`` this offset."""
    levels = [leaves]
    while len(levels[0]) > NODE_ITEMS:
        below = levels[0]
        firsts = np.arange(0, len(below), NODE_ITEMS)
        lasts = np.minimum(firsts + NODE_ITEMS, len(below)) - 1
        level = np.zeros(len(firsts), node)
        for name in node.names[:-1]:
            level[name] = below[name][lasts if name.startswith("end") else firsts]
        levels.insert(0, level)
    for level, below in pairwise(levels):
        at += _tree_bytes(level)
        level["child"] = at + np.arange(len(level)) * (4 + NODE_ITEMS * below.itemsize)
    return b"".join(
        struct.pack("<BBH", level is leaves, 0, len(level[i : i + NODE_ITEMS]))
        + level[i : i + NODE_ITEMS].tobytes()
        for level in levels
        for i in range(0, max(1, len(level)), NODE_ITEMS)
    )


def _tree_bytes(level: np.ndarray) -> int:
    return 4 * -(-len(level) // NODE_ITEMS) + level.nbytes
