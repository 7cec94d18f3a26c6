"""Which extras of the package are installed, by what its metadata asks for."""

from __future__ import annotations

import re
from importlib import metadata

NOT_FOR_USERS = ("dev", "docs", "types")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_EXTRA = re.compile(r"extra\s*==\s*['\"]([^'\"]+)['\"]")


def extras() -> dict[str, list[str]]:
    """What is missing of each extra, nothing where it is all there. Empty where the package is not
    installed, and so has no metadata."""
    try:
        asked = metadata.requires("tcnfast") or []
    except metadata.PackageNotFoundError:
        return {}
    missing: dict[str, list[str]] = {}
    for line in asked:
        extra, name = _EXTRA.search(line), _NAME.match(line)
        if extra is None or name is None or extra[1] in NOT_FOR_USERS:
            continue
        lacking = missing.setdefault(extra[1], [])
        if name[0] != "tcnfast" and not _is_here(name[0]):
            lacking.append(name[0])
    return missing


def _is_here(package: str) -> bool:
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True
