"""Names of files that are named after labels."""

from __future__ import annotations

from .errors import TcnfastError


def file_names(labels: list[str]) -> list[str]:
    """A file name for each label: what no file system minds stays as it is.

    Raises TcnfastError where two labels would share a file.
    """
    safe = ["".join(c if c.isalnum() or c in "@._+-" else "_" for c in x) for x in labels]
    for index, name in enumerate(safe):
        other = safe.index(name)
        if other != index:
            raise TcnfastError(f"labels {labels[other]!r} and {labels[index]!r} share a file name")
    return safe
