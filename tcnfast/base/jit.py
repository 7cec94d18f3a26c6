"""How this package compiles with numba, and where compiled code is kept.

numba looks only at the file of the function that it compiles. A function that calls one of another
file keeps the old code of that other one when it is edited. So the cache lies in a folder named by
a digest of all sources of this package and of the versions that compiled code depends on: after any
edit, everything is compiled anew.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import logging
import os
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TypeVar

import llvmlite
import numba
import numpy

from .lock_file import is_open_file

F = TypeVar("F", bound=Callable)
log = logging.getLogger(__name__)
PACKAGE = Path(__file__).resolve().parents[1]
_TRIES = 100  # to hold a folder that another process deletes


def jit(function: F, **options) -> F:
    """Compile without the interpreter lock, kept on disk for the next start; ``options`` of numba's
    own."""
    folder = cache_folder()
    if folder is None:  # as in a read-only container without a home: compile every time
        return numba.njit(nogil=True, **options)(function)
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(folder)  # read by numba while it decorates, and for us alone
    try:
        return numba.njit(cache=True, nogil=True, **options)(function)
    finally:
        numba.config.CACHE_DIR = before


@cache
def cache_folder() -> Path | None:
    """Folder of this state of the sources; those of other states are deleted, but for those that a
    process uses which began before an edit. None where there is no folder to write to.

    It lies in NUMBA_CACHE_DIR if that is set, else in the package's own ``__pycache__``, else in
    the user's cache folder.
    """
    ours = f"tcnfast-{hashlib.sha256(str(PACKAGE).encode()).hexdigest()[:12]}"
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    roots = [PACKAGE / "__pycache__" / "numba", user / ours]
    if numba.config.CACHE_DIR:
        roots = [Path(numba.config.CACHE_DIR) / ours]
    for root in roots:
        folder = root / sources_digest()
        with suppress(OSError):
            _hold(folder)
            if os.access(folder, os.W_OK):
                for other in root.iterdir():
                    _delete_unused(other)
                return folder
    return None


def place_torch_cache() -> None:
    """Before an optimiser of PyTorch is made, which imports PyTorch's compiler: give the compiler a
    folder of ours for its cache. If not told, it makes one in TMPDIR, which nobody deletes."""
    folder = cache_folder()
    if folder is not None:
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(folder / "torchinductor"))


def _hold(folder: Path) -> None:
    """Make a folder, and keep others from deleting it until this process ends. Raises OSError where
    it cannot be made, or is deleted again and again."""
    for _ in range(_TRIES):
        folder.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):  # another process, of other sources, deleted it just now
            file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            with suppress(OSError):  # a file system without locks
                fcntl.flock(file, fcntl.LOCK_SH)
            if is_open_file(folder, file):
                return
            os.close(file)
    log.warning("WARNING: %s: other processes delete it; compiled code is kept elsewhere", folder)
    raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), str(folder))


def _delete_unused(folder: Path) -> None:
    """Delete a folder of compiled code, unless a process uses it."""
    with suppress(OSError):
        file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            if not _is_used(file):
                shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(file)


def _is_used(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks
        return False
    return False


def sources_digest() -> str:
    """A name for what compiled code depends on: every source of this package, numba, llvmlite,
    numpy and Python."""
    digest = hashlib.sha256()
    versions = (sys.version, numba.__version__, llvmlite.__version__, numpy.__version__)
    digest.update(repr(versions).encode())
    for path in sorted(PACKAGE.rglob("*.py")):
        source = path.read_bytes()
        digest.update(f"{path.relative_to(PACKAGE)} {len(source)} ".encode() + source)
    return digest.hexdigest()[:16]
