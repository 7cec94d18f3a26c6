"""`tcnfast` for tests that run many commands: one process imports everything, and forks for each.

`python -m support.command_server SOCKET` serves; the program that :func:`command_server` puts into
a folder hands over its words, folder, environment, and its own stdin, stdout and stderr, and exits
as the command did.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

CLIENT = """#!{python} -SE
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as line:
    line.connect({address!r})
    words = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
    socket.send_fds(line, [len(words).to_bytes(4, "big")], [0, 1, 2])
    line.sendall(words)
    sys.exit(int(line.recv(9) or b"1"))
"""
HEAVY = """
torch numba pandas scipy.stats sklearn.metrics tcnfast.scan.scan_genome tcnfast.scan.page
tcnfast.variants.variants_run tcnfast.variants.effects tcnfast.train.train_run
tcnfast.evaluate.evaluate_run tcnfast.data.prepare tcnfast.attribute.attribute_run
tcnfast.report.report_run
""".split()


@contextlib.contextmanager
def command_server(folder: Path) -> Iterator[Path]:
    """Serve while the context lasts; gives the folder that holds the program ``tcnfast``."""
    with tempfile.TemporaryDirectory() as short:  # the path of a socket may have 100 characters
        address = f"{short}/s"
        words = [sys.executable, "-W", "error", "-m", "support.command_server", address]
        server = subprocess.Popen(
            words, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": _path()}
        )
        assert server.stdout.readline() == b"ready\n"
        program = folder / "tcnfast"
        program.write_text(CLIENT.format(python=sys.executable, address=address))
        program.chmod(0o755)
        try:
            yield folder
        finally:
            server.terminate()
            server.wait()
            server.stdout.close()


def _path() -> str:
    return os.pathsep.join(x for x in sys.path if x)


def serve(address: str) -> None:
    for name in HEAVY:
        import_module(name)
    speed_table = import_module("tcnfast.bench.speed_table")
    speed_table.SECONDS = 0  # of `tcnfast bench`, whose times no test looks at
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        print("ready", flush=True)
        while True:
            line, _ = listener.accept()
            with line:
                size, files, *_ = socket.recv_fds(line, 4, 3)
                words = b""
                while len(words) < int.from_bytes(size, "big"):
                    words += line.recv(65_536)
                child = os.fork()
                if child == 0:
                    _answer(line, files, *json.loads(words))
                for file in files:
                    os.close(file)
                os.waitpid(child, 0)


def _answer(line, files: list[int], words: list[str], folder: str, environment: dict) -> None:
    """The command itself, in a process of its own."""
    code = 1
    try:
        for number, file in enumerate(files):
            os.dup2(file, number)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        import torch

        from tcnfast import cli

        torch.set_num_threads(1)  # two threads of a busy machine wait on each other
        code = cli.main(words)
    except SystemExit as stop:
        code = stop.code or 0
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        line.sendall(str(code).encode())
        os._exit(0)


if __name__ == "__main__":
    serve(sys.argv[1])
