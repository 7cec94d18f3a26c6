"""Every command that writes something, on a disk that fills up at a moment drawn by chance.

    python tests/campaigns/full_disks.py [FILLS [COMMAND...]]

FILLS in all (200), those of runs before included: build/campaigns/full_disks.json. The disk is a
tmpfs of a size drawn by chance, mounted by root or, where users may, in a namespace of their own
(unshare). One time in three TMPDIR lies on it too. Right is: exit code 1, one line that names a
file and the free bytes, nothing killed; and once there is room, --resume (or --force) ends with
the bytes of an undisturbed run.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from commands import COMMANDS, differing, make_inputs, out_of, remove, words_of
from ledger import Ledger
from process import Process

INSIDE = "TCNFAST_OWN_MOUNTS"
LARGE = 2**30
# of --genomes the file stands behind the name of the genome
TOLD = re.compile(
    r"tcnfast: error: (.*genomes? failed.*\()?\S*/\S+: .*[Nn]o space left.*", re.DOTALL
)


class Disk:
    """A tmpfs to write to."""

    def __init__(self, place: Path) -> None:
        self.place = place
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={LARGE}", "none", place], check=True)

    def resize(self, size: int) -> None:
        options = f"remount,size={max(4096, size)}"
        subprocess.run(["mount", "-o", options, self.place], check=True)

    def used(self) -> int:
        usage = os.statvfs(self.place)
        return (usage.f_blocks - usage.f_bfree) * usage.f_frsize

    def clear(self) -> None:
        self.resize(LARGE)
        for path in self.place.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def close(self) -> None:
        subprocess.run(["umount", "-l", self.place], check=True)


class Filler:
    """A command, its undisturbed result, and the most bytes of the disk that it takes."""

    def __init__(self, home: Path, disk: Disk, name: str, ledger: Ledger) -> None:
        self.name, self.home, self.disk, self.ledger = name, home, disk, ledger
        self.words, self.again = words_of(name)
        self.whole = home / out_of(name, "disks-undisturbed")
        self.out, self.most = disk.place / out_of(name, "out"), 0
        remove(self.whole)
        disk.clear()
        process = self.start(self.out)  # in the same place: some files say where others lie
        while process.running():
            self.most = max(self.most, disk.used())
            time.sleep(0.002)
        self.most = max(self.most, disk.used())
        assert process.returncode == 0, f"{name}: {process.wait()}"
        copy = shutil.copytree if self.out.is_dir() else shutil.copy
        copy(self.out, self.whole)

    def start(self, out: Path, *more: str, temporary: str | None = None) -> Process:
        environment = dict(os.environ)
        if temporary is not None:
            environment["TMPDIR"] = temporary
        words = [*self.words, "-o", str(out), "-q", *more]
        return Process(words, self.home, environment)

    def fill(self, draws: random.Random) -> None:
        self.disk.clear()
        room = int(self.most * draws.random())
        temporary = str(self.disk.place) if draws.random() < 1 / 3 else None
        self.disk.resize(room)
        process = self.start(self.out, temporary=temporary)
        text = process.wait()
        where = f"{self.name} ({room:,} of {self.most:,} bytes)"
        counts = dict.fromkeys(("fills", "fitted", "killed", "not told", "differ", "left"), 0)
        if process.returncode == 0:
            counts["fitted"] = 1
        else:
            counts["fills"] = 1
            errors = [x for x in text.splitlines() if x.startswith("tcnfast: error: ")]
            told = len(errors) == 1 and TOLD.match(errors[0]) and "Traceback" not in text
            counts["killed"] = self._is_wrong(
                process.returncode < 0, f"{where}: {process.returncode}"
            )
            counts["not told"] = self._is_wrong(not told, f"{where}: {text}")
        self.disk.resize(LARGE)
        names = {path.name for path in self.disk.place.iterdir()}
        mine = {self.out.name, f"{self.out.name}.partial"}
        counts["left"] = self._is_wrong(bool(names - mine), f"{where}: left {names - mine}")
        if process.returncode:
            process = self.start(self.out, *self.again)
            text = process.wait()
        if process.returncode:
            counts["differ"] = self._is_wrong(True, f"{where}: then: {text}")
        else:
            files = differing(self.out, self.whole)
            counts["differ"] = self._is_wrong(bool(files), f"{where}: differ: {files}")
        self.ledger.add(self.name, **counts)

    def _is_wrong(self, wrong: bool, text: str) -> int:
        if wrong:
            self.ledger.fault(text)
        return int(wrong)


def in_own_mounts() -> bool:
    """Whether this process may mount; else it becomes one that may, where there are such."""
    with tempfile.TemporaryDirectory() as place:
        mount = ["mount", "-t", "tmpfs", "none", place]
        if subprocess.run(mount, capture_output=True).returncode == 0:
            subprocess.run(["umount", place], check=True)
            return True
    if INSIDE in os.environ:
        return False
    os.environ[INSIDE] = "1"
    os.execvp("unshare", ["unshare", "-rm", sys.executable, *sys.argv])


def main() -> int:
    words = argparse.ArgumentParser(description="commands on a disk that fills up")
    words.add_argument("fills", type=int, nargs="?", default=200)
    words.add_argument("names", nargs="*", help=", ".join(COMMANDS))
    words.add_argument("--seed", type=int)
    words.add_argument("--anew", action="store_true")
    asked = words.parse_args()
    if not in_own_mounts():
        print("nothing can be mounted here", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that nothing stays mounted
    ledger, draws = Ledger("full_disks", asked.anew), random.Random(asked.seed)
    home, fillers = make_inputs(asked.anew), {}
    names = asked.names or list(COMMANDS)
    place = Path(tempfile.mkdtemp(prefix="tcnfast-disk-"))
    disk = Disk(place)
    try:
        while ledger.total("fills") < asked.fills:
            name = min(names, key=lambda x: sum(ledger.rows.get(x, {}).values()))
            if name not in fillers:
                fillers[name] = Filler(home, disk, name, ledger)
            fillers[name].fill(draws)
            print(name, ledger.rows[name], flush=True)
    finally:
        disk.close()
        place.rmdir()
    return ledger.show()


if __name__ == "__main__":
    sys.exit(main())
