"""What a campaign has found so far, in a file: a campaign that was stopped goes on from there, and
several processes of one, started with other words each, write to it together."""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "build" / "campaigns"

sys.path.insert(0, str(ROOT / "tests"))


class Ledger:
    """Counts by row and column, and what was wrong, in ``build/campaigns/NAME.json``. ``anew``
    forgets what is there. Every change is on the disk before the next line runs."""

    def __init__(self, name: str, anew: bool = False) -> None:
        self.path = FOLDER / f"{name}.json"
        self.rows: dict[str, dict[str, float]] = {}
        self.faults: list[str] = []
        self.done: list[str] = []  # what is not tried again
        self.runs: list[dict[str, str]] = []  # when, on which commit and processor
        if anew:
            self.path.unlink(missing_ok=True)
        about = where()
        with self._changed():
            if about not in self.runs:
                self.runs.append(about)

    def add(self, row: str, **numbers: float) -> None:
        """Add numbers to those of a row."""
        with self._changed():
            held = self.rows.setdefault(row, {})
            for name, n in numbers.items():
                held[name] = held.get(name, 0) + n

    def put(self, row: str, **numbers: float) -> None:
        """Replace a row, as what was measured once."""
        with self._changed():
            self.rows[row] = numbers

    def note(self, name: str) -> None:
        """Note that something was tried."""
        with self._changed():
            self.done.append(name)

    def fault(self, text: str) -> None:
        """Note, and print, what was wrong."""
        print(f"  {text[:2000]}", file=sys.stderr, flush=True)
        with self._changed():
            self.faults.append(text[:4000])

    def total(self, column: str) -> float:
        """Of all rows."""
        return sum(row.get(column, 0) for row in self.rows.values())

    def show(self) -> int:
        """Print the table; returns the exit code: 1 where something was wrong."""
        columns = list(dict.fromkeys(name for row in self.rows.values() for name in row))
        print("", *columns, sep="\t")
        for name, row in self.rows.items():
            print(name, *(f"{row.get(column, 0):g}" for column in columns), sep="\t")
        if all(isinstance(x, int) for row in self.rows.values() for x in row.values()):
            print("in all", *(f"{self.total(column):g}" for column in columns), sep="\t")
        for run in self.runs:
            print("run:", *(f"{name} {value}" for name, value in run.items()))
        print(f"{len(self.faults)} faults, {self.path}")
        return int(bool(self.faults))

    @contextmanager
    def _changed(self) -> Iterator[None]:
        """What the file holds by now, to be changed; no other process does so meanwhile."""
        FOLDER.mkdir(parents=True, exist_ok=True)
        with open(self.path.with_suffix(".lock"), "a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if self.path.exists():
                held = json.loads(self.path.read_text())
                self.rows, self.faults, self.runs = held["rows"], held["faults"], held["runs"]
                self.done = held.get("done", [])
            yield
            held = {"rows": self.rows, "faults": self.faults, "runs": self.runs, "done": self.done}
            temporary = self.path.with_suffix(".tmp")
            temporary.write_text(json.dumps(held, indent=1))
            temporary.replace(self.path)


def where() -> dict[str, str]:
    """Day, commit and the best instruction set of this machine."""
    from tcnfast import _C

    git = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True).stdout.strip()
    isa = next(name for name, why_not in _C.isas() if not why_not)
    return {"date": time.strftime("%Y-%m-%d"), "commit": commit or "unknown", "isa": isa}
