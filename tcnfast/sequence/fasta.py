"""FASTA files as random-access arrays of codes.

A regular plain file is read in place, by the geometry of its ``.fai`` index. Compressed files and
files with ragged lines are decoded once into an unlinked temporary file, one byte a base. Either
way a contig is read with ``pread``, so that any number of threads may share one file.
"""

from __future__ import annotations

import errno
import gzip
import logging
import os
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..errors import TcnfastError
from ..jit import jit
from .codes import encode_into, first_illegal
from .fasta_index import Contig, load_index

log = logging.getLogger(__name__)

# bytes read and decoded at a time: both buffers stay in the L2 cache
_CHUNK = 1 << 18

_FOREIGN = {
    b"BZh": "is bzip2-compressed; decompress it, or use gzip",
    b"\xfd7zXZ": "is xz-compressed; decompress it, or use gzip",
    b"\x28\xb5\x2f\xfd": "is zstd-compressed; decompress it, or use gzip",
    b"PK\x03\x04": "is a zip archive; unpack it",
    b"\x43\x27\x41\x1a": "is a .2bit file; turn it into FASTA with twoBitToFa",
    b"\x1a\x41\x27\x43": "is a .2bit file; turn it into FASTA with twoBitToFa",
    b"@": "looks like FASTQ; a FASTA file begins with '>'",
}

_GZIP = b"\x1f\x8b"
_BGZF_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")


class GenomeError(TcnfastError):
    """A genome file, contig name or region that cannot be used."""


@jit
def _drop_line_ends(
    raw: np.ndarray, column: int, line_bases: int, line_bytes: int, letters: np.ndarray
) -> bool:
    """Copy the bases of ``raw``, which begins at ``column`` of a line, to ``letters``.

    False if a line does not end where it should.
    """
    source = target = 0
    while target < letters.size:
        n = min(line_bases - column, letters.size - target)
        letters[target : target + n] = raw[source : source + n]
        source += n
        target += n
        column = 0
        if target < letters.size:
            for i in range(line_bytes - line_bases):
                if raw[source + i] != 10 and raw[source + i] != 13:
                    return False
            source += line_bytes - line_bases
    return True


@jit
def _take_letters(
    raw: np.ndarray, begin: int, end: int, line_start: bool, letters: np.ndarray
) -> tuple[int, int, int, bool]:
    """Copy letters from ``raw[begin:end]`` without line ends, up to a '>' at a line's start.

    Returns where it stopped, the number of letters, of line ends, and whether a line starts there.
    """
    n = lines = 0
    for i in range(begin, end):
        byte = raw[i]
        if byte == 10:
            lines += 1
            line_start = True
        elif byte == 62 and line_start:
            return i, n, lines, line_start
        elif byte != 13:
            letters[n] = byte
            n += 1
            line_start = False
    return end, n, lines, line_start


class FastaFile:
    """One FASTA file, plain, gzip or bgzip; ``contigs`` maps names to their place, in file order.

    Raises GenomeError for anything that is not a readable nucleotide FASTA.
    """

    contigs: dict[str, Contig]

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._fd = -1
        head = _look_at(self.path)
        contigs = _index_of(self.path, head)
        self._holds_codes = contigs is None
        if contigs is None:
            self._fd, self.contigs = _Decoder(self.path, head).run()
        else:
            self._fd, self.contigs = os.open(self.path, os.O_RDONLY), contigs
            self._check_first_letters()
        if not any(contig.size for contig in self.contigs.values()):
            self.close()
            raise GenomeError(f"{self.path}: no sequence under its {len(self.contigs)} headers")

    def close(self) -> None:
        """Release the file; harmless when done twice."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    def read_into(self, name: str, start: int, codes: np.ndarray) -> None:
        """Fill ``codes``, uint8 (L,), with [start, start + L) of a contig; all of it must exist."""
        contig = self.contigs[name]
        if self._holds_codes:
            self._pread(contig.byte(start), codes)
            return
        letters = np.empty(min(codes.size, _CHUNK), np.uint8)
        for done in range(0, codes.size, _CHUNK):
            part = codes[done : done + _CHUNK]
            self._decode(name, start + done, letters[: part.size], part)

    def _decode(self, name: str, start: int, letters: np.ndarray, codes: np.ndarray) -> None:
        contig = self.contigs[name]
        begin, last = contig.byte(start), contig.byte(start + codes.size - 1)
        raw = np.empty(last + 1 - begin, np.uint8)
        self._pread(begin, raw)
        column = start % contig.line_bases
        regular = _drop_line_ends(raw, column, contig.line_bases, contig.line_bytes, letters)
        illegal = first_illegal(letters) if encode_into(letters, codes) else -1
        if not regular or (illegal >= 0 and letters[illegal] in b"\n\r>"):
            raise GenomeError(
                f"{self.path}: {name} does not fit the index; delete {self.path}.fai and try again"
            )
        if illegal >= 0:
            raise _illegal_letter(self.path, name, start + illegal, letters[illegal])

    def _pread(self, offset: int, out: np.ndarray) -> None:
        view, done = memoryview(out), 0
        while done < len(view):
            n = os.preadv(self._fd, [view[done:]], offset + done)
            if n == 0:
                raise GenomeError(f"{self.path}: became shorter while it was read")
            done += n

    def _check_first_letters(self) -> None:
        left = _CHUNK
        for name, contig in self.contigs.items():
            try:
                self.read_into(name, 0, np.empty(min(contig.size, left), np.uint8))
            except GenomeError:
                self.close()
                raise
            left -= contig.size
            if left <= 0:
                return


def _look_at(path: Path) -> bytes:
    """First bytes of a file; raises GenomeError if they cannot begin a FASTA file."""
    if not path.exists():
        raise GenomeError(f"{path}: no such file")
    if path.is_dir():
        raise GenomeError(f"{path}: is a folder; name the FASTA file in it")
    if not path.is_file():
        raise GenomeError(f"{path}: is no regular file; save the sequence to disk first")
    try:
        with open(path, "rb") as file:
            head = file.read(1 << 16)
            if head[:2] == _GZIP:
                _check_end(path, file, head)
                return head
    except OSError as error:
        raise GenomeError(f"{path}: cannot be read: {error.strerror}") from None
    _check_text(path, head)
    return head


def _check_end(path: Path, file: BinaryIO, head: bytes) -> None:
    # a bgzip file cut between two blocks is a whole gzip file: only its end mark tells
    if head[3] & 4 and head[12:14] == b"BC":
        file.seek(-min(len(_BGZF_END), os.fstat(file.fileno()).st_size), os.SEEK_END)
        if file.read() != _BGZF_END:
            raise GenomeError(f"{path}: truncated (no bgzip end mark); fetch or compress it again")


def _check_text(path: Path, head: bytes) -> None:
    if not head.strip():
        raise GenomeError(f"{path}: empty file")
    for magic, what in _FOREIGN.items():
        if head.startswith(magic):
            raise GenomeError(f"{path}: {what}")
    if b"\0" in head:
        raise GenomeError(f"{path}: is a binary file, no FASTA")
    if not head.lstrip(b"\r\n").startswith(b">"):
        raise GenomeError(f"{path}:1: no FASTA header; the first line must be '>' and a name")


def _index_of(path: Path, head: bytes) -> dict[str, Contig] | None:
    # by these names pyfaidx takes a file for compressed, whatever is in it
    if head[:2] == _GZIP or path.suffix.lower() in (".gz", ".bgz", ".bz2", ".zip"):
        return None
    try:
        return load_index(path)
    except OSError as error:
        raise GenomeError(f"{path}: cannot be read: {error.strerror}") from None


def _illegal_letter(path: Path, name: str | None, position: int, byte: int) -> GenomeError:
    letter = chr(byte)
    if letter in "uU":
        mend = "this is RNA; write T for U"
    elif letter.isalpha() or letter == "*":
        mend = "a protein FASTA? DNA is needed"
    else:
        mend = "clean the file"
    return GenomeError(f"{path}: {name}:{position + 1:,}: {letter!r} is no nucleotide; {mend}")


class _Decoder:
    """One streaming pass over a FASTA file into a temporary file of codes."""

    def __init__(self, path: Path, head: bytes) -> None:
        self.path = path
        self.zipped = head[:2] == _GZIP
        self.contigs: dict[str, Contig] = {}
        self.name: str | None = None
        self.size = self.total = 0
        self.line = 1

    def run(self) -> tuple[int, dict[str, Contig]]:
        """Returns a descriptor of the temporary file and the contigs in it."""
        what = "compressed" if self.zipped else "not in regular lines"
        log.info("%s is %s: decoding it into a temporary file", self.path, what)
        try:
            with tempfile.TemporaryFile() as out:
                self._decode(out)
                out.flush()
                return os.dup(out.fileno()), self.contigs
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise GenomeError(
                f"{self.path}: no space left in {tempfile.gettempdir()} for its decoded form, a "
                "byte a base; set TMPDIR to a larger disk, or index an uncompressed file"
            ) from None

    def _decode(self, out: BinaryIO) -> None:
        header, line_start = b"", True
        letters, codes = np.empty(_CHUNK, np.uint8), np.empty(_CHUNK, np.uint8)
        for raw in self._chunks():
            bytes_, i = np.frombuffer(raw, np.uint8), 0
            while i < len(raw):
                if header or (line_start and raw[i] == 62):
                    end = raw.find(b"\n", i)
                    header += raw[i : len(raw) if end < 0 else end]
                    i = len(raw) if end < 0 else end
                    if end < 0:
                        continue
                    self._begin(header)
                    header, line_start = b"", False
                i, n, lines, line_start = _take_letters(bytes_, i, len(raw), line_start, letters)
                self._append(letters[:n], codes[:n], out)
                self.line += lines
        if header:
            self._begin(header)
        self._finish()

    def _chunks(self) -> Iterator[bytes]:
        with gzip.open(self.path) if self.zipped else open(self.path, "rb") as file:
            first = True
            try:
                while raw := file.read(_CHUNK):
                    if first:
                        _check_text(self.path, raw)
                        first = False
                    yield raw
            except EOFError:
                raise GenomeError(f"{self.path}: truncated gzip; fetch it again") from None
            except (zlib.error, gzip.BadGzipFile) as error:
                raise GenomeError(f"{self.path}: damaged gzip ({error}); fetch it again") from None
        if first:
            raise GenomeError(f"{self.path}: empty file")

    def _begin(self, header: bytes) -> None:
        self._finish()
        words = header[1:].split()
        if not words:
            raise GenomeError(f"{self.path}:{self.line}: '>' without a contig name")
        self.name = words[0].decode(errors="replace")
        if self.name in self.contigs:
            raise GenomeError(f"{self.path}:{self.line}: second contig named {self.name!r}")

    def _finish(self) -> None:
        if self.name is not None:
            width = max(self.size, 1)
            self.contigs[self.name] = Contig(self.size, self.total - self.size, width, width)
        self.size = 0

    def _append(self, letters: np.ndarray, codes: np.ndarray, out: BinaryIO) -> None:
        if encode_into(letters, codes):
            illegal = first_illegal(letters)
            if illegal >= 0:
                raise _illegal_letter(self.path, self.name, self.size + illegal, letters[illegal])
        out.write(codes.data)
        self.size += letters.size
        self.total += letters.size
