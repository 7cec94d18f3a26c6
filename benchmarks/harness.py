"""How every benchmark measures: sides that take turns, how fast a machine could be, and rows of
benchmarks/results/*.csv that say what was measured, on what, with what.

The loop and the clocks are those of ``tcnfast bench`` (tcnfast/bench/speed.py).
"""

from __future__ import annotations

import argparse
import csv
import math
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from tcnfast.base.run_record import cpu_name
from tcnfast.bench.speed import Clock, Run, take_turns
from tcnfast.engines.grid import StackGrid

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
REST = 0.05  # seconds
GENOME = ROOT / "examples" / "data" / "chr20_34-36Mb.fa.gz"


class ProcessorClock(Clock):
    """Seconds of the processor, all threads of this process summed: other work on the machine
    disturbs them less than those of the clock."""

    def __init__(self) -> None:
        super().__init__(torch.device("cpu"))

    def called(self, run: Callable[[], object]) -> float:
        start = time.process_time()
        run()
        return time.process_time() - start


class RestedClock(Clock):
    """Seconds of the clock, after a rest in which the threads of the side before stop spinning."""

    def __init__(self) -> None:
        super().__init__(torch.device("cpu"))

    def called(self, run: Callable[[], object]) -> float:
        time.sleep(REST)
        return super().called(run)


WALL = Clock(torch.device("cpu"))
RESTED = RestedClock()
PROCESSOR = ProcessorClock()


def compare(
    sides: dict[str, Callable[[], object]],
    rounds: int,
    clock: Clock = WALL,
    scale: dict[str, float] | None = None,
) -> tuple[dict[str, object], dict[str, float]]:
    """What each side gives, and its median seconds over ``rounds`` in which the sides take turns,
    after one call that is not counted. ``scale`` multiplies the seconds of sides that do a part of
    the work."""
    given = {name: side() for name, side in sides.items()}
    timings = take_turns(sides, clock, math.inf, least=rounds, most=rounds, calls=0)
    scale = scale or {}
    return given, {name: time.median * scale.get(name, 1) for name, time in timings.items()}


def parser(doc: str, rounds: int) -> argparse.ArgumentParser:
    """Flags that benchmarks share: --rounds, --dry."""
    flags = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    share_flags(flags, rounds)
    return flags


def share_flags(flags: argparse.ArgumentParser, rounds: int) -> None:
    """Add the flags that benchmarks share."""
    flags.add_argument("--rounds", type=int, default=rounds, help=f"default {rounds}")
    flags.add_argument("--dry", action="store_true", help="write no results")


def report(name: str, case: str, medians: dict[str, float], baseline: str, dry: bool) -> None:
    """Print the median of each side and, unless ``dry``, :func:`record` it."""
    print(f"# {case}")
    show(_ratios(medians, baseline))
    if not dry:
        record(name, case, medians, baseline)


def show(rows: list[dict]) -> None:
    """Print rows as a table."""
    cells = [list(rows[0]), *([str(value) for value in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        print("  ".join(map(str.ljust, line, widths)).rstrip())
    print(flush=True)


def record(name: str, case: str, medians: dict[str, float], baseline: str) -> None:
    """Append to results/``name``.csv one row per side of ``case``.

    ``medians`` maps sides to median seconds; a side's ratio is how many times faster than the side
    ``baseline`` it is.
    """
    append(name, case, _ratios(medians, baseline))


def _ratios(medians: dict[str, float], baseline: str) -> list[dict]:
    return [
        {"side": side, "median_s": f"{s:.4g}", "ratio": f"{medians[baseline] / s:.2f}"}
        for side, s in medians.items()
    ]


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
        "commit": commit(),
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


def write_csv(path: Path, rows: list[dict]) -> None:
    """A file of these rows alone; the first has all columns."""
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _command() -> str:
    program = Path(sys.argv[0])
    here = program.is_relative_to(ROOT)
    name = str(program.relative_to(ROOT / "benchmarks")) if here else program.name
    # of a file, its name: folders differ from machine to machine
    arguments = [Path(a).name if os.path.isabs(a) else a for a in sys.argv[1:]]
    return " ".join([name, *arguments])


def commit() -> str:
    """Short hash, with "+dirty" if what is measured has changes that are not committed. A copy of
    the tree that git knows nothing of is what TCNFAST_COMMIT says it is."""
    head = _git("rev-parse", "--short", "HEAD") or os.environ.get("TCNFAST_COMMIT")
    changed = _git("status", "--porcelain", "--", "tcnfast", "kernels", "csrc")
    return (head or "none") + ("+dirty" if changed else "")


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True)
    except FileNotFoundError:  # no git
        return ""
    return done.stdout.strip()


def _machine() -> str:
    return f"{cpu_name()}, {os.cpu_count()} cores"


def _versions() -> str:
    found = [f"python {platform.python_version()}"]
    for package in ("numpy", "numba", "torch", "triton", "onnxruntime", "openvino", "zentorch"):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


@dataclass(frozen=True)
class Work:
    """Operations that are needed, and bytes that must move through the device's memory: each input
    read once, each output written once."""

    operations: float
    bytes: float

    @classmethod
    def of_stack(cls, grid: StackGrid, channels: int, labels: int, scores: int) -> Work:
        """A stack that reads codes; the first layer's look-ups are not counted as arithmetic."""
        bases = scores * grid.stride
        operations = 2 * grid.macs_per_base(channels, labels) * bases
        return cls(operations, bases + grid.receptive_field + 4 * labels * scores)


@dataclass(frozen=True)
class Roofline:
    """What the device does: bytes a second of a large copy, read and written, and operations a
    second of a large matrix product."""

    bandwidth: float
    rate: float

    def floor(self, work: Work) -> float:
        """Seconds that ``work`` takes at least."""
        return max(work.operations / self.rate, work.bytes / self.bandwidth)

    @classmethod
    def measure(cls, clock: Clock, dtype: torch.dtype, size: int = 8192) -> Roofline:
        """``size``: of the square matrices that are multiplied; the copy is of 32 * size² bytes."""
        return cls(_bandwidth(clock, 32 * size * size), _rate(clock, dtype, size))


def _bandwidth(clock: Clock, n_bytes: int) -> float:
    source = torch.randn(n_bytes // 4, device=clock.device)
    target = torch.empty_like(source)
    timing = take_turns({"copy": lambda: target.copy_(source)}, clock, 0.5)["copy"]
    return 2 * n_bytes / timing.median


def _rate(clock: Clock, dtype: torch.dtype, size: int) -> float:
    # random: on zeros GPUs clock higher
    a, b = torch.randn(2, size, size, device=clock.device).to(dtype)
    timing = take_turns({"product": lambda: a @ b}, clock, 0.5)["product"]
    return 2 * size**3 / timing.median


def peak_memory(run: Run, device: torch.device) -> float | None:
    """MiB by which a call raises the GPU's allocated memory; None on other devices."""
    if device.type != "cuda":
        return None
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    result = run()
    torch.cuda.synchronize(device)
    peak = torch.cuda.max_memory_allocated(device) - before
    del result
    return peak / 2**20
