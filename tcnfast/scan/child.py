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
from multiprocessing.connection import Connection

START = "import sys; sys.path[:] = {path!r}; from {module} import main; main({socket})"


class Child:
    """A process that runs ``main(socket)`` of a module of this package."""

    def __init__(self, module: str, environment: dict[str, str] | None = None) -> None:
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
        """Raises OSError where the process is gone."""
        send(self.connection, message)

    def receive(self) -> object:
        """Raises EOFError where the process ended without a word."""
        return receive(self.connection)

    def why_gone(self) -> str:
        """How a process ended that says nothing more."""
        code = self.process.wait()
        if code < 0:
            return f"its process was killed ({signal.Signals(-code).name}; is memory short?)"
        return f"its process ended with exit status {code}"

    def end(self) -> None:
        """Kill it if it still runs, and wait until it is gone."""
        self.process.kill()
        self.process.wait()
        self.connection.close()


def send(connection: Connection, message: object) -> None:
    # plain pickle: PyTorch teaches multiprocessing's to share tensors through files
    connection.send_bytes(pickle.dumps(message))


def receive(connection: Connection) -> object:
    try:
        return pickle.loads(connection.recv_bytes())
    except ConnectionError:
        raise EOFError from None


def connect(number: int) -> Connection:
    """The child's end."""
    return Connection(number)
