"""What the readers of genome files share: their error, and reading at a place."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..base.errors import TcnfastError
from ..base.input_files import check_no_url


class GenomeError(TcnfastError):
    """A genome file, contig name or region that cannot be used."""


class Parts(NamedTuple):
    """Parts of contigs, n of them: of the contig of its name ``sizes`` bases, 1 at least, from
    ``starts`` on, for ``places`` of an array of codes, all int64 (n,)."""

    names: Sequence[str]
    starts: np.ndarray
    sizes: np.ndarray
    places: np.ndarray

    def some(self, here: slice) -> Parts:
        """Of these, in a row."""
        return Parts(self.names[here], self.starts[here], self.sizes[here], self.places[here])


class SequenceFile(ABC):
    """A file of contigs that any number of threads may read, at the place ``_fd``."""

    _fd = -1
    _can_be_opened_again = False  # what it reads lies at its path

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._opens_for_each = False

    def open_for_each(self) -> None:
        """From here on hold no descriptor: the file is opened for each reading, if that can be."""
        if self._can_be_opened_again:
            self.close()
            self._opens_for_each = True

    @abstractmethod
    def read_into(self, name: str, start: int, codes: np.ndarray) -> None:
        """Fill ``codes``, uint8 (L,), with [start, start + L) of a contig; all of it must exist."""

    def read_parts(self, parts: Parts, codes: np.ndarray) -> None:
        """Fill ``codes``, uint8, with ``parts``, all of which must exist."""
        columns = (column.tolist() for column in (parts.starts, parts.sizes, parts.places))
        for name, start, size, place in zip(parts.names, *columns, strict=True):
            self.read_into(name, start, codes[place : place + size])

    def read_at(self, offset: int, out: np.ndarray) -> None:
        """Fill ``out``, uint8 (bytes,), from ``offset`` on; see :func:`read_at`."""
        if not self._opens_for_each:
            read_at(self._fd, self.path, offset, out)
            return
        try:
            fd = os.open(self.path, os.O_RDONLY)
        except OSError as error:
            raise GenomeError(f"{self.path}: cannot be read: {error.strerror}") from None
        try:
            read_at(fd, self.path, offset, out)
        finally:
            os.close(fd)

    def close(self) -> None:
        """Release the file; harmless when done twice."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1


def check_is_file(path: Path) -> None:
    """Raise GenomeError for what is no regular file."""
    # of os.path, which know no names that are too long
    if not os.path.exists(path):
        check_no_url(path)
        raise GenomeError(f"{path}: no such file")
    if path.is_dir():
        raise GenomeError(f"{path}: is a folder; name the FASTA or .2bit file in it")
    if not path.is_file():
        raise GenomeError(f"{path}: is no regular file; save the sequence to disk first")


def read_at(fd: int, path: Path, offset: int, out: np.ndarray) -> None:
    """Fill ``out``, uint8 (bytes,), from ``offset`` on.

    With ``pread``, so that threads may share ``fd`` and a file that shrinks is an error and no
    SIGBUS, as it would be in a memory map. Raises GenomeError where the file ends too early.
    """
    view, done = memoryview(out), 0
    while done < len(view):
        n = os.preadv(fd, [view[done:]], offset + done)
        if n == 0:
            raise GenomeError(f"{path}: became shorter while it was read")
        done += n
