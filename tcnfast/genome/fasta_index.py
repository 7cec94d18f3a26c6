"""The ``.fai`` index of a plain FASTA file: where each contig lies, in samtools' format.

pyfaidx reads an index that is there. A missing or stale one is made by a numba pass over the lines,
which holds one chunk of the file at a time, and is left beside the file for the next reader.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pyfaidx import Faidx, FastaIndexingError

from ..base.jit import jit

log = logging.getLogger(__name__)

# bytes scanned at a time: stays in the L2 cache
CHUNK = 1 << 18

# no header is longer: a wider gap between two contigs is a stale index
_LONGEST_HEADER = 1 << 20

# bytes looked at together in search of a line end: one vector compare
_BLOCK = 16


class Contig(NamedTuple):
    """Where a contig lies in its file: ``size`` bases from byte ``offset`` on, in lines of
    ``line_bases`` bases and ``line_bytes`` bytes (the line end included)."""

    size: int
    offset: int
    line_bases: int
    line_bytes: int

    def byte(self, position: int) -> int:
        """Offset in the file of the base at ``position``."""
        line, column = divmod(position, self.line_bases)
        return self.offset + line * self.line_bytes + column


def load_index(path: Path) -> dict[str, Contig] | None:
    """Contigs of a plain FASTA file by its ``.fai``, made or renewed where needed.

    None for a file that no index describes: lines are ragged, a header has no name, or a name
    occurs twice. Raises OSError if the file cannot be read.
    """
    fai = Path(f"{path}.fai")
    if fai.exists() and fai.stat().st_mtime_ns >= path.stat().st_mtime_ns:
        contigs = read_index(path, fai)
        if contigs is not None:
            return contigs
        log.info("%s does not match its FASTA file; indexing again", fai)
    contigs = build_index(path)
    if contigs is not None:
        _publish(contigs, fai, path)
    return contigs


def build_index(path: Path) -> dict[str, Contig] | None:
    """Contigs of a plain FASTA file by a pass over its lines; None as in ``load_index``."""
    raw, heads = np.empty(CHUNK, np.uint8), np.empty(CHUNK, np.uint8)
    # the contig at hand, then those that begin in this chunk, each with 2 bytes or more
    rows = np.zeros((CHUNK // 2 + 2, 4), np.int64)
    line = np.zeros(4, np.int64)
    done, names = [], []
    with open(path, "rb", buffering=0) as file:
        at = 0
        while n := file.readinto(raw):
            begun, letters = _scan_lines(raw[:n], at, line, rows, heads)
            if begun < 0:
                return None
            done.append(rows[:begun].copy())
            rows[0] = rows[begun]
            names.append(heads[:letters].tobytes())
            at += n
    if not _end_file(line, rows[0]):
        return None
    # in front of the first header there is a contig without a name, and without sequence
    table = np.concatenate([*done, rows[:1]])[1:].tolist()
    try:
        heads = b"".join(names).split(b"\n")[:-1]
        names = [head.split()[0].decode() for head in heads]
    except (IndexError, ValueError):
        return None
    if any(b"\r" in head.rstrip(b"\r") or len(head) > _LONGEST_HEADER for head in heads):
        return None
    contigs = {name: Contig(*row) for name, row in zip(names, table, strict=True)}
    return contigs if len(contigs) == len(table) else None


@jit
def _scan_lines(
    raw: np.ndarray, at: int, line: np.ndarray, rows: np.ndarray, heads: np.ndarray
) -> tuple[int, int]:
    """Measure the lines of ``raw``, uint8 (bytes,), which lies at byte ``at`` of the file.

    ``rows``, int64 (contigs, 4), begins with the contig at hand and gets those that follow, as
    Contig has its fields; ``heads`` gets the headers without '>', a line each. ``line`` is what is
    known of a line that goes on in the next chunk: its bytes so far, whether the last one is a
    carriage return, whether it is a header, and whether its contig had its last line.
    Returns how many contigs began, and the bytes in ``heads``; (-1, 0) if lines are ragged.
    """
    column, cr, header, closed = line
    row = written = i = 0
    while i < raw.size:
        if column == 0 and raw[i] == 62:
            row += 1
            rows[row] = 0
            column, header, closed = 1, 1, 0
            i += 1
        end = _line_feed(raw, i)
        if end > i:
            column += end - i
            cr = np.int64(raw[end - 1] == 13)
        if header:
            heads[written : written + end - i] = raw[i:end]
            written += end - i
        if end == raw.size:
            break
        if header:
            heads[written] = 10
            written += 1
            rows[row, 1] = at + end + 1
        else:
            closed = _add_line(rows[row], column - cr, column + 1, closed)
            if closed < 0:
                return -1, 0
        column = cr = header = 0
        i = end + 1
    line[0], line[1], line[2], line[3] = column, cr, header, closed
    return row, written


@jit
def _line_feed(raw: np.ndarray, i: int) -> int:
    """Index of the first line feed from ``raw[i]`` on; ``raw.size`` if there is none."""
    while i + _BLOCK <= raw.size:
        found = np.uint8(0)
        for k in range(_BLOCK):
            found |= np.uint8(raw[i + k] == 10)
        if found:
            break
        i += _BLOCK
    while i < raw.size and raw[i] != 10:
        i += 1
    return i


@jit
def _add_line(row: np.ndarray, n_bases: int, n_bytes: int, closed: int) -> int:
    """Add a line to the contig in ``row``, int64 (4,).

    Returns 1 if it must be the last with bases in it (it is shorter, ends otherwise or is empty),
    0 if another may follow, -1 if it may not stand here.
    """
    if n_bases == 0:
        return 1
    if closed or n_bases > row[2] > 0:
        return -1
    row[0] += n_bases
    if row[2] == 0:
        row[2], row[3] = n_bases, n_bytes
    return np.int64(n_bases != row[2] or n_bytes != row[3])


def _end_file(line: np.ndarray, row: np.ndarray) -> bool:
    """Add a last line without line feed to the contig in ``row``; False if that cannot be."""
    column, cr, header, closed = line.tolist()
    return not header and (column == 0 or _add_line(row, column - cr, column, closed) >= 0)


def read_index(path: Path, fai: Path) -> dict[str, Contig] | None:
    """Contigs by an index file; None if it is broken or does not fit the FASTA file."""
    try:
        faidx = Faidx(str(path), indexname=str(fai), rebuild=False, build_index=False)
    except (FastaIndexingError, ValueError, OSError):
        return None
    faidx.close()
    contigs = {
        name: Contig(record.rlen, record.offset, record.lenc, record.lenb)
        for name, record in faidx.index.items()
    }
    return contigs if _fits(path, contigs) else None


def _fits(path: Path, contigs: dict[str, Contig]) -> bool:
    """Whether between the contigs of an index there is nothing in the file but their headers."""
    # small contigs share a buffer, and so a system call
    with open(path, "rb", buffering=1 << 16) as file:
        end, size = 0, os.fstat(file.fileno()).st_size
        for name, contig in contigs.items():
            lines_fit = 0 < contig.line_bases <= contig.line_bytes or contig.size == 0
            lines_fit &= contig.line_bytes <= size + 2  # the last line may lack its end
            if not lines_fit or not 0 < contig.offset - end < _LONGEST_HEADER:
                return False
            file.seek(end)
            gap = re.fullmatch(rb"\s*>([^\n]*)\n", file.read(contig.offset - end))
            if gap is None or gap[1].split()[:1] != [name.encode()]:
                return False
            end = contig.byte(contig.size - 1) + 1 if contig.size else contig.offset
            if end > size:  # by any number of digits: no seek takes 20
                return False
        file.seek(end)
        return 0 < end and size < end + _LONGEST_HEADER and not file.read().strip()


def _publish(contigs: dict[str, Contig], fai: Path, path: Path) -> None:
    text = "".join("\t".join(map(str, (name, *contigs[name]))) + "\n" for name in contigs)
    temporary = None
    # renamed into place, because several processes may index the same genome at once
    try:
        fd, temporary = tempfile.mkstemp(prefix=f".{fai.name}.", dir=fai.parent)
        with open(fd, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        shutil.copymode(path, temporary)
        os.replace(temporary, fai)
    except OSError:
        log.info("%s cannot be written; the index is kept in memory", fai)
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
