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

from tcnfast.base.run_record import cpu_name

RESULTS = Path(__file__).parent / "results"


def record(name: str, case: str, medians: dict[str, float], baseline: str) -> None:
    """Append to results/``name``.csv one row per side of ``case``.

    ``medians`` maps sides to median seconds; a side's ratio is how many times faster than the side
    ``baseline`` it is.
    """
    append(
        name,
        case,
        [
            {
                "side": side,
                "median_s": f"{seconds:.4g}",
                "ratio": f"{medians[baseline] / seconds:.2f}",
            }
            for side, seconds in medians.items()
        ],
    )


def append(
    name: str,
    case: str,
    rows: list[dict],
    folder: Path = RESULTS,
    machine: str | None = None,
) -> None:
    """Append ``rows`` to ``folder``/``name``.csv, with when, where and with what; the first row has
    all columns. ``machine``: by default the processor. Raises ValueError where the file has other
    columns."""
    where = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "commit": _commit(),
        "command": _command(),
        "machine": machine or _machine(),
        "versions": _versions(),
        "case": case,
    }
    columns = [*where, *rows[0]]
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.csv"
    new = not path.exists()
    if not new:
        with open(path, newline="") as file:
            if next(csv.reader(file)) != columns:
                raise ValueError(f"{path}: its columns are not {', '.join(columns)}")
    with open(path, "a", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerows(where | row for row in rows)


def _command() -> str:
    program = Path(sys.argv[0])
    # `python -m pytest` shows as .../pytest/__main__.py
    name = program.parent.name if program.name == "__main__.py" else program.name
    # of a file, its name: folders differ from machine to machine
    arguments = [Path(a).name if os.path.isabs(a) else a for a in sys.argv[1:]]
    return " ".join([name, *arguments])


def _commit() -> str:
    """Short hash, with "+dirty" if what is measured has changes that are not committed. A copy of
    the tree that git knows nothing of is what TCNFAST_COMMIT says it is."""
    head = _git("rev-parse", "--short", "HEAD") or os.environ.get("TCNFAST_COMMIT")
    changed = _git("status", "--porcelain", "--", "tcnfast", "kernels", "csrc")
    return (head or "none") + ("+dirty" if changed else "")


def _git(*arguments: str) -> str:
    root = Path(__file__).resolve().parents[1]
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True)
    except FileNotFoundError:  # no git
        return ""
    return done.stdout.strip()


def _machine() -> str:
    return f"{cpu_name()}, {os.cpu_count()} cores"


def _versions() -> str:
    found = [f"python {platform.python_version()}"]
    for package in ("numpy", "numba", "torch", "triton", "onnxruntime", "openvino"):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)
