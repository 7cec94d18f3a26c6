"""Names of files that are named after labels, and which labels can name a file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .errors import TcnfastError

LONGEST = 200  # bytes of a name; file systems take 255, and endings are added


def file_names(labels: Sequence[str]) -> list[str]:
    """A file name for each label: what no file system minds stays as it is.

    Raises TcnfastError where two labels would share a file, and for a name of over 200 bytes.
    """
    safe = ["".join(c if c.isalnum() or c in "@._+-" else "_" for c in x) for x in labels]
    first: dict[str, int] = {}
    for index, name in enumerate(safe):
        other = first.setdefault(name, index)
        if other != index:
            raise TcnfastError(f"labels {labels[other]!r} and {labels[index]!r} share a file name")
        if len(name.encode()) > LONGEST:
            raise TcnfastError(
                f"label {labels[index][:40]!r}... names a file by {len(name.encode())} bytes; "
                f"{LONGEST} are possible"
            )
    return safe


def inert(text: str) -> str:
    """A name that is safe in the files of other programs: characters that could be markup in a
    page, end a line or a cell of a table, or cannot be written as UTF-8 become ``_``."""
    return "".join(c if c.isprintable() and c not in "<>&\"'`\\" else "_" for c in text)


def check_labels(labels: Iterable[str]) -> None:
    """Raise TcnfastError for labels that would be in the way later: those that :func:`file_names`
    refuses, those that differ in case alone (one file on many disks), and one with a comma, which
    separates labels in options and tables. Whatever makes a model asks this before it works."""
    labels = list(labels)
    for label in labels:
        if "," in label:
            raise TcnfastError(f"label {label!r} has a comma, which separates labels; rename it")
    first: dict[str, str] = {}
    for label, name in zip(labels, file_names(labels), strict=True):
        other = first.setdefault(name.lower(), label)
        if other != label:
            raise TcnfastError(
                f"labels {other!r} and {label!r} differ in upper and lower case alone; rename one"
            )
