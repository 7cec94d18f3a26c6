"""FASTA text of any layout, plain or gzip, in one pass with constant memory."""

from __future__ import annotations

import codecs
import gzip
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from ..base.jit import jit
from .codes import encode_into, first_illegal
from .sequence_files import GenomeError, check_is_file

# bytes read and decoded at a time: all buffers stay in the L2 cache
CHUNK = 1 << 18

_FOREIGN = {
    b"BZh": "is bzip2-compressed; decompress it, or use gzip",
    b"\xfd7zXZ": "is xz-compressed; decompress it, or use gzip",
    b"\x28\xb5\x2f\xfd": "is zstd-compressed; decompress it, or use gzip",
    b"PK\x03\x04": "is a zip archive; unpack it",
    b"\x43\x27\x41\x1a": "is a compressed .2bit file; decompress it",
    b"\x1a\x41\x27\x43": "is a compressed .2bit file; decompress it",
    b"BAM\1": "is BAM; a FASTA file is text",
    b"@": "looks like FASTQ; a FASTA file begins with '>'",
}

_GZIP = b"\x1f\x8b"
_BOM = codecs.BOM_UTF8
_LONGEST_HEADER = 1 << 20
_BGZF_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")


def look_at(path: Path) -> bytes:
    """First bytes of a file; raises GenomeError if they cannot begin a FASTA file."""
    check_is_file(path)
    try:
        with open(path, "rb") as file:
            head = file.read(1 << 16)
            if is_gzip(head):
                _check_end(path, file, head)
                return head
    except OSError as error:
        raise GenomeError(f"{path}: cannot be read: {error.strerror}") from None
    _check_text(path, head)
    return head


def is_gzip(head: bytes) -> bool:
    """Whether a file that begins with ``head`` is gzip or bgzip."""
    return head[:2] == _GZIP


def _check_end(path: Path, file: BinaryIO, head: bytes) -> None:
    # a bgzip file cut between two blocks is a whole gzip file: only its end mark tells
    if len(head) > 14 and head[3] & 4 and head[12:14] == b"BC":
        file.seek(-min(len(_BGZF_END), os.fstat(file.fileno()).st_size), os.SEEK_END)
        if file.read() != _BGZF_END:
            raise GenomeError(f"{path}: truncated (no bgzip end mark); fetch or compress it again")


def _check_text(path: Path, head: bytes) -> None:
    head = head.removeprefix(_BOM)
    if not head.strip():
        raise GenomeError(f"{path}: empty file")
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise GenomeError(f"{path}: is UTF-16 text; save it as plain text (ASCII or UTF-8)")
    if what := foreign(head):
        raise GenomeError(f"{path}: {what}")
    if b"\0" in head:
        raise GenomeError(f"{path}: is a binary file, no FASTA")
    if not head.lstrip(b"\r\n").startswith(b">"):
        raise GenomeError(f"{path}:1: no FASTA header; the first line must be '>' and a name")
    _check_header(path, 1, head.lstrip(b"\r\n").partition(b"\n")[0])


def foreign(head: bytes) -> str | None:
    """What a file that begins with ``head`` is that no command reads, and how to mend it; None
    where that is not known."""
    return next((what for magic, what in _FOREIGN.items() if head.startswith(magic)), None)


def _check_header(path: Path, line: int, header: bytes) -> None:
    if b"\r" in header.rstrip(b"\r"):
        raise GenomeError(
            f"{path}:{line}: lines end in carriage returns alone, as on an old Mac; "
            f"convert it: tr '\\r' '\\n' < {path.name} > new.fa"
        )


def needs_decoding(head: bytes) -> bool:
    """Whether a plain FASTA file that begins with ``head`` holds what no index tells of: a byte
    order mark, or blanks within lines of sequence."""
    first, *records = head.split(b">")  # not line by line, which takes a millisecond
    rows = [first, *(record.partition(b"\n")[2] for record in records)]
    return head.startswith(_BOM) or any(b" " in row or b"\t" in row for row in rows)


def illegal_letter(path: Path, name: str, position: int, byte: int) -> GenomeError:
    """The error for a letter at ``position`` of a contig that is no nucleotide."""
    letter = chr(byte)
    if letter in "uU":
        mend = "this is RNA; write T for U"
    elif letter.isalpha() or letter == "*":
        mend = "a protein FASTA? DNA is needed"
    else:
        mend = "clean the file"
    return GenomeError(f"{path}: {name}:{position + 1:,}: {letter!r} is no nucleotide; {mend}")


class Piece(NamedTuple):
    """A stretch of the contig ``name`` from ``start`` on: its letters and their codes, uint8 (L,),
    valid until the next piece. ``odd``: there are letters other than ACGTN."""

    name: str
    start: int
    letters: np.ndarray
    codes: np.ndarray
    odd: bool


class FastaText:
    """The contigs of a FASTA file as an iterator of pieces.

    Every contig begins with an empty piece, so that empty contigs are seen too. Raises GenomeError
    for a damaged or truncated file, a nameless or second contig, and a letter that is no
    nucleotide. ``position`` is the number of bytes of the file that were read, compressed or not.
    """

    def __init__(self, path: Path, head: bytes) -> None:
        self.path = path
        self.position = 0
        self._zipped = is_gzip(head)
        self._names: set[str] = set()
        self._name = ""
        self._size, self._line = 0, 1

    def __iter__(self) -> Iterator[Piece]:
        header, line_start = b"", True
        letters, codes = np.empty(CHUNK, np.uint8), np.empty(CHUNK, np.uint8)
        for raw in self._chunks():
            bytes_, i = np.frombuffer(raw, np.uint8), 0
            while i < len(raw):
                if header or (line_start and raw[i] == 62):
                    end = raw.find(b"\n", i)
                    header += raw[i : len(raw) if end < 0 else end]
                    if len(header) > _LONGEST_HEADER:
                        raise GenomeError(
                            f"{self.path}:{self._line}: the header has more than a million letters"
                        )
                    i = len(raw) if end < 0 else end
                    if end < 0:
                        continue
                    yield self._begin(header)
                    header, line_start = b"", False
                i, n, lines, line_start = _take_letters(bytes_, i, len(raw), line_start, letters)
                if n:
                    yield self._piece(letters[:n], codes[:n])
                self._line += lines
        if header:
            yield self._begin(header)

    def _chunks(self) -> Iterator[bytes]:
        with open(self.path, "rb") as file:
            text = gzip.GzipFile(fileobj=file) if self._zipped else file
            first = True
            try:
                while raw := text.read(CHUNK):
                    if first:
                        _check_text(self.path, raw)
                        raw, first = raw.removeprefix(_BOM), False
                    self.position = file.tell()
                    yield raw
            except EOFError:
                raise GenomeError(f"{self.path}: truncated gzip; fetch it again") from None
            except (zlib.error, gzip.BadGzipFile) as error:
                raise GenomeError(f"{self.path}: damaged gzip ({error}); fetch it again") from None
        if first:
            raise GenomeError(f"{self.path}: empty file")

    def _begin(self, header: bytes) -> Piece:
        _check_header(self.path, self._line, header)
        words = header[1:].split()
        if not words:
            raise GenomeError(f"{self.path}:{self._line}: '>' without a contig name")
        self._name, self._size = words[0].decode(errors="replace"), 0
        if self._name in self._names:
            raise GenomeError(f"{self.path}:{self._line}: second contig named {self._name!r}")
        self._names.add(self._name)
        nothing = np.empty(0, np.uint8)
        return Piece(self._name, 0, nothing, nothing, False)

    def _piece(self, letters: np.ndarray, codes: np.ndarray) -> Piece:
        start = self._size
        odd = encode_into(letters, codes)
        if odd:
            illegal = first_illegal(letters)
            if illegal >= 0:
                raise illegal_letter(self.path, self._name, start + illegal, letters[illegal])
        self._size += letters.size
        return Piece(self._name, start, letters, codes, odd)


@jit
def _take_letters(
    raw: np.ndarray, begin: int, end: int, line_start: bool, letters: np.ndarray
) -> tuple[int, int, int, bool]:
    """Copy letters from ``raw[begin:end]`` without line ends and blanks, up to a '>' at a line's
    start.

    Returns where it stopped, the number of letters, of line ends, and whether a line starts there.
    """
    i = begin
    n = lines = 0
    while i < end:
        if line_start and raw[i] == 62:
            break
        stop = _word_end(raw, i, end)
        if stop > i:
            source, target = raw[i:stop], letters[n : n + stop - i]
            for k in range(target.size):
                target[k] = source[k]
            n += stop - i
            line_start = False
        if stop < end and raw[stop] == 10:
            lines += 1
            line_start = True
        elif stop < end and raw[stop] != 13 and raw[stop] != 32 and raw[stop] != 9:
            letters[n] = raw[stop]  # no letter, and no blank either
            n += 1
        i = stop + 1 if stop < end else end
    return i, n, lines, line_start


@jit
def _word_end(raw: np.ndarray, begin: int, end: int) -> int:
    """Index of the first blank, line end or control character in ``raw[begin:end]``; ``end`` if
    there is none."""
    part = raw[begin:end]
    for i in range(part.size):
        if part[i] <= np.uint8(32):
            return begin + i
    return end
