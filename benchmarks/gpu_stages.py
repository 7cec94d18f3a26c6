"""The stages of gpu_check.py: commands with a limit each, what is made of what they print, and the
report of what was proven, what was not, and the figures."""

from __future__ import annotations

import csv
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PRECISIONS = ("bf16", "fp16", "fp32", "tf32")
RESULT = re.compile(r"\b(PASSED|FAILED|ERROR|SKIPPED)\b")
PROGRESS = re.compile(r"\[ *\d+%\]")
# how a stage may end; those of DONE are not run again
PASSED, FAILED, CUT, SKIPPED = "passed", "FAILED", "CUT", "skipped"
WITHHELD, LEFT_OUT = "WITHHELD", "left out"
DONE = (PASSED, FAILED, SKIPPED)


@dataclass
class Stage:
    """A part of the check. ``limit``: seconds it may take; with less than ``least`` left it does
    not begin. ``precision``: the one it is about. ``judge`` makes its result of what ran."""

    name: str
    command: list[str]
    limit: float
    least: float = 5
    precision: str | None = None
    proves: bool = False  # what fails here withholds figures
    judge: Callable[[Run], Result] | None = None
    environment: dict[str, str] = field(default_factory=dict)


@dataclass
class Run:
    """A command that ran: its exit code, None if its limit ended it."""

    code: int | None
    seconds: float
    lines: list[str]


@dataclass
class Result:
    """How a stage ended. ``red``: what failed, by precision, "" being all of them."""

    name: str
    state: str
    words: str
    seconds: float = 0.0
    red: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> dict:
        return asdict(self)


def run(command: list[str], limit: float, environment: dict[str, str], log: Path) -> Run:
    """Run ``command`` in the tree; what it prints is shown and kept in ``log`` as it comes. It is
    ended, with all its children, at ``limit`` seconds."""
    start = time.monotonic()
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        text=True,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    lines: list[str] = []

    def read() -> None:
        with open(log, "a") as file:
            for line in process.stdout:
                lines.append(line.rstrip("\n"))
                file.write(line)
                file.flush()
                print(line, end="", flush=True)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        code = process.wait(max(1, limit))
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        code = None
    reader.join(5)  # not for ever: a compiler's helper in a session of its own may hold the pipe
    if not reader.is_alive():
        process.stdout.close()
    return Run(code, time.monotonic() - start, list(lines))


def is_result(line: str) -> bool:
    return bool(PROGRESS.search(line) and RESULT.search(line))


def name_of(line: str) -> str:
    """The test that a line of pytest -v is about."""
    return next((word for word in line.split() if "::" in word), line.strip())


def precision_of(test: str) -> str:
    """That a test's name has; "" for one that is about all."""
    words = re.split(r"[\[\]\-_:]", test)
    return next((precision for precision in PRECISIONS if precision in words), "")


def judge_tests(ran: Run) -> Result:
    """Of pytest -v: what passed, what failed by precision, and why tests were skipped."""
    found = [(RESULT.search(line)[1], line) for line in ran.lines if is_result(line)]
    count = {word: sum(word == state for state, _ in found) for word in ("PASSED", "SKIPPED")}
    red: dict[str, list[str]] = {}
    for state, line in found:
        if state in ("FAILED", "ERROR"):
            red.setdefault(precision_of(name_of(line)), []).append(name_of(line))
    failed = sum(map(len, red.values()))
    missing = max(0, _selected(ran.lines) - len(found))
    words = f"{count['PASSED']} passed, {failed} failed, {count['SKIPPED']} skipped"
    if missing:
        words += f", {missing} NOT RUN"
    notes = [line for line in ran.lines if line.startswith("SKIPPED [")]
    if not found and ran.code is not None:  # a file that cannot be read, or nothing to run
        red = {"": ["no test ran"]}
    state = FAILED if red else CUT if missing or ran.code is None else PASSED
    return Result("", state, words, red=red, notes=sorted(set(notes)))


def _selected(lines: list[str]) -> int:
    patterns = r"(?:collected |\[)(\d+) items", r"/ (\d+) selected"
    found = [re.search(pattern, line) for pattern in patterns for line in lines]
    totals = [int(match[1]) for match in found if match]
    return totals[-1] if totals else 0


def judge_sanitizer(ran: Run) -> Result:
    """Of compute-sanitizer: errors that it counted. What it cannot run is no fault of ours."""
    text = "\n".join(ran.lines)
    errors = re.findall(r"ERROR SUMMARY: (\d+) error|RACECHECK SUMMARY: (\d+) hazard", text)
    counted = sum(int(a or b) for a, b in errors)
    if ran.code is None:
        return Result("", CUT, "no result")
    if "Device not supported" in text or not errors:
        return Result("", SKIPPED, "it does not run on this machine")
    if counted:
        return Result("", FAILED, f"{counted} errors", red={"": ["compute-sanitizer"]})
    return Result("", PASSED, "no errors")


def judge_code(ran: Run) -> Result:
    """By the exit code, with the lines that say what was left out, failed or was chosen."""
    wanted = re.compile("left out|failed:|not run|chosen:")
    notes = [line for line in ran.lines if wanted.match(line)]
    if ran.code is None:
        return Result("", CUT, "cut at its limit; what it had measured is kept", notes=notes)
    if ran.code:
        last = next((line for line in reversed(ran.lines) if line.strip()), "")
        return Result("", FAILED, f"exit code {ran.code}: {last[:200]}", notes=notes)
    return Result("", PASSED, "done", notes=notes)


def report(facts: dict, results: list[Result], table: Path, date: str, sources: str) -> str:
    """The .md of a run so far."""
    lines = [f"# Kernels on {facts['gpu']}, {date}", ""]
    open_ = [r.name for r in results if r.state in (CUT, LEFT_OUT) and r.name.startswith("tests")]
    if open_:
        lines += [f"**No full proof: {', '.join(open_)} did not run to the end.**", ""]
    red = [r.name for r in results if r.state == FAILED]
    if red:
        lines += [f"**Red: {', '.join(red)}.**", ""]
    lines += [
        f"- machine: {', '.join(f'{name} {value}' for name, value in facts.items())}",
        f"- sources {sources}",
        "- columns of the figures: the head of benchmarks/kernels/device.py",
        "",
        "stage | result | seconds",
        "---|---|---",
    ]
    for result in results:
        words = result.words.replace("|", "/")
        lines.append(f"{result.name} | {result.state}: {words} | {result.seconds:.0f}")
    for result in results:
        failed = [test for tests in result.red.values() for test in tests]
        if failed or result.notes:
            lines += ["", f"## {result.name}", ""]
            lines += [f"- failed: {test}" for test in failed]
            lines += [f"- {note}" for note in result.notes]
    rows = []
    if table.exists():
        with open(table, newline="") as file:
            rows = list(csv.DictReader(file))
    for row in rows:
        if row["form"] == "ceiling":
            rate = f"{row['tflop_s']} TFLOP/s" if row["tflop_s"] else row["note"]
            lines += ["", f"- ceiling: {row['side']}: {rate}"]
    return "\n".join([*lines, *tables([row for row in rows if row["form"] != "ceiling"]), ""])


def tables(rows: list[dict]) -> list[str]:
    """A table a case."""
    lines = []
    case = None
    for row in rows:
        if (row["case"], row["form"], row["precision"]) != case:
            case = row["case"], row["form"], row["precision"]
            head = "side | ms (p20 to p80) | called ms | TFLOP/s | roofline | MiB | vs best | "
            lines += ["", f"## {' '.join(case)}", "", f"{head}pruning | note"]
            lines.append("|".join(["---"] * 9))
        cells = [row["side"], "", "", *(row[c] for c in ("tflop_s", "roofline", "peak_mib"))]
        if row["median_s"]:
            low, middle, high, called = (
                f"{1e3 * float(row[c]):.4g}" for c in ("p20_s", "median_s", "p80_s", "called_s")
            )
            cells[1:3] = f"{middle} ({low} to {high})", called
        cells += [row["vs_best_other"], row["pruning_gain"], row["note"].replace("|", "/")]
        lines.append(" | ".join(cells))
    return lines


def verdict(results: list[Result]) -> int:
    """The exit code: 0 where every stage that ran passed and none was cut or left out."""
    bad = {FAILED, CUT, LEFT_OUT}
    proven = any(r.state == PASSED for r in results if r.name.startswith("tests"))
    return 0 if proven and not any(r.state in bad for r in results) else 1
