"""How to get what an extra brings, as messages say it."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path


def install(extra: str) -> str:
    """The command that installs an extra of pyproject.toml.

    pip finds the extras of an installed tcnfast, wheel or editable, in its metadata and asks no
    index for it. A checkout that is not installed has none, and is named by its path.
    """
    try:
        metadata.distribution("tcnfast")
        home = "tcnfast"
    except metadata.PackageNotFoundError:
        home = str(Path(__file__).resolve().parents[2])
    return f"pip install '{home}[{extra}]'"
