"""Files and folders of URLs on this machine: fetched once, by the first of the processes that want
them, and kept in the folder for temporary files."""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import TcnfastError
from .lock_file import not_through_links
from .run_folder import LOCK, file_hash
from .store import Store, last_name

log = logging.getLogger(__name__)


def node_folder() -> Path:
    """Where this user's processes on this machine keep what they fetched. Raises TcnfastError where
    somebody else could write there."""
    folder = Path(tempfile.gettempdir()) / f"tcnfast-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    about = folder.lstat()
    if folder.is_symlink() or about.st_uid != os.getuid() or about.st_mode & 0o077:
        raise TcnfastError(f"{folder}: is not a folder of yours alone; delete it, or set TMPDIR")
    return folder


def fetched_file(url: str, sha256: str | None = None) -> Path:
    """The file of a URL on this machine. Raises TcnfastError where there is none, and where its
    SHA-256 is not ``sha256``; None: whatever it is now."""
    name = last_name(url)
    store = Store(url.rstrip("/")[: -len(name) - 1])
    state = None if sha256 is not None else store.state(name)
    if sha256 is None and state is None:
        raise TcnfastError(f"{url}: there is no such file")
    mark = sha256 or hashlib.sha256(f"{url} {state}".encode()).hexdigest()
    with _place(mark) as folder:
        path = folder / name
        if path.exists():
            return path
        log.info("fetching %s to %s", url, folder)
        if not store.get(name, path):
            raise TcnfastError(f"{url}: there is no such file")
        if sha256 is not None and file_hash(path) != sha256:
            path.unlink()
            raise TcnfastError(f"{url}: is not the file that the run began with (its SHA-256)")
        return path


def fetched_folder(url: str) -> Path:
    """The folder of a URL, a model's say, on this machine. Raises TcnfastError where there is
    none."""
    store, name = Store(url), last_name(url)
    states = [(file, store.state(file)) for file in store.names()]
    if not states:
        raise TcnfastError(f"{url}: there is no such folder")
    with _place(hashlib.sha256(repr((url, states)).encode()).hexdigest()) as folder:
        path, beside = folder / name, folder / f"{name}.tmp"
        if not path.exists():
            shutil.rmtree(beside, ignore_errors=True)
            store.get_all(beside)
            beside.rename(path)
        return path


@contextmanager
def _place(mark: str) -> Iterator[Path]:
    """A folder that one process at a time has; others wait."""
    folder = node_folder() / mark
    folder.mkdir(exist_ok=True)
    with open(folder / LOCK, "a+", opener=not_through_links) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder
