"""Processes of this package that talk with the one that started them over a socket.

Not multiprocessing's: that runs the user's main module again, and leaves processes behind when the
parent is killed. A child is in a session of its own, so that Ctrl-C in a terminal reaches the
parent alone, and ends when the socket does.
"""

from __future__ import annotations

import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection

from ..base.errors import TcnfastError

# before anything is imported a thread waits for the end of the socket, which is that of the parent:
# imports, and a child that computes, do not look at the socket for long
START = """
import os, select, sys, threading
watched = select.poll()
watched.register({socket}, 0)  # for the end alone
threading.Thread(target=lambda: (watched.poll(), os._exit(1)), daemon=True).start()
sys.path[:] = {path!r}
from {module} import main
main({socket})
"""
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1"}  # else numpy starts as many as there are cores


class ParentGone(Exception):
    """Nobody waits for the work of this process any more."""


class Child:
    """A process that runs ``main(socket)`` of a module. ``name``: what errors call it; ``mend``:
    what they say one can do where it is gone."""

    def __init__(
        self, module: str, name: str, mend: str, environment: dict[str, str] | None = None
    ) -> None:
        self.name, self._mend = name, mend
        ours, theirs = socket.socketpair()
        with theirs:
            code = START.format(path=sys.path, module=module, socket=theirs.fileno())
            self.process = subprocess.Popen(
                [sys.executable, "-c", code],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env={**os.environ, **(environment or {})},
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self.connection = Connection(ours.detach())

    def send(self, message: object) -> None:
        """Raises as :meth:`receive` where the process is gone."""
        try:
            _send(self.connection, message)
        except OSError:
            self.receive()

    def receive(self) -> object:
        """What the process says next. Raises what went wrong there, and TcnfastError where the
        process ended without a word."""
        try:
            message = _receive(self.connection)
        except (EOFError, ConnectionError):
            raise TcnfastError(f"{self.name}: {self._why_gone()}; {self._mend}") from None
        if isinstance(message, Exception):
            raise self._named(message)
        return message

    def _why_gone(self) -> str:
        code = self.process.wait()
        if code < 0:
            return f"its process was killed ({signal.Signals(-code).name}; is memory short?)"
        return f"its process ended with exit status {code}"

    def _named(self, error: Exception) -> Exception:
        text = str(error)
        if isinstance(error, OSError) or text.split(" ")[0] == self.name.split(" ")[0]:
            return error
        named = type(error)(f"{self.name}: {text}")
        named.__notes__ = error.__notes__
        return named

    def end(self) -> None:
        """Kill it if it still runs, and wait until it is gone."""
        self.process.kill()
        self.process.wait()
        self.connection.close()


class Parent:
    """The child's end of the socket, for several threads."""

    def __init__(self, number: int) -> None:
        self._connection, self._lock = Connection(number), threading.Lock()

    def send(self, message: object) -> None:
        try:
            with self._lock:
                _send(self._connection, message)
        except OSError:
            raise ParentGone from None

    def receive(self) -> object:
        """One thread alone may wait for it."""
        try:
            return _receive(self._connection)
        except (EOFError, ConnectionError):
            raise ParentGone from None


def serve(number: int, work: Callable[[Parent], None]) -> None:
    """What a child does: ``work``, whose errors are raised in the parent."""
    parent = Parent(number)
    try:
        work(parent)
    except ParentGone:
        os._exit(1)
    except BaseException as error:
        parent.send(_plain(error))


def _plain(error: BaseException) -> Exception:
    """An error that every process can read, with a note where it came from."""
    if isinstance(error, OSError):
        plain: Exception = OSError(error.errno, error.strerror, error.filename)
    elif isinstance(error, TcnfastError):
        plain = TcnfastError(str(error))
    else:
        plain = RuntimeError(f"{type(error).__name__}: {error}")
    plain.add_note("".join(traceback.format_exception(error)))
    return plain


def _send(connection: Connection, message: object) -> None:
    # plain pickle: PyTorch teaches multiprocessing's to share tensors through files
    connection.send_bytes(pickle.dumps(message))


def _receive(connection: Connection) -> object:
    return pickle.loads(connection.recv_bytes())
