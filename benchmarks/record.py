"""Rows of benchmarks/results/*.csv: what was measured, on what, with what."""

from __future__ import annotations

import csv
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tcnfast.run_record import cpu_name

RESULTS = Path(__file__).parent / "results"
COLUMNS = "date commit command machine versions case side median_s ratio".split()


def record(name: str, case: str, medians: dict[str, float], baseline: str) -> None:
    """Append to results/``name``.csv one row per side of ``case``.

    ``medians`` maps sides to median seconds; a side's ratio is how many times faster than the side
    ``baseline`` it is.
    """
    where = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "commit": _commit(),
        "command": _command(),
        "machine": _machine(),
        "versions": _versions(),
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.csv"
    new = not path.exists()
    with open(path, "a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if new:
            writer.writeheader()
        for side, seconds in medians.items():
            ratio = f"{medians[baseline] / seconds:.2f}"
            row = {"case": case, "side": side, "median_s": f"{seconds:.4g}", "ratio": ratio}
            writer.writerow(where | row)


def _command() -> str:
    program = Path(sys.argv[0])
    # `python -m pytest` shows as .../pytest/__main__.py
    name = program.parent.name if program.name == "__main__.py" else program.name
    return " ".join([name, *sys.argv[1:]])


def _commit() -> str:
    """Short hash, with "+dirty" if what is measured has changes that are not committed."""
    head = _git("rev-parse", "--short", "HEAD")
    changed = _git("status", "--porcelain", "--", "tcnfast", "kernels", "csrc")
    return (head or "none") + ("+dirty" if changed else "")


def _git(*arguments: str) -> str:
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True)
    return done.stdout.strip()


def _machine() -> str:
    return f"{cpu_name()}, {os.cpu_count()} cores"


def _versions() -> str:
    found = [f"python {platform.python_version()}"]
    for package in ("numpy", "numba", "torch"):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)
