"""Folders that are URLs, as ``s3://bucket/run``: what machines that share no disk all reach. The
package fsspec opens them, and a package of each protocol that fsspec names where it is missing."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any

from .errors import TcnfastError
from .extras import install

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_ONE_SLASH = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/(?!/)")
_UNFINISHED = ".tmp"  # end of the name of what is being put


def is_url(place: object) -> bool:
    """Whether a path is one of another place than this machine's disks."""
    return isinstance(place, str) and _URL.match(place) is not None


def lacks_slash(place: object) -> bool:
    """Whether a path is a URL that lost a slash, as in ``Path("s3://bucket/run")``: pathlib takes
    two slashes for one."""
    return isinstance(place, (str, os.PathLike)) and bool(_ONE_SLASH.match(os.fsdecode(place)))


def check_slashes(place: object) -> None:
    """Raise TcnfastError for a URL that lost a slash: nobody means a local folder ``s3:``."""
    if lacks_slash(place):
        raise TcnfastError(
            f"{place}: is neither a path nor a URL, which has two slashes, of which a Path keeps "
            f"one; give a URL as a string, and a local folder of this name as ./{place}"
        )


def last_name(url: str) -> str:
    """What the file or folder of a URL is called."""
    return url.rstrip("/").rpartition("/")[2]


@dataclass(frozen=True)
class Store:
    """The folder ``url``; picklable. Its files have names as ``a.npy`` or ``one/a.npy``.

    A file is written under a temporary name and renamed when it is complete, so that nobody reads
    half of one. The URL is opened at first use. Every method raises TcnfastError, in one line with
    the URL, if fsspec or the protocol's package is missing, or if the place cannot be reached, read
    or written.
    """

    url: str

    def inside(self, name: str) -> Store:
        """A folder of this folder."""
        return Store(self.of(name))

    def of(self, name: str) -> str:
        """The URL of a file."""
        return f"{self.url.rstrip('/')}/{name}"

    def put(self, path: Path, name: str) -> None:
        """Copy a file into the store, whole or not at all; one of that name is replaced."""
        with self._opened(name, "written") as (files, target):
            temporary = f"{target}.{token_hex(4)}{_UNFINISHED}"
            files.makedirs(target.rpartition("/")[0], exist_ok=True)
            try:
                files.put_file(str(path), temporary)
                files.mv(temporary, target)
            except BaseException:
                with suppress(Exception):
                    files.rm_file(temporary)
                raise

    def put_all(self, folder: Path, last: Sequence[str] = ()) -> None:
        """Copy all files below a folder; those called as ``last`` when all others are there."""
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        names = [path.relative_to(folder).as_posix() for path in paths]
        for name in [*(x for x in names if x not in last), *(x for x in last if x in names)]:
            self.put(folder / name, name)

    def get(self, name: str, path: Path) -> bool:
        """Copy a file to ``path``, whole or not at all. False where the store has none."""
        temporary = path.with_name(f"{path.name}.{token_hex(4)}{_UNFINISHED}")
        try:
            with self._opened(name, "read") as (files, source):
                path.parent.mkdir(parents=True, exist_ok=True)
                files.get_file(source, str(temporary))
        except _Missing:
            return False
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        temporary.rename(path)
        return True

    def get_all(self, folder: Path) -> None:
        """Copy all files into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in self.names():
            if not self.get(name, folder / name):
                raise TcnfastError(f"{self.of(name)}: was deleted while it was read")

    def names(self) -> list[str]:
        """Of all files, sorted; none where there is no such folder."""
        try:
            with self._opened("", "read") as (files, root):
                root = root.rstrip("/")
                found = [path[len(root) :].strip("/") for path in files.find(root)]
        except _Missing:
            return []
        return sorted(name for name in found if name and not name.endswith(_UNFINISHED))

    def state(self, name: str = "") -> str | None:
        """What tells one content of a file from another: its size, and what the store knows of its
        time. None where there is none."""
        try:
            with self._opened(name, "read") as (files, path):
                return f"{files.size(path)} {files.checksum(path)}"
        except _Missing:
            return None

    def remove(self, name: str) -> None:
        """Delete a file; harmless where there is none."""
        with suppress(_Missing), self._opened(name, "deleted") as (files, path):
            files.rm_file(path)

    def clear(self) -> None:
        """Delete the folder with all that is in it."""
        with suppress(_Missing), self._opened("", "emptied") as (files, root):
            files.rm(root, recursive=True)

    @contextmanager
    def _opened(self, name: str, what: str) -> Iterator[tuple[Any, str]]:
        """The file system of fsspec, and what it calls a file."""
        url = self.of(name) if name else self.url
        try:
            import fsspec
        except ImportError:
            raise TcnfastError(f"{url}: needs the package fsspec: {install('cluster')}") from None
        try:
            files, path = fsspec.core.url_to_fs(url)
            files.invalidate_cache()  # others write there
            yield files, path
        except ImportError as error:
            protocol = url.partition("://")[0]
            raise TcnfastError(f"{url}: fsspec needs a package for {protocol}: {error}") from None
        except FileNotFoundError:
            raise _Missing(f"{url}: is not there") from None
        except TcnfastError:
            raise
        except Exception as error:  # of any protocol's package
            words = error.strerror if isinstance(error, OSError) else None
            why = words or f"{type(error).__name__}: {error}"
            raise TcnfastError(f"{url}: cannot be {what} ({why})") from None


class _Missing(TcnfastError):
    """There is no such file in the store."""
