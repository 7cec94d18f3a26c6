"""UCSC .2bit files as random-access arrays of codes.

A file holds a header, an index of names and offsets, and one record a contig: its size, its blocks
of N, its soft-masked blocks (which codes know nothing of) and its bases, four to a byte, the first
in the highest bits: T 0, C 1, A 2, G 3. Numbers are of 32 bits, in the byte order of the machine
that wrote the file; offsets are of 64 bits in version 1. The format is described at
https://genome.ucsc.edu/FAQ/FAQformat.html#format7.
"""

from __future__ import annotations

import os
import struct
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from ..base.jit import jit
from .codes import N
from .sequence_files import GenomeError, SequenceFile, check_is_file

SIGNATURE = 0x1A412743

# bytes read and unpacked at a time: they stay in the L2 cache, what they become need not
CHUNK = 1 << 18


# bytes of headers read at a time
_PIECE = 1 << 16
_NO_BLOCKS = np.empty(0, np.int64)


class TwoBitContig(NamedTuple):
    """Where a contig lies in its file: ``size`` bases, packed from byte ``offset`` on; ``n_starts``
    and ``n_ends``, int64 (blocks,), are its blocks of N, sorted and disjoint."""

    size: int
    offset: int
    n_starts: np.ndarray
    n_ends: np.ndarray


def is_twobit(path: Path) -> bool:
    """Whether a file is named, or begins, as a .2bit file."""
    if path.suffix.lower() == ".2bit":
        return True
    # a pipe would wait for someone to write to it
    if not os.path.isfile(path):
        return False
    try:
        with open(path, "rb") as file:
            return _byte_order(file.read(4)) is not None
    except OSError:
        return False


def _byte_order(signature: bytes) -> str | None:
    """Of a file that begins with these four bytes, as numpy writes it; None if it is no .2bit."""
    for order, name in (("<", "little"), (">", "big")):
        if signature == SIGNATURE.to_bytes(4, name):
            return order
    return None


class TwoBitFile(SequenceFile):
    """One .2bit file, version 0 or 1, of either byte order; ``contigs`` maps names to their place,
    in file order.

    Raises GenomeError for anything that is not a sound .2bit file.
    """

    contigs: dict[str, TwoBitContig]
    _can_be_opened_again = True

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(path)
        check_is_file(self.path)
        try:
            with open(self.path, "rb", buffering=1 << 16) as file:
                self.contigs = _Header(self.path, file).contigs()
                self._fd = os.dup(file.fileno())
        except OSError as error:
            raise GenomeError(f"{self.path}: cannot be read: {error.strerror}") from None

    def read_into(self, name: str, start: int, codes: np.ndarray) -> None:
        """Fill ``codes``, uint8 (L,), with [start, start + L) of a contig; all of it must exist."""
        contig = self.contigs[name]
        end = start + codes.size
        block = int(np.searchsorted(contig.n_ends, start, "right"))
        packed = np.empty(min(CHUNK, codes.size // 4 + 2), np.uint8)
        at = start
        while at < end:
            stop = min(end, (at // 4 + CHUNK) * 4)
            first, last = at // 4, (stop - 1) // 4
            part, raw = codes[at - start : stop - start], packed[: last + 1 - first]
            self.read_at(contig.offset + first, raw)
            _unpack(raw, at % 4, part)
            block = _fill_n(part, at, contig.n_starts, contig.n_ends, block)
            at = stop


class _Window:
    """Bytes of the front of a file, read a piece at a time."""

    def __init__(self, header: _Header) -> None:
        self._header, self._begin, self._data = header, 0, b""

    def take(self, at: int, count: int) -> bytes:
        """The ``count`` bytes from ``at`` on; GenomeError where the file ends before."""
        first = at - self._begin
        if first < 0 or first + count > len(self._data):
            # looked at first: a damaged count would ask for gigabytes
            if at + count > self._header.size:
                raise self._header._truncated()
            self._header.file.seek(at)
            self._begin, first = at, 0
            self._data = self._header.file.read(max(count, _PIECE))
            if len(self._data) < count:
                raise GenomeError(f"{self._header.path}: became shorter while it was read")
        return self._data[first : first + count]


class _Header:
    """What stands in front of the bases, read and checked."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path, self.file = path, file
        self.size = os.fstat(file.fileno()).st_size
        head = file.read(16)
        if not head:
            raise GenomeError(f"{path}: empty file")
        order = _byte_order(head[:4])
        if order is None:
            raise GenomeError(f"{path}: is named .2bit but is none: another signature")
        if len(head) < 16:
            raise self._truncated()
        self.word = np.dtype(f"{order}u4")
        self.version, self.count = np.frombuffer(head, self.word, 2, 4).tolist()
        if self.version not in (0, 1):
            raise GenomeError(f"{path}: is of .2bit version {self.version}; 0 and 1 can be read")
        self._three = struct.Struct(f"{order}3I")
        self.wide = np.dtype(f"{order}u8") if self.version else self.word

    def contigs(self) -> dict[str, TwoBitContig]:
        offsets, window = self._index(), _Window(self)
        end_of_index, contigs, extents = self.end_of_index, {}, []
        for name, offset in offsets.items():
            if offset < end_of_index:
                raise self._damaged(f"{name} overlaps the index")
            contigs[name], end = self._record(name, offset, window)
            extents.append((offset, end, name))
        extents.sort()
        for (_, end, name), (offset, _, after) in pairwise(extents):
            if offset < end:
                raise self._damaged(f"{after} overlaps {name}")
        if not any(contig.size for contig in contigs.values()):
            raise GenomeError(f"{self.path}: no sequence under its {len(contigs)} names")
        return contigs

    def _index(self) -> dict[str, int]:
        """Offsets of the records by name. The index is read in pieces, as the contigs are: one
        system call for each of 200,000 contigs would take a second."""
        offsets: dict[str, int] = {}
        window, width = _Window(self), self.wide.itemsize
        order = "little" if self.word.str.startswith("<") else "big"
        at = 16
        for _ in range(self.count):
            length = window.take(at, 1)[0]
            raw = window.take(at + 1, length + width)
            try:
                name = raw[:length].decode()
            except UnicodeDecodeError:
                raise self._damaged("a contig name is no text") from None
            if not name:
                raise self._damaged("a contig has no name")
            if name in offsets:
                raise GenomeError(f"{self.path}: second contig named {name!r}")
            offsets[name] = int.from_bytes(raw[length:], order)
            at += 1 + length + width
        self.end_of_index = at
        return offsets

    def _record(self, name: str, offset: int, window: _Window) -> tuple[TwoBitContig, int]:
        """A contig and where its record ends."""
        if offset >= self.size:
            raise self._truncated()
        word = self.word.itemsize
        size, blocks, masks = self._three.unpack(window.take(offset, 3 * word))
        starts = ends = _NO_BLOCKS
        if blocks:
            numbers = window.take(offset + 2 * word, (2 * blocks + 1) * word)
            numbers = np.frombuffer(numbers, self.word).astype(np.int64)
            starts, masks = numbers[:blocks], int(numbers[-1])
            ends = starts + numbers[blocks:-1]
            if np.any(starts[1:] < ends[:-1]) or np.any(ends > size):
                raise self._damaged(f"the blocks of N of {name} overlap or pass its {size:,} bases")
        at = offset + (2 + 2 * blocks + 1 + 2 * masks + 1) * word
        end = at + (size + 3) // 4
        if end > self.size:
            raise self._truncated()
        return TwoBitContig(size, at, starts, ends), end

    def _truncated(self) -> GenomeError:
        return GenomeError(f"{self.path}: truncated or damaged .2bit; fetch or index it again")

    def _damaged(self, what: str) -> GenomeError:
        return GenomeError(f"{self.path}: damaged .2bit ({what}); fetch or index it again")


@jit
def _unpack(raw: np.ndarray, column: int, codes: np.ndarray) -> None:
    """Codes, uint8 (L,), of the bases packed in ``raw`` from the one at ``column`` of its first
    byte on."""
    i = 0
    if column > 0:
        while i < codes.size and column + i < 4:
            codes[i] = _base(raw[0], column + i)
            i += 1
        raw = raw[1:]
    whole = (codes.size - i) // 4
    _unpack_bytes(raw[:whole], codes[i : i + 4 * whole])
    for k in range(i + 4 * whole, codes.size):
        codes[k] = _base(raw[whole], k - i - 4 * whole)


@jit
def _unpack_bytes(raw: np.ndarray, codes: np.ndarray) -> None:
    for i in range(raw.size):
        four = _as_codes(raw[i])
        codes[4 * i] = four >> np.uint8(6)
        codes[4 * i + 1] = (four >> np.uint8(4)) & np.uint8(3)
        codes[4 * i + 2] = (four >> np.uint8(2)) & np.uint8(3)
        codes[4 * i + 3] = four & np.uint8(3)


@jit
def _base(byte: int, column: int) -> int:
    return (_as_codes(byte) >> np.uint8(6 - 2 * column)) & np.uint8(3)


@jit
def _as_codes(byte: int) -> int:
    """Four bases of a .2bit file, uint8, as four codes: high and low bit h, l become not (h xor l)
    and not h. By bits, because a table look-up does not vectorise."""
    high = byte & np.uint8(0xAA)
    low = byte & np.uint8(0x55)
    return np.uint8(~(high ^ (low << np.uint8(1)) ^ (high >> np.uint8(1))))


@jit
def _fill_n(codes: np.ndarray, start: int, n_starts: np.ndarray, n_ends: np.ndarray, block: int):
    """Write N over the blocks that reach into ``codes``, which begins at ``start`` of its contig.

    ``block`` is the first that ends behind ``start``; returns the first that ends behind ``codes``.
    """
    end = start + codes.size
    while block < n_starts.size and n_starts[block] < end:
        codes[max(n_starts[block] - start, 0) : min(n_ends[block], end) - start] = N
        if n_ends[block] > end:
            break
        block += 1
    return block
