"""How this package compiles with numba, and where the compiled code is kept.

numba looks only at the file of the function that it compiles. A function that calls one of another
file keeps the old code of that other one when it is edited. So the cache lies in a folder named by
a digest of all sources of this package and of the versions that compiled code depends on: after any
edit, everything is compiled anew.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TypeVar

import llvmlite
import numba
import numpy

F = TypeVar("F", bound=Callable)
PACKAGE = Path(__file__).resolve().parents[1]


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
    """Folder of this state of the sources; those of other states are deleted. None where there is
    no folder to write to.

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
        try:
            folder.mkdir(parents=True, exist_ok=True)
            others = [other for other in root.iterdir() if other != folder]
        except OSError:
            continue
        if os.access(folder, os.W_OK):
            for other in others:
                shutil.rmtree(other, ignore_errors=True)
            return folder
    return None


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
