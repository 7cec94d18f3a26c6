"""Locks of files that other processes may delete, and links that are not followed."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn, TextIO

from .errors import TcnfastError
from .options import setting

LOCK = "lock"  # in a folder that a run writes to


def not_through_links(path: str, flags: int) -> int:
    """For ``open``: raises OSError where the file is a symbolic link."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o666)


def link_in(folder: Path) -> str | None:
    """A symbolic link in a folder, at any depth, or the folder itself: to write through it would
    change what lies elsewhere."""
    if folder.is_symlink():
        return str(folder)
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            if os.path.islink(path := os.path.join(place, name)):
                return path
    return None


def locked(file: TextIO) -> bool:
    """Whether an open file could be locked, or is by us."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def is_open_file(path: Path, file: int) -> bool:
    """Whether the path still leads to the file of an open descriptor."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(file))
    except FileNotFoundError:
        return False


def take_lock(path: Path, out: Path) -> TextIO:
    """Lock a file, made where there is none, and write down who did. The system lets go of the lock
    when its process ends, however it does. Raises TcnfastError where another run, into ``out``,
    holds it, and OSError where the file cannot be made."""
    while True:
        file = open(path, "a+", opener=not_through_links)
        if not locked(file):
            refuse(file, out)
        if is_open_file(path, file.fileno()):
            break
        file.close()  # another run ended, and took the file with it
    with suppress(OSError):  # on a full disk nobody is told who writes
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
    return file


def refuse(lock: TextIO, out: Path) -> NoReturn:
    """Raise TcnfastError: the run that holds ``lock`` writes to ``out``."""
    with lock:
        lock.seek(0)
        writer = lock.read().strip() or "unknown"
    raise TcnfastError(
        f"{out}: another run is writing to it (process {writer}); wait for it, or choose another "
        f"{setting('out')}"
    )


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Make ``folder`` and be the only run that writes to it. Raises TcnfastError where another one
    does, before anything is done."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = take_lock(folder / LOCK, folder)
    except OSError as error:
        raise TcnfastError(f"{folder}: cannot be written to ({error.strerror})") from None
    with lock:
        try:
            yield
        finally:
            with suppress(OSError):
                (folder / LOCK).unlink()
