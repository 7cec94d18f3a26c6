"""Where a verb that writes one file may write it."""

from __future__ import annotations

from pathlib import Path

from .errors import TcnfastError
from .options import setting


def output_file(out: str | Path, force: bool) -> Path:
    """The place of ``out``, links resolved. Raises TcnfastError, before any work is done, where it
    exists and ``force`` is not given, and where it cannot be made."""
    path = Path(out).resolve()
    if path.is_dir():
        raise TcnfastError(f"{path}: is a folder; {setting('out')} names a file")
    if path.exists() and not force:
        raise TcnfastError(
            f"{path}: exists; choose another {setting('out')}, or {setting('force', True)} to "
            "replace it"
        )
    if not path.parent.is_dir():
        raise TcnfastError(f"{path.parent}: no such folder, for {setting('out')}")
    return path
