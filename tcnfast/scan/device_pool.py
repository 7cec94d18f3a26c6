"""Several devices on one list of stretches, a process each.

The parent hands out a stretch when a device asks for one: no lock is shared, so that the death of a
process leaves nothing behind but an end of a socket.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from multiprocessing.connection import wait

from ..base.errors import TcnfastError
from ..base.options import setting
from .child import Child
from .device_process import Start
from .pieces import Stretch
from .stages import Stages

log = logging.getLogger(__name__)


def scan_on_devices(
    starts: dict[str, Start],
    runs: tuple,
    stretches: Iterable[Stretch],
    report: Callable[[int, str], None],
    finished: Callable[[Stretch], None],
    stages: Stages,
) -> None:
    """Scan ``stretches`` by the processes that ``starts`` describes, by name.

    ``runs``: backend, precision and instructions that each must have, or results would depend on
    which device took a stretch. Raises TcnfastError that names the device where one fails or its
    process ends; the others are ended then.
    """
    todo = iter(stretches)
    children: dict[object, tuple[str, Child]] = {}
    try:
        for name, start in starts.items():
            child = Child("tcnfast.scan.device_process")
            children[child.connection] = name, child
            _send(name, child, start)
        working = set(children)
        while working:
            for connection in wait(working):
                name, child = children[connection]
                kind, *values = _receive(name, child)
                if kind == "next":
                    _send(name, child, next(todo, None))
                elif kind == "bases":
                    report(*values)
                elif kind == "finished":
                    finished(*values)
                elif kind == "runs":
                    _check_alike(name, tuple(values), runs)
                elif kind == "log":
                    log.log(*values)
                elif kind == "failed":
                    raise _error(name, *values)
                elif kind == "done":
                    stages.merge(*values)
                    working.discard(connection)
    finally:
        for _, child in children.values():
            child.end()


def _send(name: str, child: Child, message: object) -> None:
    try:
        child.send(message)
    except OSError:
        raise _gone(name, child) from None


def _receive(name: str, child: Child) -> tuple:
    try:
        return child.receive()
    except EOFError:
        raise _gone(name, child) from None


def _gone(name: str, child: Child) -> TcnfastError:
    why = child.why_gone()
    go_on = f"{setting('resume', True)} goes on after the last finished stretch"
    return TcnfastError(f"device {name}: {why}; {go_on}")


def _check_alike(name: str, runs: tuple, wanted: tuple) -> None:
    if runs != wanted:
        here, there = (" ".join(word for word in words if word) for words in (runs, wanted))
        raise TcnfastError(
            f"device {name}: runs {here}, the first one {there}; their scores would differ in the "
            f"last bits: name {setting('backend')} and {setting('precision')}, or devices of one "
            "kind"
        )


def _error(name: str, kind: str, arguments: tuple, where: str) -> Exception:
    """The error of a device's process, with the name of the device."""
    if kind == "OSError":
        errno, words, path = arguments
        error: Exception = OSError(errno, f"{words} (device {name})", path)
    else:
        text = arguments[0]
        named = text if text.startswith("device ") else f"device {name}: {text}"
        error = (TcnfastError if kind == "TcnfastError" else RuntimeError)(named)
    error.add_note(where)
    return error
