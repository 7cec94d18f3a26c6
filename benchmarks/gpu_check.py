"""One command that proves and times the kernels on a bare GPU machine: `make gpu-check`.

Installs this tree for the Python that runs it, without dependencies, build isolation or network;
runs every test that uses a GPU (TESTS); then kernels/device.py; and writes OUT/<gpu>-<date>.csv and
.md, and what pytest said as .tests.txt. No speed on red: where a test fails, or what ran was not
the GPU, it ends with 1 and neither file is there.

The whole takes --seconds at most (default 470). Each part has a limit of its own; the report says
what was cut. Rows of the csv are written as they come, the cases in order of value. Exit code 0:
everything passed. Tests that the limit cut are no pass: speed is then reported under that heading,
and the exit code is 1.

`--installed` takes the project as it is installed. `--rehearse` goes the whole way without a GPU in
Triton's interpreter with toys, writing to a temporary folder unless --out is given. Needs torch,
Triton, numpy, numba, scikit-learn, safetensors, pytest, pybind11 and setuptools, and for tests in
parallel pytest-xdist.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# the kernels, the comparison itself, and what else takes a GPU where there is one
TESTS = [
    "tests/*/test_triton_*.py",
    "tests/base/test_numerics.py",
    "tests/engines/test_plan.py::test_auto_says_what_it_chose",
    "tests/scan/test_motif_scan.py::test_the_product_of_a_device_finds_the_same_hits",
]
REHEARSED = "rows_are_long or which_blocks or (scores_are and 16-3-3-3 and fp32)"
INSTALL, TEST = 150, 240  # seconds, at most
WORKERS = 14  # of the tests: most of their time goes into compiling kernels
RESULT = re.compile(r"\b(PASSED|FAILED|ERROR|SKIPPED)\b")
PROGRESS = re.compile(r"\[ *\d+%\]")
FACTS = """
import json, torch
facts = {"torch": torch.__version__, "gpu": None}
if torch.cuda.is_available() and torch.version.cuda:
    p = torch.cuda.get_device_properties(0)
    facts |= {"gpu": p.name, "capability": f"{p.major}.{p.minor}", "cuda": torch.version.cuda,
              "multiprocessors": p.multi_processor_count, "gib": round(p.total_memory / 2**30),
              "cudnn": torch.backends.cudnn.version()}
print(json.dumps(facts))
"""


@dataclass
class Part:
    """A command that ran: its exit code, None if its limit ended it."""

    name: str
    code: int | None
    seconds: float
    limit: float
    lines: list[str] = field(default_factory=list, repr=False)

    @property
    def words(self) -> str:
        cut = f", cut at its limit of {self.limit:.0f} s" if self.code is None else ""
        return f"{self.name} {self.seconds:.0f} s{cut}"


@dataclass
class Outcome:
    """Of the tests: what pytest's lines say."""

    passed: int
    failed: int
    skipped: int
    collected: int
    on_kernels: int  # passed in files of the kernels

    @classmethod
    def of(cls, lines: list[str]) -> Outcome:
        results = [RESULT.search(line)[1] for line in lines if is_result(line)]
        collected = [re.search(r"(?:collected |\[)(\d+) items", line) for line in lines]
        selected = [re.search(r"/ (\d+) selected", line) for line in lines]
        totals = [int(match[1]) for match in (*collected, *selected) if match]
        failed = results.count("FAILED") + results.count("ERROR")
        kernels = [line for line in lines if is_result(line) and "test_triton" in line]
        return cls(
            results.count("PASSED"),
            failed,
            results.count("SKIPPED"),
            totals[-1] if totals else len(results),
            sum("PASSED" in line for line in kernels),
        )

    @property
    def missing(self) -> int:
        return self.collected - self.passed - self.failed - self.skipped

    @property
    def words(self) -> str:
        words = f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"
        return f"{words}, {self.missing} NOT RUN" if self.missing else words


def is_result(line: str) -> bool:
    return bool(PROGRESS.search(line) and RESULT.search(line))


def run(name: str, command: list[str], limit: float, environment: dict[str, str]) -> Part:
    """Run ``command`` in the tree, its output shown as it comes; ended, with all its children, at
    ``limit`` seconds."""
    print(f"\n== {name}: {' '.join(command)} (at most {limit:.0f} s)", flush=True)
    start = time.monotonic()
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    lines = []

    def read() -> None:
        for line in process.stdout:
            lines.append(line.rstrip("\n"))
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
    return Part(name, code, time.monotonic() - start, limit, list(lines))


def environment_of(args) -> dict[str, str]:
    environment = os.environ | {
        "PYTHONUNBUFFERED": "1",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # of plugins that a machine happens to have
    }
    for name in ("TRITON_INTERPRET", "TCNFAST_BACKEND"):
        environment.pop(name, None)
    if args.rehearse:
        environment["TRITON_INTERPRET"] = "1"
    if args.commit:
        environment["TCNFAST_COMMIT"] = args.commit
    return environment


def gpu_here(environment: dict[str, str]) -> dict:
    done = subprocess.run(
        [sys.executable, "-c", FACTS], capture_output=True, text=True, env=environment
    )
    if done.returncode:
        sys.exit(f"gpu_check: {sys.executable} has no PyTorch ({done.stderr.strip()[-200:]})")
    facts = json.loads(done.stdout)
    if facts["gpu"] and shutil.which("nvidia-smi"):
        query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        told = subprocess.run(query, capture_output=True, text=True).stdout.split()
        facts["driver"] = told[0] if told else "unknown"
    return facts


def install(environment) -> Part:
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-build-isolation"]
    return run("install", [*command, "--no-index", "-e", "."], INSTALL, environment)


def found(name: str) -> list[str]:
    """Files of a name of TESTS, with the test of the file that it names."""
    pattern, colons, one = name.partition("::")
    return [f"{path.relative_to(ROOT)}{colons}{one}" for path in sorted(ROOT.glob(pattern))]


def test(rehearse: bool, limit: float, environment) -> Part:
    files = [file for name in TESTS for file in found(name)]
    if not importlib.util.find_spec("pyfaidx"):
        print("left out, as pyfaidx is not here: tests/scan/test_motif_scan.py")
        files = [file for file in files if "test_motif_scan" not in file]
    # tests ask for deterministic algorithms
    environment = environment | {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
    # a warning of a machine's library is no wrong number: not the errors that pyproject.toml makes
    command = [sys.executable, "-m", "pytest", "-v", "--tb=short", "-W", "default"]
    command += ["-p", "no:cacheprovider", "-m", ""]
    if rehearse:
        return run("tests", [*command, "-k", REHEARSED, *files], limit, environment)
    if importlib.util.find_spec("xdist"):
        workers = min(WORKERS, os.cpu_count() or 1)
        command += ["-p", "xdist.plugin", "-n", str(workers)]
    return run("tests", [*command, *files], limit, environment)


def benchmark(out: Path, name: str, limit: float, environment) -> Part:
    script = [sys.executable, "-m", "benchmarks.kernels.device", "--out", str(out), "--name", name]
    # its own end comes first, so that it can say what it left out
    return run("benchmarks", [*script, "--seconds", f"{limit - 15:.0f}"], limit, environment)


def sources() -> str:
    """SHA-256 of what is measured, where no commit says it."""
    digest = hashlib.sha256()
    for folder in ("kernels", "tcnfast"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def report(facts: dict, tests: Outcome, parts: list[Part], rows: list[dict]) -> str:
    """The .md: what ran, whether all of it passed, and a table a case."""
    benchmarks = parts[-1]
    lines = [f"# Kernels on {facts['gpu']}, {rows[0]['date']}", ""]
    if tests.missing:
        lines += [f"**No full proof: {tests.missing} of {tests.collected} tests did not run.**", ""]
    if benchmarks.code not in (0, None):
        lines += ["**Our side failed a case below, or the benchmarks broke.**", ""]
    lines += [
        f"- tests: {tests.words} ({', '.join(TESTS)})",
        f"- time: {', '.join(part.words for part in parts)}",
        f"- machine: {', '.join(f'{name} {value}' for name, value in facts.items())}",
        f"- versions: {rows[0]['versions']}",
        f"- commit {rows[0]['commit']}, sources {sources()}",
        "- columns: the head of benchmarks/kernels/device.py",
    ]
    wanted = re.compile("left out|failed:")
    lines += [f"- {line}" for line in benchmarks.lines if wanted.match(line)]
    for row in rows:
        if row["form"] == "ceiling":
            rate = f"{row['tflop_s']} TFLOP/s" if row["tflop_s"] else row["note"]
            lines.append(f"- ceiling: {row['side']}: {rate}")
    measured = [row for row in rows if row["form"] != "ceiling"]
    return "\n".join([*lines, *tables(measured), ""])


def tables(rows: list[dict]) -> list[str]:
    lines = []
    case = None
    for row in rows:
        if (row["case"], row["form"]) != case:
            case = row["case"], row["form"]
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


def check(args, out: Path, facts: dict, environment) -> int:
    start = time.monotonic()
    day = datetime.now(UTC).strftime("%Y-%m-%d")
    gpu = re.sub(r"[^a-z0-9]+", "-", facts["gpu"].lower()).strip("-")
    name = f"{gpu}-{day}"
    table, text, log = (out / f"{name}{end}" for end in (".csv", ".md", ".tests.txt"))
    out.mkdir(parents=True, exist_ok=True)
    for path in (table, text, log):
        path.unlink(missing_ok=True)  # of an earlier run that day

    def left() -> float:
        return args.seconds - (time.monotonic() - start)

    parts = []
    if not args.installed:
        parts.append(install(environment))
        if parts[-1].code != 0:
            print("gpu_check: the project could not be installed; see above")
            return 1
    parts.append(test(args.rehearse, min(TEST, left()), environment))
    log.write_text("\n".join(parts[-1].lines) + "\n")
    tests = Outcome.of(parts[-1].lines)
    red = parts[-1].code not in (0, None) or tests.failed or not tests.on_kernels
    if red:
        print(f"gpu_check: red, so no speed: {tests.words}; see {log}")
        return 1
    parts.append(benchmark(out, name, max(30, left() - 5), environment))
    if not table.exists():
        print("gpu_check: the benchmarks wrote nothing; see above")
        return 1
    with open(table, newline="") as file:
        rows = list(csv.DictReader(file))
    text.write_text(report(facts, tests, parts, rows))
    print(f"\n{text.read_text()}\ngpu_check: {tests.words}; {text}, {table}")
    return 0 if parts[-1].code in (0, None) and not tests.missing else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("--out", type=Path, metavar="DIR", help="default benchmarks/results")
    parser.add_argument("--seconds", type=float, default=470, help="for everything")
    parser.add_argument("--commit", help="what this tree is, where git cannot tell")
    parser.add_argument("--installed", action="store_true", help="do not install the project")
    parser.add_argument("--rehearse", action="store_true", help="without a GPU, toys")
    args = parser.parse_args()
    environment = environment_of(args)
    facts = gpu_here(environment)
    if args.rehearse:
        facts["gpu"] = "rehearsal"
    if not facts["gpu"]:
        print(f"gpu_check: torch {facts['torch']} sees no NVIDIA GPU here; --rehearse needs none")
        return 1
    out = args.out or ROOT / "benchmarks" / "results"
    if args.rehearse and not args.out:
        with tempfile.TemporaryDirectory() as folder:
            return check(args, Path(folder), facts, environment)
    return check(args, out.resolve(), facts, environment)


if __name__ == "__main__":
    sys.exit(main())
