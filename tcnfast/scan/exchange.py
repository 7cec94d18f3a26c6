"""How what the workers of a cluster write comes to the driver, and the genome to them: by folders
that all nodes see, or through a store."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ..base.errors import TcnfastError
from ..base.node_files import fetched_file
from ..base.options import setting
from ..base.run_folder import file_hash
from ..base.store import Store
from .stretch_writer import key_digest

INPUTS = "inputs"  # folder of a store: files by their SHA-256, which stay for the next run


@dataclass(frozen=True)
class Exchange:
    """Where workers put finished files: into ``work``, the driver's folder, which all nodes see; or
    into ``store``, from where the driver takes them to ``work``. Picklable.

    ``key``: what :func:`key_digest` gives of ``work``. A store has a folder for each key, so that a
    worker that comes back late writes nothing into another run.
    """

    work: Path
    store: Store | None
    key: str | None

    @classmethod
    def of(cls, work: Path, url: str | None) -> Exchange:
        """Of a run whose key is settled in ``work``."""
        key, work = key_digest(work), work.absolute()
        assert key is not None, work
        return cls(work, None if url is None else Store(url).inside(key[:16]), key)

    # a worker

    def check(self, needs: Sequence[Path]) -> None:
        """Raise TcnfastError on a machine that does not see the folder, or the files ``needs``."""
        for path in (*needs, *([self.work] if self.store is None else [])):
            if not path.exists():
                raise TcnfastError(f"{path}: is not on {socket.gethostname()}; {self._mend}")

    @property
    def _mend(self) -> str:
        if self.store is not None:
            return "inputs must lie where all nodes see them"
        store = setting("store")
        return f"inputs and output must lie where all nodes see them, or {store} name a store"

    @contextmanager
    def writing(self, names: Sequence[str]) -> Iterator[Path]:
        """Where to write the files ``names``; behind the block those that are there are given, in
        their order: the last one says that all are."""
        if self.store is None:
            yield self.work
            return
        with tempfile.TemporaryDirectory(prefix="tcnfast-worker-") as folder:
            yield Path(folder)
            for name in names:
                if (Path(folder) / name).exists():
                    self.store.put(Path(folder) / name, name)

    # the driver

    def seen(self, names: Sequence[str]) -> bool:
        """Whether the last of the files is in ``work``, or was taken there now, with the others."""
        *others, last = names
        if (self.work / last).exists() or self.store is None:
            return (self.work / last).exists()
        if self.store.state(last) is None:
            return False
        for name in others:
            self.store.get(name, self.work / name)
        return self.store.get(last, self.work / last)

    def take_up(self) -> None:
        """Take to ``work`` what a run that was stopped left in the store."""
        if self.store is None:
            return
        # backwards: tracks before calls, which say that a stretch is finished
        for name in reversed(self.store.names()):
            if not (self.work / name).exists():
                self.store.get(name, self.work / name)

    def done(self) -> None:
        """Everything was seen: nothing is left in the store."""
        if self.store is not None:
            self.store.clear()


class Sent(NamedTuple):
    """A file of the genome, and where a node gets it that does not see ``path``."""

    path: Path
    size: int
    sha256: str
    url: str | None

    def here(self) -> Path:
        """Where it is on this machine. Where there is a URL, a file at ``path`` may be of this
        machine alone, and must be the same one."""
        there = self.path.is_file() and self.path.stat().st_size == self.size
        if self.url is None:
            if not there:
                raise TcnfastError(
                    f"{self.path}: is not on {socket.gethostname()}; the genome must lie where all "
                    f"nodes see it, or {setting('store')} name a store"
                )
            return self.path
        if there and file_hash(self.path) == self.sha256:
            return self.path
        return fetched_file(self.url, self.sha256)


def send(
    paths: Sequence[Path],
    hashes: Sequence[tuple[str, str]],
    urls: Mapping[Path, str],
    url: str | None,
) -> tuple[Sent, ...]:
    """Files that workers read, by name and SHA-256. Those that have no URL in ``urls`` are put into
    the store at ``url``, if there is one, unless they are there."""
    sent = []
    for path, (name, sha256) in zip(paths, hashes, strict=True):
        found = urls.get(path)
        if found is None and url is not None:
            store = Store(url).inside(f"{INPUTS}/{sha256}")
            if name not in store.names():
                store.put(path, name)
            found = store.of(name)
        sent.append(Sent(path, path.stat().st_size, sha256, found))
    return tuple(sent)
