"""Opens the files that a user names, in one place, so that the bytes that are hashed are the bytes
that were read.

A pipe, as of ``<(zcat a.bed.gz)`` or /dev/stdin, can be read once. :func:`open_input` writes it to
a temporary file at the first opening and reads that from then on, for the length of a run.
"""

from __future__ import annotations

import io
import os
import shutil
import stat
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from .errors import TcnfastError
from .store import is_url, lacks_slash

_kept: dict[tuple[int, int], BinaryIO] = {}  # what pipes held, by device and inode
_runs = 0  # verbs that are running, one inside the other
_lock = threading.RLock()


@contextmanager
def kept_pipes() -> Iterator[None]:
    """Inside, a pipe may be opened any number of times: what it held is kept, until the outermost
    of these blocks ends."""
    global _runs
    with _lock:
        _runs += 1
    try:
        yield
    finally:
        with _lock:
            _runs -= 1
            if not _runs:
                for file in _kept.values():
                    file.close()
                _kept.clear()


def open_input(path: str | os.PathLike[str]) -> BinaryIO:
    """A file or a pipe that a user named, open for reading from its first byte.

    Raises OSError as ``open`` does, and TcnfastError for a device or a socket.
    """
    try:
        about = os.stat(path)
    except FileNotFoundError:
        check_no_url(path)
        raise
    if stat.S_ISFIFO(about.st_mode):
        return _open_pipe(path, (about.st_dev, about.st_ino))
    if not (stat.S_ISREG(about.st_mode) or stat.S_ISDIR(about.st_mode) or _is_empty(path)):
        raise TcnfastError(f"{path}: is no file but a device or a socket; give a file or a pipe")
    return open(path, "rb")  # of a folder: IsADirectoryError


def check_no_url(path: str | os.PathLike[str]) -> None:
    """Raise TcnfastError where a URL stands for a file."""
    if is_url(path) or lacks_slash(path):
        raise TcnfastError(f"{path}: is a URL; download it first")


def input_name(path: str | os.PathLike[str]) -> str:
    """What a record calls an input: the name of the file. Of a pipe it is "pipe", as a shell gives
    a pipe another path in every run."""
    return "pipe" if is_pipe(path) else Path(path).name


def is_pipe(path: str | os.PathLike[str]) -> bool:
    """Whether the path of a pipe."""
    try:
        return stat.S_ISFIFO(os.stat(path).st_mode)
    except (OSError, ValueError):  # no such file, or no path
        return False


def read_input(path: str | os.PathLike[str]) -> bytes:
    """All bytes of :func:`open_input`."""
    with open_input(path) as file:
        return file.read()


def read_input_text(path: str | os.PathLike[str], encoding: str = "utf-8") -> str:
    """The text of :func:`open_input`, its line ends as they are; UnicodeDecodeError, a ValueError,
    where it is none."""
    return read_input(path).decode(encoding)


def _is_empty(path: str | os.PathLike[str]) -> bool:
    return os.path.samefile(path, os.devnull)


def _open_pipe(path: str | os.PathLike[str], identity: tuple[int, int]) -> BinaryIO:
    with _lock:
        if not _runs:
            return open(path, "rb")
        if identity not in _kept:
            file = tempfile.TemporaryFile()  # without a name: it is gone if we are killed
            try:
                with open(path, "rb") as pipe:
                    shutil.copyfileobj(pipe, file, 1 << 20)
                file.flush()
            except BaseException:
                file.close()
                raise
            _kept[identity] = file
        return io.BufferedReader(_Kept(os.dup(_kept[identity].fileno()), Path(path)))


class _Kept(io.RawIOBase):
    """What a pipe held, read at a place of its own: all readers share the temporary file."""

    def __init__(self, fd: int, path: Path) -> None:
        self._fd, self._at, self.name = fd, 0, str(path)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def fileno(self) -> int:
        """For ``fstat``: its own place in the file is nobody's."""
        return self._fd

    def readinto(self, buffer) -> int:
        n = os.preadv(self._fd, [buffer], self._at)
        self._at += n
        return n

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: os.fstat(self._fd).st_size}
        self._at = base[whence] + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def close(self) -> None:
        if not self.closed:
            os.close(self._fd)
        super().close()
