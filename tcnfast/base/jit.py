"""How this package compiles with numba."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numba

F = TypeVar("F", bound=Callable)


def jit(function: F, **options) -> F:
    """Compile without the interpreter lock, kept on disk for the next start; ``options`` of numba's
    own."""
    try:
        return numba.njit(cache=True, nogil=True, **options)(function)
    except RuntimeError:
        # numba finds no folder it may write to, as in a read-only container: compile every time
        return numba.njit(nogil=True, **options)(function)
