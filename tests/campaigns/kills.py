"""Every command that writes something, killed at moments drawn by chance by SIGKILL or SIGTERM,
gone on with (--resume, or --force where it cannot be), and compared with an undisturbed run.

    python tests/campaigns/kills.py [KILLS [COMMAND...]]

KILLS in all (200), those of runs of this campaign before included: build/campaigns/kills.json.
Counts, per command, kills, runs that were over before, results that differ, processes that were
left behind, files that were left in TMPDIR, and tracebacks. Ends with 1 where any of the last four
is not 0.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import time
from pathlib import Path

from commands import COMMANDS, differing, make_inputs, out_of, remove, words_of
from ledger import Ledger
from process import Process

MARK = "TCNFAST_CAMPAIGN"


class Victim:
    """A command in ``home``, with its undisturbed result."""

    def __init__(self, home: Path, name: str, ledger: Ledger) -> None:
        self.name, self.home, self.ledger = name, home, ledger
        self.words, self.again = words_of(name)
        self.out = home / out_of(name, "killed")
        self.whole = home / out_of(name, "kills-undisturbed")
        self.mark = f"{os.getpid()}"
        self.temporary = home / f"tmp-{self.mark}"
        self.temporary.mkdir(exist_ok=True)
        self.length = 0.0
        remove(self.whole)
        for _ in range(2):  # the first may compile
            remove(self.whole)
            began = time.monotonic()
            process = self.start(self.whole)
            text = process.wait()
            assert process.returncode == 0, f"{name}: {text}"
            self.length = time.monotonic() - began

    def start(self, out: Path, *more: str) -> Process:
        environment = {**os.environ, "TMPDIR": str(self.temporary), MARK: self.mark}
        return Process([*self.words, "-o", out.name, "-q", *more], self.home, environment)

    def kill(self, draws: random.Random) -> None:
        """Once or several times, then let it end and compare."""
        remove(self.out)
        counts = dict.fromkeys(
            ("kills", "over before", "differ", "orphans", "temporary", "tracebacks"), 0
        )
        more: list[str] = []
        for _ in range(1 + draws.randrange(3)):
            process = self.start(self.out, *more)
            more = self.again
            time.sleep(self.length * draws.random())
            if process.running():
                process.send_signal(draws.choice([signal.SIGKILL, signal.SIGTERM]))
                counts["kills"] += 1
            else:
                counts["over before"] += 1
            text = process.wait()
            broken = "Traceback" in text or "a defect of" in text
            counts["tracebacks"] += self._is_wrong(broken, text)
            left = left_behind(self.mark)
            counts["orphans"] += self._is_wrong(left, "left behind", left)
            if process.returncode == 0:
                break
        process = self.start(self.out, *more)
        text = process.wait()
        counts["tracebacks"] += self._is_wrong(process.returncode != 0, text)
        if process.returncode == 0:
            files = differing(self.out, self.whole)
            counts["differ"] += self._is_wrong(bool(files), f"differ: {files}")
        left = sorted(path.name for path in self.temporary.iterdir())
        counts["temporary"] += self._is_wrong(bool(left), f"left in TMPDIR: {left}")
        for path in self.temporary.iterdir():
            remove(path)
        self.ledger.add(self.name, **counts)

    def _is_wrong(self, wrong: bool | int, text: str, n: int = 1) -> int:
        if wrong:
            self.ledger.fault(f"{self.name}: {text}")
        return n if wrong else 0


def left_behind(mark: str, patience: float = 20.0) -> int:
    """Processes with the mark in their environment that do not end; they are ended then."""
    deadline = time.monotonic() + patience
    while found := marked(mark):
        if time.monotonic() > deadline:
            for pid in found:
                os.kill(pid, signal.SIGKILL)
            return len(found)
        time.sleep(0.05)
    return 0


def marked(mark: str) -> list[int]:
    found, wanted = [], f"{MARK}={mark}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
            if state != "Z" and wanted in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def main() -> int:
    words = argparse.ArgumentParser(description="commands killed at any moment")
    words.add_argument("kills", type=int, nargs="?", default=200)
    words.add_argument("names", nargs="*", help=", ".join(COMMANDS))
    words.add_argument("--seed", type=int)
    words.add_argument("--anew", action="store_true")
    asked = words.parse_args()
    ledger, draws = Ledger("kills", asked.anew), random.Random(asked.seed)
    home, victims = make_inputs(asked.anew), {}
    names = asked.names or list(COMMANDS)
    while ledger.total("kills") < asked.kills:
        name = min(names, key=lambda x: ledger.rows.get(x, {}).get("kills", 0))
        if name not in victims:
            victims[name] = Victim(home, name, ledger)
        victims[name].kill(draws)
        print(name, ledger.rows[name], flush=True)
    for victim in victims.values():
        victim.temporary.rmdir()
        break  # all have one
    return ledger.show()


if __name__ == "__main__":
    sys.exit(main())
