"""The life of a run: its output folder from refusal to publication, written once for every verb.

A run writes below ``work`` under a temporary name; only :meth:`RunFolder.publish` makes ``out``
whole. So an ``out`` with a run.json is always a finished run, and nothing of an unfinished one is
ever taken for a result::

    with RunFolder(out, "variants", run, key=lambda: {...}, resumable=True) as folder:
        if not folder.complete:
            ...                        # shards go below folder.work, results into folder.result
            folder.publish({"alleles": n})
    return VariantFolder(folder.path)
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from .disk import FULL, named, remove, write_text
from .errors import Misfit, TcnfastError
from .input_files import input_name, open_input
from .lock_file import LOCK, link_in, locked, refuse, take_lock
from .options import Run, setting
from .record import Record, refuse_other_shard
from .store import is_url
from .tables import parse_json, replace_file

log = logging.getLogger(__name__)

RECORD = "run.json"  # in every finished output folder
KEY = "key.json"  # in every unfinished one: what the result depends on
PARTIAL = ".partial"  # name, or end of the name, of an unfinished one
_TRIES = 100  # to lock a folder that other runs make and delete


class RunFolder:
    """Context manager over the output folder ``out`` of one run of ``command``.

    ``key`` (JSON values, or a function that returns them) says what the result depends on. A run
    that stops early leaves its work, if ``resumable`` and ``worth_keeping()`` (default: if the key
    was settled); a later one with ``run.resume`` and an equal key goes on with it. A ``key`` that
    takes long to know, or may turn out wrong, is a function: it is called where there is something
    to compare with, and by :meth:`settle`. Work that was never settled is begun anew.

    ``path`` is the finished folder: ``out`` with links resolved. ``work`` is where to write until
    then: ``<out>.partial`` beside it, or ``<out>/.partial`` where ``out`` is there already and
    empty (a mount point, a container's volume: it is filled, nothing is renamed across it).
    ``complete`` tells that a resumed run has nothing left to do.

    Raises TcnfastError, before any work is done, where the output exists and neither ``force`` nor
    ``resume`` was given, where ``force`` would delete something that is no output of the command,
    where the key differs, and where another process is writing to it. On any exception inside the
    ``with`` block the work is kept, and a warning says so, or removed; of a Misfit it is removed.
    A ``part`` of something larger says nothing: what becomes of the whole, the whole tells.
    """

    def __init__(
        self,
        out: str | Path,
        command: str,
        run: Run,
        *,
        key: dict | Callable[[], dict],
        resumable: bool = False,
        worth_keeping: Callable[[], bool] | None = None,
        part: bool = False,
    ) -> None:
        self.started = time.monotonic()
        if is_url(out):
            raise TcnfastError(f"{setting('out')} {out}: is a URL; give a folder")
        self.path = Path(out).resolve()
        self.command, self.resumable = command, resumable
        self._run, self._know = run, key if callable(key) else lambda: key
        self._worth_keeping = worth_keeping or (lambda: self.settled)
        self._published, self._lock, self._part = False, None, part
        if run.resume and not resumable:
            raise TcnfastError(f"{setting('resume')}: tcnfast {command} cannot be resumed")
        inside = _is_vacant(self.path) or os.path.ismount(self.path)
        places = self.path.with_name(self.path.name + PARTIAL), self.path / PARTIAL
        self.work, elsewhere = reversed(places) if inside else places
        held = (self._finished_key(), *(read_json(place / KEY) for place in places))
        refuse_other_shard(self.path, run.shard, held)
        self._check_existing()
        if self.complete:
            return
        self._check_nobody_writes(elsewhere)
        self._refuse_what_is_not_ours()
        self._take_lock()
        left_over = True
        try:
            # again: of two runs that begin at once in the two places, one at least sees the other
            self._check_nobody_writes(elsewhere)
            left_over = self._left_over()
            self._check_existing()  # again: another run may have ended until the lock was ours
            if self.complete:
                self._let_go(clear=not left_over)
                return
            if left_over:
                self._check_unfinished()
            if not (self.work / KEY).exists():
                self._write_key({"command": command} if callable(key) else self._key)
        except BaseException as error:
            self._let_go(clear=not left_over)
            raise self._explained(error) from None

    # what is known of the run

    @property
    def key(self) -> dict:
        """What the result depends on, as a JSON reader sees it."""
        return self._key

    @cached_property
    def _key(self) -> dict:
        """The key as a JSON reader sees it."""
        return json.loads(json.dumps({"command": self.command, **self._know()}))

    @property
    def settled(self) -> bool:
        """Whether the key is written down, so that the work can be gone on with."""
        return read_json(self.work / KEY) not in ({}, {"command": self.command})

    def settle(self) -> None:
        """Write down the key, once; raises what the function ``key`` raises."""
        if not self.settled:
            self._write_key(self._key)

    @property
    def result(self) -> Path:
        """Folder below ``work`` that :meth:`publish` makes the output."""
        folder = self.work / "result"
        folder.mkdir(exist_ok=True)
        return folder

    # before the work

    def _check_existing(self) -> None:
        self.complete = False
        if not self.path.exists() or _is_vacant(self.path):
            return
        key = self._finished_key()
        if key.get("command") != self.command:
            raise TcnfastError(
                f"{self.path}: exists and is no output of tcnfast {self.command}; choose another "
                f"{setting('out')}"
            )
        if self._run.force:
            return
        if not self._run.resume:
            raise TcnfastError(
                f"{self.path}: exists; choose another {setting('out')}, or "
                f"{setting('force', True)} to replace it"
            )
        if key != self._key:
            raise TcnfastError(f"{self.path}: is the result of another run; {self._mend}")
        self.complete = True

    def _finished_key(self) -> dict:
        key = read_json(self.path / RECORD).get("key")
        return key if isinstance(key, dict) else {}

    def _left_over(self) -> bool:
        """Whether an unfinished run of ours left something."""
        entries = _names(self.work) if self.work.is_dir() else set()
        entries -= {LOCK, f"{KEY}.tmp"}  # a disk that was full at the very start leaves the latter
        link = link_in(self.work)
        if link:
            raise TcnfastError(
                f"{link}: is a symbolic link, which tcnfast makes none of; delete it, or move "
                f"{self.work}"
            )
        if (self.work.exists() and not self.work.is_dir()) or (entries and KEY not in entries):
            raise TcnfastError(
                f"{self.work}: is in the way and is no unfinished output of tcnfast; move it"
            )
        return bool(entries)

    def _refuse_what_is_not_ours(self) -> None:
        """Before a lock is put there."""
        for _ in range(_TRIES):
            if not self.work.exists() or (self.work / LOCK).exists():
                return
            try:
                self._left_over()
                return
            except TcnfastError as error:  # or other runs begin and end there just now
                refused = error
                time.sleep(0.001)
        raise refused

    def _take_lock(self) -> None:
        """Lock the work."""
        for tried in range(1, _TRIES + 1):
            try:
                self.work.mkdir(parents=True, exist_ok=True)
                self._lock = take_lock(self.work / LOCK, self.path)
                return
            except OSError as error:
                if isinstance(error, FileNotFoundError) and tried < _TRIES:
                    continue  # another run ended between the two lines
                raise TcnfastError(f"{self.work}: cannot be made ({error.strerror})") from None

    def _check_nobody_writes(self, work: Path) -> None:
        """Raise TcnfastError where another run works in the other of the two places."""
        with suppress(FileNotFoundError, NotADirectoryError), open(work / LOCK) as lock:
            if not locked(lock):
                refuse(lock, self.path)

    def _let_go(self, clear: bool) -> None:
        """Unlock the work; with ``clear`` it is deleted before."""
        try:
            if clear:
                with suppress(OSError):
                    self._empty_work()
                    (self.work / LOCK).unlink()
                    self.work.rmdir()  # fails where another run has begun there
        finally:
            self._lock.close()
            self._lock = None

    def _empty_work(self) -> None:
        """Delete all but the lock; the key last, for without it the rest is not known as ours."""
        for entry in sorted(self.work.iterdir(), key=lambda entry: entry.name == KEY):
            if entry.name != LOCK:
                remove(entry)

    def _explained(self, error: BaseException) -> BaseException:
        """The error; of a full disk that names no file: with the place, and what is free there."""
        if isinstance(error, OSError) and error.errno in FULL and error.filename is None:
            return named(error, self.work)
        return error

    def _check_unfinished(self) -> None:
        if not (self._run.force or self._run.resume):
            go_on = f"{setting('resume', True)} to go on with it or " if self.resumable else ""
            raise TcnfastError(
                f"{self.work}: was left by an unfinished run; give {go_on}"
                f"{setting('force', True)} to begin anew"
            )
        if self._run.force or not self.settled:
            self._empty_work()
        elif read_json(self.work / KEY) != self._key:
            raise TcnfastError(
                f"{self.work}: was left by a run with other inputs or settings; {self._mend}"
            )

    @property
    def _mend(self) -> str:
        return f"choose another {setting('out')}, or {setting('force', True)} to begin anew"

    def _write_key(self, key: dict) -> None:
        replace_file(self.work / KEY, (json.dumps(key, indent=2) + "\n").encode())

    # during and after it

    def publish(
        self,
        record: dict[str, Any] | None = None,
        finish: Callable[[Path], object] = lambda result: None,
    ) -> Path:
        """Make ``result`` the output and return ``path``. run.json holds the command, versions and
        seconds of the run, ``record``, and the key. ``finish`` is called with ``result`` when it
        is there: the last files may be made from it."""
        from .run_record import versions

        about = {
            "command": self.command,
            "versions": versions(),
            **(record or {}),
            "seconds": round(time.monotonic() - self.started, 1),
            "key": self._key,
        }
        result = self.result
        write_text(result / RECORD, json.dumps(about, indent=2) + "\n")
        finish(result)
        if self.work.parent == self.path:
            _fill(self.path, result)
        else:
            if self.path.exists():
                self.path.rename(self.work / "replaced")
            result.rename(self.path)
        self._published = True
        self._let_go(clear=True)
        return self.path

    def __enter__(self) -> RunFolder:
        if self.complete:
            log.info("%s is complete already", self.path)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, *_: object) -> None:
        if self._lock is None:
            return
        explained = self._explained(error)
        kept = self._keep_or_discard(error)
        if not kept and not self._part and isinstance(error, KeyboardInterrupt):
            words = "%s: stopped before anything was finished: nothing is left of it"
            log.warning(words, self.command)
        if explained is not error:
            raise explained from None

    def _keep_or_discard(self, error: BaseException | None) -> bool:
        """Whether the work is kept."""
        kept = self.resumable and not isinstance(error, Misfit) and self._worth_keeping()
        if kept:
            try:
                self.settle()
            except Exception:  # it is not known what the work was made of
                kept = False
        if kept and not self._part:
            words = "%s: what is finished is kept in %s; go on with %s"
            log.warning(words, self.command, self.work, setting("resume", True))
        self._let_go(clear=not kept)
        return kept


def _is_vacant(folder: Path) -> bool:
    """Whether this is a folder in which nothing lies, but what an unfinished run left. One that
    another run moves away at this moment is none."""
    try:
        return set(os.listdir(folder)) <= {PARTIAL, "lost+found"}
    except (FileNotFoundError, NotADirectoryError):
        return False


def _names(folder: Path) -> set[str]:
    """What lies in a folder; nothing where another run has just moved it away."""
    try:
        return set(os.listdir(folder))
    except FileNotFoundError:
        return set()


def _fill(folder: Path, result: Path) -> None:
    """Move what lies in ``result``, below ``folder``, up into it; run.json last."""
    (folder / RECORD).unlink(missing_ok=True)
    for entry in folder.iterdir():
        if entry.name not in (PARTIAL, "lost+found"):
            remove(entry)
    for entry in sorted(result.iterdir(), key=lambda entry: entry.name == RECORD):
        entry.rename(folder / entry.name)


def read_json(path: Path) -> dict:
    """The object in a JSON file; empty if there is none."""
    try:
        value = parse_json(path.read_text())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def read_record(folder: str | Path, *commands: str) -> Record:
    """run.json of a finished output of one of ``commands``. Raises TcnfastError in one line where
    the folder is missing, unfinished, or the output of another command."""
    folder = Path(folder)
    if not folder.is_dir():
        raise TcnfastError(f"{folder}: no such folder; give the output of tcnfast {commands[0]}")
    record = read_json(folder / RECORD)
    key = record.get("key") if isinstance(record.get("key"), dict) else {}
    if key.get("command") not in commands:
        other = f"it is one of tcnfast {key['command']}" if "command" in key else "no run.json"
        raise TcnfastError(f"{folder}: is no output of tcnfast {commands[0]} ({other})")
    return Record(record | {"key": Record(key, folder / RECORD)}, folder / RECORD)


def named_hash(path: str | Path) -> tuple[str, str]:
    """Name and SHA-256 of an input, for a key or a record."""
    return input_name(path), file_hash(path)


def file_hash(path: str | Path) -> str:
    """SHA-256 of the bytes of a file, or of what a pipe held."""
    with open_input(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
