"""A command of tcnfast as a process that a campaign starts, watches and kills.

It is forked from the campaign, which imported everything once: a command then works after a tenth
of a second, and a kill hits work, not imports. ``TCNFAST_COLD=1`` starts each as a shell does.
"""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path

from support.command_server import HEAVY

COLD = bool(os.environ.get("TCNFAST_COLD"))
PATIENCE = 1800.0  # seconds that a run may take
_warm = False


class Process:
    """``tcnfast WORDS`` in ``folder``; ``prepare`` runs in the process before it begins.

    ``returncode`` as subprocess has it, None while it runs; ``peak`` bytes of memory afterwards.
    """

    def __init__(
        self,
        words: Sequence[str],
        folder: Path,
        environment: Mapping[str, str] | None = None,
        prepare: Callable[[], object] = lambda: None,
        cold: bool = COLD,
    ) -> None:
        self.words, self.returncode, self.peak = list(words), None, 0
        self._said = tempfile.TemporaryFile(dir="/dev/shm" if Path("/dev/shm").exists() else None)
        if cold:
            command = [sys.executable, "-m", "tcnfast", *self.words]
            self.pid = subprocess.Popen(
                command,
                cwd=folder,
                env=dict(environment or os.environ),
                stdin=subprocess.DEVNULL,
                stdout=self._said,
                stderr=self._said,
                preexec_fn=prepare,
            ).pid
            return
        warm_up()
        self.pid = os.fork()
        if self.pid == 0:
            self._become(folder, dict(environment or os.environ), prepare)

    def _become(self, folder: Path, environment: dict[str, str], prepare) -> None:
        code = 1
        try:
            null = os.open(os.devnull, os.O_RDONLY)
            for number, file in enumerate((null, self._said.fileno(), self._said.fileno())):
                os.dup2(file, number)
            os.chdir(folder)
            os.environ.clear()
            os.environ.update(environment)
            tempfile.tempdir = None  # TMPDIR may be another
            prepare()
            from tcnfast import cli

            code = cli.main(self.words)
        except SystemExit as stop:
            code = stop.code or 0
        except BaseException:
            traceback.print_exc()
        finally:  # as an interpreter that ends
            try:
                sys.stdout.flush()
                threading._shutdown()
                atexit._run_exitfuncs()
            finally:
                os._exit(code if isinstance(code, int) else 1)

    def running(self) -> bool:
        if self.returncode is None:
            pid, status, usage = os.wait4(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
                self.peak = usage.ru_maxrss * 1024
        return self.returncode is None

    def send_signal(self, number: int) -> None:
        if self.running():
            os.kill(self.pid, number)

    def wait(self, patience: float = PATIENCE) -> str:
        """What it said, once it has ended. One that takes longer than ``patience`` is killed, and
        is a hang: TimeoutError."""
        until, pause = time.monotonic() + patience, 0.002
        while self.running():
            if time.monotonic() > until:
                self.send_signal(signal.SIGKILL)
                raise TimeoutError(f"tcnfast {' '.join(self.words)}: longer than {patience:g} s")
            time.sleep(pause)  # ever longer: looking costs time of the processor, too
            pause = min(1.2 * pause, 0.1)
        self._said.seek(0)
        return self._said.read().decode(errors="replace")


def warm_up() -> None:
    """Import what commands need, once; nothing may start a thread before a fork."""
    global _warm
    if not _warm:
        for name in HEAVY:
            import_module(name)
        import torch

        torch.set_num_threads(1)
        _warm = True
