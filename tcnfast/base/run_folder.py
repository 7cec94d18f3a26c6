"""Output folders: written under a temporary name, renamed when whole, never half there."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from .errors import TcnfastError

RECORD = "run.json"  # in every finished output folder
KEY = "key.json"  # in every unfinished one: what the run depends on


class OutputFolder:
    """``folder`` becomes the output at :meth:`publish`; until then everything lies in ``.work``.

    ``key`` (JSON values, among them the ``command``) says what the results depend on. A run that
    stops early leaves its work folder; one with ``resume`` and an equal key goes on with it.
    ``resume`` None: the command cannot do that. A ``key`` that takes long to know is a function: it
    is called only where there is something to compare with, and by :meth:`settle`; a folder that
    was left before that is begun anew.

    Raises TcnfastError where the output exists and neither ``force`` nor ``resume`` was given,
    where ``force`` would delete something that is no output of ours, and where the key differs.
    """

    def __init__(
        self,
        folder: str | Path,
        key: dict | Callable[[], dict],
        force: bool,
        resume: bool | None,
        command: str | None = None,
    ) -> None:
        self.folder = Path(folder)
        if self.folder.name in ("", ".."):
            raise TcnfastError(f"output {str(folder)!r}: must be a folder of its own")
        self.work = self.folder.with_name(self.folder.name + ".partial")
        self._know = key if callable(key) else lambda: key
        self._command = command or key["command"]
        if force and resume:
            raise TcnfastError("--force and --resume exclude each other")
        self.complete = False
        self._check_existing(force, resume)
        if self.complete:
            return
        if self.work.exists():
            self._check_unfinished(force, resume)
        try:
            self.work.mkdir(parents=True, exist_ok=True)
            if not (self.work / KEY).exists():
                self._write_key({"command": self._command} if callable(key) else self._key)
        except OSError as error:
            raise TcnfastError(f"{self.work}: cannot be made ({error.strerror})") from None

    @cached_property
    def _key(self) -> dict:
        return json.loads(json.dumps(self._know()))

    def _write_key(self, key: dict) -> None:
        temporary = self.work / f"{KEY}.tmp"
        temporary.write_text(json.dumps(key, indent=2) + "\n")
        temporary.rename(self.work / KEY)

    @property
    def settled(self) -> bool:
        """Whether the key is written down, so that the work can be gone on with."""
        return _read_json(self.work / KEY) not in ({}, {"command": self._command})

    def settle(self) -> None:
        """Write down the key."""
        self._write_key(self._key)

    def _check_existing(self, force: bool, resume: bool | None) -> None:
        if not self.folder.exists():
            return
        record = _read_json(self.folder / RECORD)
        key = record.get("key") if isinstance(record.get("key"), dict) else {}
        ours = key.get("command") == self._command
        empty = self.folder.is_dir() and not any(self.folder.iterdir())
        if empty or (ours and force):
            return
        if not ours:
            raise TcnfastError(
                f"{self.folder}: exists and is no output of tcnfast {self._command}; choose "
                "another -o/--output"
            )
        if not resume:
            raise TcnfastError(
                f"{self.folder}: exists; give another -o/--output, or --force to replace it"
            )
        if key != self._key:
            raise TcnfastError(f"{self.folder}: is the result of another run; {self._mend()}")
        self.complete = True

    def _check_unfinished(self, force: bool, resume: bool | None) -> None:
        unfinished = self.work.is_dir() and (
            (self.work / KEY).exists() or not any(self.work.iterdir())
        )
        if not unfinished:
            raise TcnfastError(
                f"{self.work}: is in the way and is no unfinished output of tcnfast; move it"
            )
        if force:
            shutil.rmtree(self.work)
            return
        if not resume:
            go_on = "" if resume is None else "--resume to go on with it or "
            raise TcnfastError(
                f"{self.work}: is left of an unfinished run; give {go_on}--force to begin anew"
            )
        left = _read_json(self.work / KEY)
        if left == {"command": self._command}:  # never settled
            shutil.rmtree(self.work)
        elif left != self._key:
            raise TcnfastError(
                f"{self.work}: is left of a run with other inputs or settings; {self._mend()}"
            )

    def _mend(self) -> str:
        return "choose another -o/--output, or --force to begin anew"

    def publish(self, result: Path, record: dict) -> None:
        """Make ``result``, a folder below ``work``, the output; ``record`` goes to run.json."""
        text = json.dumps({**record, "key": self._key}, indent=2) + "\n"
        (result / RECORD).write_text(text)
        if self.folder.exists():
            self.folder.rename(self.work / "replaced")
        result.rename(self.folder)
        shutil.rmtree(self.work, ignore_errors=True)

    def discard(self) -> None:
        """Forget the unfinished work."""
        shutil.rmtree(self.work, ignore_errors=True)


def _read_json(path: Path) -> dict:
    """The object in a JSON file; empty if there is none."""
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def file_hash(path: str | Path) -> str:
    """SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
