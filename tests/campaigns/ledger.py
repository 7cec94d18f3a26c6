"""What a campaign has found so far, in a file: a campaign that was stopped goes on from there."""

from __future__ import annotations

import json
import subprocess
import sys
import time
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
        if self.path.exists() and not anew:
            held = json.loads(self.path.read_text())
            self.rows, self.faults, self.runs = held["rows"], held["faults"], held["runs"]
            self.done = held.get("done", [])
        about = where()
        if not self.runs or self.runs[-1] != about:
            self.runs.append(about)

    def add(self, row: str, **numbers: float) -> None:
        """Add numbers to those of a row."""
        held = self.rows.setdefault(row, {})
        for name, n in numbers.items():
            held[name] = held.get(name, 0) + n
        self._save()

    def put(self, row: str, **numbers: float) -> None:
        """Replace a row, as what was measured once."""
        self.rows[row] = numbers
        self._save()

    def note(self, name: str) -> None:
        """Note that something was tried."""
        self.done.append(name)
        self._save()

    def fault(self, text: str) -> None:
        """Note, and print, what was wrong."""
        print(f"  {text[:2000]}", file=sys.stderr, flush=True)
        self.faults.append(text[:4000])
        self._save()

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

    def _save(self) -> None:
        FOLDER.mkdir(parents=True, exist_ok=True)
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
