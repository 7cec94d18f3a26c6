"""Locks of files that other processes may delete, and links that are not followed."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import TextIO


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


def is_open_file(path: Path, file: TextIO) -> bool:
    """Whether the path still leads to an open file."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False
