"""FASTA files as random-access arrays of codes.

A regular plain file is read in place, by the geometry of its ``.fai`` index. Compressed files and
files with ragged lines are decoded once into an unlinked temporary file, one byte a base. Either
way a contig is read with ``pread``, so that any number of threads may share one file.
"""

from __future__ import annotations

import errno
import logging
import os
import tempfile
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..base.jit import jit
from ..base.talk import count
from .codes import first_illegal, mark_into, settle
from .fasta_index import Contig, load_index
from .fasta_text import FastaText, illegal_letter, is_gzip, look_at, needs_decoding
from .sequence_files import GenomeError, Parts, SequenceFile

log = logging.getLogger(__name__)

# bases read and decoded at a time: the three buffers stay in the L2 cache
CHUNK = 1 << 18


class FastaFile(SequenceFile):
    """One FASTA file, plain, gzip or bgzip; ``contigs`` maps names to their place, in file order.

    Raises GenomeError for anything that is not a readable nucleotide FASTA.
    """

    contigs: dict[str, Contig]

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(path)
        head = look_at(self.path)
        contigs = index_of(self.path, head)
        self._holds_codes = contigs is None
        self._can_be_opened_again = not self._holds_codes
        if contigs is None:
            self._fd, self.contigs = _decode_file(self.path, head)
        else:
            self._fd, self.contigs = os.open(self.path, os.O_RDONLY), contigs
            self._check_first_letters()
        if not any(contig.size for contig in self.contigs.values()):
            self.close()
            headers = count(len(self.contigs), "header")
            raise GenomeError(f"{self.path}: no sequence under its {headers}")

    def read_into(self, name: str, start: int, codes: np.ndarray) -> None:
        """Fill ``codes``, uint8 (L,), with [start, start + L) of a contig; all of it must exist."""
        if codes.size == 0:
            return
        contig = self.contigs[name]
        if self._holds_codes:
            self.read_at(contig.byte(start), codes)
            return
        # of the part with the most line ends in it
        bases = min(codes.size, CHUNK)
        ends = min(bases // contig.line_bases + 1, (contig.size - 1) // contig.line_bases)
        room = bases + ends * (contig.line_bytes - contig.line_bases)
        buffers = np.empty((2, room), np.uint8)
        for done in range(0, codes.size, CHUNK):
            self._decode(name, start + done, buffers, codes[done : done + CHUNK])

    def read_parts(self, parts: Parts, codes: np.ndarray) -> None:
        """See :meth:`SequenceFile.read_parts`. What lies near together is read at once: a call for
        each of 300,000 contigs takes seconds."""
        names, starts, sizes, places = parts
        rows = np.array([self.contigs[name] for name in names], np.int64)
        first, last = (_bytes_of(rows, base) for base in (starts, starts + sizes - 1))
        begin, end = int(first.min()), int(last.max()) + 1
        if end - begin > 2 * int(sizes.sum()) + CHUNK:
            super().read_parts(parts, codes)
            return
        raw = np.empty(end - begin, np.uint8)
        self.read_at(begin, raw)
        if self._holds_codes:
            _place_parts(raw, first - begin, sizes, places, codes)
        elif not _decode_parts(raw, rows, first - begin, starts, sizes, places, codes):
            super().read_parts(parts, codes)  # knows which letter is odd

    def _decode(self, name: str, start: int, buffers: np.ndarray, codes: np.ndarray) -> None:
        contig = self.contigs[name]
        begin, last = contig.byte(start), contig.byte(start + codes.size - 1)
        raw, marks = buffers[:, : last + 1 - begin]
        self.read_at(begin, raw)
        column = start % contig.line_bases
        line = column, contig.line_bases, contig.line_bytes
        regular, odd = _decode_lines(raw, marks, *line, codes)
        if regular and not odd:
            return
        letters = np.empty(codes.size, np.uint8)
        _drop_line_ends(raw, raw, *line, letters)
        illegal = first_illegal(letters)
        if not regular or (illegal >= 0 and letters[illegal] in b"\n\r>"):
            raise GenomeError(
                f"{self.path}: {name} does not fit the index; delete {self.path}.fai and try again"
            )
        if illegal >= 0:
            raise illegal_letter(self.path, name, start + illegal, letters[illegal])

    def _check_first_letters(self) -> None:
        left = CHUNK
        for name, contig in self.contigs.items():
            try:
                self.read_into(name, 0, np.empty(min(contig.size, left), np.uint8))
            except GenomeError:
                self.close()
                raise
            left -= contig.size
            if left <= 0:
                return


def _bytes_of(rows: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """:meth:`Contig.byte` of a position on each of ``rows``, int64 (n, 4)."""
    line, column = np.divmod(positions, rows[:, 2])
    return rows[:, 1] + line * rows[:, 3] + column


@jit
def _place_parts(
    raw: np.ndarray, begins: np.ndarray, sizes: np.ndarray, places: np.ndarray, codes: np.ndarray
) -> None:
    for i in range(len(begins)):
        part = raw[begins[i] : begins[i] + sizes[i]]
        codes[places[i] : places[i] + sizes[i]] = part


@jit
def _decode_parts(
    raw: np.ndarray,
    rows: np.ndarray,
    begins: np.ndarray,
    starts: np.ndarray,
    sizes: np.ndarray,
    places: np.ndarray,
    codes: np.ndarray,
) -> bool:
    """Codes of parts whose first bases are at ``begins`` of ``raw``, see ``read_parts``; False
    where a line does not end where it should, or there is anything but ACGTN."""
    marks = np.empty(raw.size, np.uint8)
    mark_into(raw, marks)
    for i in range(len(begins)):
        line_bases, line_bytes = rows[i, 2], rows[i, 3]
        values, part = marks[begins[i] :], codes[places[i] : places[i] + sizes[i]]
        column = starts[i] % line_bases
        if not _drop_line_ends(raw[begins[i] :], values, column, line_bases, line_bytes, part):
            return False
        if settle(part):
            return False
    return True


@jit
def _decode_lines(
    raw: np.ndarray,
    marks: np.ndarray,
    column: int,
    line_bases: int,
    line_bytes: int,
    codes: np.ndarray,
) -> tuple[bool, bool]:
    """Codes of the bases of ``raw``, uint8 (bytes,), which begins at ``column`` of a line.

    Everything is marked in one sweep, line ends too, and the marks are copied line by line: one
    vector loop over a chunk is many times faster than one for each line. ``marks``, of the size of
    ``raw``, is scratch.
    Returns whether every line ends where it should, and whether there was anything but ACGTN.
    """
    mark_into(raw, marks)
    regular = _drop_line_ends(raw, marks, column, line_bases, line_bytes, codes)
    return regular, settle(codes)


@jit
def _drop_line_ends(
    raw: np.ndarray,
    values: np.ndarray,
    column: int,
    line_bases: int,
    line_bytes: int,
    out: np.ndarray,
) -> bool:
    """Copy ``values`` of the bases of ``raw``, which begins at ``column`` of a line, to ``out``.

    False if a line does not end where it should.
    """
    source = target = 0
    while target < out.size:
        n = min(line_bases - column, out.size - target)
        # over slices: the compiler then knows that nothing wraps around, and vectorises
        line, kept = values[source : source + n], out[target : target + n]
        for i in range(n):
            kept[i] = line[i]
        source += n
        target += n
        column = 0
        if target < out.size:
            for i in range(source, source + line_bytes - line_bases):
                if raw[i] != 10 and raw[i] != 13:
                    return False
            source += line_bytes - line_bases
    return True


def index_of(path: Path, head: bytes) -> dict[str, Contig] | None:
    """Contigs of a FASTA file that begins with ``head``, None if it cannot be read in place."""
    if needs_decoding(head):
        return None
    # by these names pyfaidx takes a file for compressed, whatever is in it
    if is_gzip(head) or path.suffix.lower() in (".gz", ".bgz", ".bz2", ".zip"):
        return None
    try:
        return load_index(path)
    except OSError as error:
        raise GenomeError(f"{path}: cannot be read: {error.strerror}") from None


def _decode_file(path: Path, head: bytes) -> tuple[int, dict[str, Contig]]:
    """A descriptor of a temporary file of codes, and the contigs in it."""
    what = "compressed" if is_gzip(head) else "not in regular lines"
    words = "%s is %s: decoding it into a temporary file; name the .2bit of tcnfast index instead"
    log.info(words, path, what)
    try:
        with tempfile.TemporaryFile() as out:
            contigs = _decode_into(out, FastaText(path, head))
            out.flush()
            return os.dup(out.fileno()), contigs
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise GenomeError(
            f"{path}: no space left in {tempfile.gettempdir()} for its decoded form, a "
            "byte a base; set TMPDIR to a larger disk, or index an uncompressed file"
        ) from None


def _decode_into(out: BinaryIO, text: FastaText) -> dict[str, Contig]:
    sizes: dict[str, int] = {}
    for piece in text:
        out.write(piece.codes.data)
        sizes[piece.name] = piece.start + piece.codes.size
    contigs, total = {}, 0
    for name, size in sizes.items():
        width = max(size, 1)
        contigs[name] = Contig(size, total, width, width)
        total += size
    return contigs
