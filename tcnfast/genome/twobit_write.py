"""A FASTA file as a UCSC .2bit file, in one pass.

The index and the blocks of a .2bit file stand before the bases, but are known only after them. So
the bases are packed into a temporary file, each contig's blocks behind them, and copied into place.
What is in memory is a chunk of bases and the blocks of one contig.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from ..base.jit import jit
from ..base.talk import count
from .codes import N, other_letters
from .fasta_text import FastaText, Piece, look_at
from .sequence_files import GenomeError
from .twobit import SIGNATURE

_WORD = np.dtype("<u4")
LARGEST_SIZE = 2**32 - 1  # bases of a contig
LARGEST_OFFSET = 2**32 - 1  # in version 0
_LONGEST_NAME = 255
_COPIED = 1 << 20  # bytes at a time


class Written(NamedTuple):
    """What went into a .2bit file. ``others`` counts the letters, in upper case, that are neither
    ACGT nor N and became N; ``version`` is 1 where offsets needed 64 bits."""

    contigs: int
    bases: int
    others: Counter[str]
    version: int


def write_twobit(
    fasta: str | os.PathLike[str],
    out: str | os.PathLike[str],
    advance: Callable[[int], None] = lambda _: None,
) -> Written:
    """Write ``fasta``, plain or gzip, as the .2bit file ``out``, which appears when it is whole.

    Lower case becomes mask blocks, N and every other letter blocks of N. ``advance`` is called with
    the bytes of ``fasta`` read since its last call. Raises GenomeError for what is no sound
    nucleotide FASTA, contigs of 4 Gb or more, and names of more than 255 bytes, which the format
    cannot hold; and where ``out`` cannot be written.
    """
    fasta, out = Path(fasta), Path(out)
    text = FastaText(fasta, look_at(fasta))
    temporary = None
    try:
        with tempfile.TemporaryFile(dir=out.parent) as body:
            packer, others = _pack(text, body, advance)
            fd, temporary = tempfile.mkstemp(prefix=f".{out.name}.", dir=out.parent)
            with open(fd, "wb") as file:
                version = _assemble(packer.records, body, file)
        shutil.copymode(fasta, temporary)
        os.replace(temporary, out)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise GenomeError(f"{out}: no space left for it and its parts; free some") from None
        raise GenomeError(f"{out}: cannot be written: {error.strerror}") from None
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
    bases = sum(record.size for record in packer.records)
    return Written(len(packer.records), bases, others, version)


def _pack(
    text: FastaText, body: BinaryIO, advance: Callable[[int], None]
) -> tuple[_Packer, Counter[str]]:
    packer, letters, read = _Packer(text.path, body), np.zeros(256, np.int64), 0
    for piece in text:
        packer.add(piece)
        if piece.odd:
            letters += np.bincount(piece.letters, minlength=256)
        advance(text.position - read)
        read = text.position
    packer.finish()
    if not any(record.size for record in packer.records):
        headers = count(len(packer.records), "header")
        raise GenomeError(f"{text.path}: no sequence under its {headers}")
    return packer, other_letters(letters)


class _Record(NamedTuple):
    """A contig in the temporary file: packed bases from byte ``at`` on, then the starts and sizes
    of its blocks of N, then of its masked blocks."""

    name: bytes
    size: int
    at: int
    n_blocks: int
    masks: int

    @property
    def packed_bytes(self) -> int:
        return (self.size + 3) // 4

    @property
    def record_bytes(self) -> int:
        """Size of the record in the .2bit file: four words of its own, the blocks, the bases."""
        return 4 * _WORD.itemsize + 8 * (self.n_blocks + self.masks) + self.packed_bytes


class _Packer:
    """Packs pieces into ``body``, contig after contig, into ``records``."""

    def __init__(self, path: Path, body: BinaryIO) -> None:
        self.path, self.body = path, body
        self.records: list[_Record] = []
        self._name: str | None = None

    def add(self, piece: Piece) -> None:
        if piece.start == 0 and piece.codes.size == 0:
            self.finish()
            self._begin(piece.name)
            return
        self._size = piece.start + piece.codes.size
        if self._size > LARGEST_SIZE:
            raise GenomeError(
                f"{self.path}: {piece.name} has over {LARGEST_SIZE:,} bases, too many for .2bit"
            )
        self._unknown.add(piece.start, piece.codes == N)
        # nucleotides in lower case are the only letters up there
        self._masked.add(piece.start, piece.letters >= ord("a"))
        codes = np.concatenate((self._left, piece.codes))
        whole = codes.size // 4
        packed = np.empty(whole, np.uint8)
        _pack_codes(codes[: 4 * whole], packed)
        self.body.write(packed.data)
        self._left = codes[4 * whole :].copy()

    def _begin(self, name: str) -> None:
        if len(name.encode()) > _LONGEST_NAME:
            raise GenomeError(
                f"{self.path}: contig {name[:20]}...: its name is longer than .2bit's "
                f"{_LONGEST_NAME} bytes; shorten it"
            )
        self._name, self._size, self._at = name, 0, self.body.tell()
        self._left = np.empty(0, np.uint8)
        self._unknown, self._masked = _Runs(), _Runs()

    def finish(self) -> None:
        """End the contig at hand, if there is one."""
        if self._name is None:
            return
        if self._left.size:
            last = np.concatenate((self._left, np.full(4 - self._left.size, N, np.uint8)))
            packed = np.empty(1, np.uint8)
            _pack_codes(last, packed)
            self.body.write(packed.data)
        counts = []
        for runs in (self._unknown, self._masked):
            starts, sizes = runs.blocks(self._size)
            self.body.write(starts.data)
            self.body.write(sizes.data)
            counts.append(starts.size)
        self.records.append(_Record(self._name.encode(), self._size, self._at, *counts))
        self._name = None


class _Runs:
    """Runs of True along a contig."""

    def __init__(self) -> None:
        self._edges: list[np.ndarray] = []
        self._inside = False

    def add(self, start: int, flags: np.ndarray) -> None:
        """The next ``flags``, bool (L,), L > 0, from position ``start`` on."""
        edges = np.flatnonzero(np.diff(flags, prepend=self._inside))
        if edges.size:
            self._edges.append((edges + start).astype(_WORD))
        self._inside = bool(flags[-1])

    def blocks(self, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Starts and sizes of the runs of a contig of ``size`` bases."""
        last = np.full(int(self._inside), size, _WORD)
        edges = np.concatenate([*self._edges, last], dtype=_WORD)
        return np.ascontiguousarray(edges[::2]), edges[1::2] - edges[::2]


def _assemble(records: list[_Record], body: BinaryIO, file: BinaryIO) -> int:
    """Write header, index and records; returns the version."""
    version, offsets = _layout(records)
    file.write(np.array([SIGNATURE, version, len(records), 0], _WORD).data)
    for record, offset in zip(records, offsets, strict=True):
        file.write(bytes([len(record.name)]) + record.name)
        file.write(offset.to_bytes(8 if version else 4, "little"))
    body.flush()
    for record in records:
        n_bytes, blocks_at = 8 * record.n_blocks, record.at + record.packed_bytes
        file.write(np.array([record.size, record.n_blocks], _WORD).data)
        _copy(body, blocks_at, n_bytes, file)
        file.write(np.array([record.masks], _WORD).data)
        _copy(body, blocks_at + n_bytes, 8 * record.masks, file)
        file.write(bytes(_WORD.itemsize))
        _copy(body, record.at, record.packed_bytes, file)
    return version


def _layout(records: list[_Record]) -> tuple[int, list[int]]:
    """Version, and the offset of each record: 64 bits only where 32 do not reach."""
    offsets = _offsets(records, 4)
    return (0, offsets) if offsets[-1] <= LARGEST_OFFSET else (1, _offsets(records, 8))


def _offsets(records: list[_Record], width: int) -> list[int]:
    at = 16 + sum(1 + len(record.name) + width for record in records)
    offsets = []
    for record in records:
        offsets.append(at)
        at += record.record_bytes
    return offsets


def _copy(source: BinaryIO, offset: int, count: int, target: BinaryIO) -> None:
    for at in range(offset, offset + count, _COPIED):
        target.write(os.pread(source.fileno(), min(_COPIED, offset + count - at), at))


@jit
def _pack_codes(codes: np.ndarray, packed: np.ndarray) -> None:
    """Bases of a .2bit file, four to a byte, uint8 (L,), of codes, uint8 (4 L,); T for N."""
    for i in range(packed.size):
        byte = _bits(codes[4 * i]) << np.uint8(6)
        byte |= _bits(codes[4 * i + 1]) << np.uint8(4)
        byte |= _bits(codes[4 * i + 2]) << np.uint8(2)
        packed[i] = np.uint8(byte | _bits(codes[4 * i + 3]))


@jit
def _bits(code: int) -> int:
    bits = np.uint8(0)
    bits = np.uint8(2) if code == np.uint8(0) else bits
    bits = np.uint8(1) if code == np.uint8(1) else bits
    bits = np.uint8(3) if code == np.uint8(2) else bits
    return bits
