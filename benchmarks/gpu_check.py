"""One command that proves and times the kernels on a bare GPU machine: `make gpu-check`.

Stages, each with a limit of its own, its result written before the next begins:

1. numbers: all tests that use a GPU, bf16 first, then fp16, fp32, tf32, and those of no precision;
2. compute-sanitizer on small cases, where the machine has it;
3. the first call after a kernel is compiled gives the bits of later calls;
4. figures, kernels/device.py, bf16 first; 5. both forms of a block and 6. tiles, kernels/tune.py;
7. the C++ engine, built and tested.

What is red in one precision withholds the figures of that precision; what is red in none by name,
all figures. OUT has <gpu>-<date>.csv (figures, as they come), .md (the report, after each stage),
.json (results) and .log (what the stages printed). A call takes --seconds at most (default 470); a
second call goes on where the first ended, unless the sources changed or it is told --again. The
exit code is 0 when every stage passed.

Nothing is installed: the tree runs as it is. It needs torch, Triton, numpy, numba, scikit-learn,
safetensors and pytest, and for tests in parallel pytest-xdist; a test that needs more is skipped by
name. `--rehearse` goes the whole way without a GPU, in Triton's interpreter with toys, writing to a
temporary folder unless --out is given.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from benchmarks import gpu_stages  # noqa: E402
from benchmarks.gpu_stages import (  # noqa: E402
    DONE,
    LEFT_OUT,
    PRECISIONS,
    SKIPPED,
    WITHHELD,
    Result,
    Stage,
    report,
    verdict,
)

# the kernels, the comparison itself, and what else takes a GPU where there is one
TESTS = [
    "tests/*/test_triton_*.py",
    "tests/base/test_numerics.py",
    "tests/engines/test_plan.py::test_auto_says_what_it_chose",
    "tests/scan/test_motif_scan.py::test_the_product_of_a_device_finds_the_same_hits",
]
NEEDS = {"tests/scan/test_motif_scan.py": "pyfaidx"}  # a package to import the file
FIRST_CALL = "tests/engines/test_triton_first_call.py"
SMALL = {  # files, and of each the least case in which all occurs
    "tests/engines/test_triton_stack.py": "scores_are and 16-3-3-3-1",
    "tests/engines/test_triton_hits.py": "hits_are and 3-+-False-63",
}
LEAST = " or ".join(f"({case})" for case in SMALL.values())
REHEARSED = f"rows_are_long or which_blocks or {LEAST}"
INTERPRETED = "--interpreted"  # then a module and its arguments: what a rehearsal runs
SLOWER = 4  # times, that stages may take on a processor
WORKERS = 14  # of the tests: most of their time goes into compiling kernels
LIMITS = {"bf16": 90, "fp16": 60, "fp32": 80, "tf32": 60, "": 60}  # seconds of tests
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


def has(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def environment_of(args) -> dict[str, str]:
    environment = os.environ | {
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # of plugins that a machine happens to have
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",  # tests ask for deterministic algorithms
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


def link_kernels() -> None:
    """The kernels lie beside the package; an installation joins them, and so does a link."""
    link = ROOT / "tcnfast" / "kernels"
    if not link.exists():
        link.symlink_to(Path("..") / "kernels")


def found(name: str) -> list[str]:
    """Files of a name of TESTS, with the test of the file that it names."""
    pattern, colons, one = name.partition("::")
    return [f"{path.relative_to(ROOT)}{colons}{one}" for path in sorted(ROOT.glob(pattern))]


def runnable() -> tuple[list[str], list[str]]:
    """Files to test, and words on those that this machine cannot run."""
    files, words = [], []
    for file in (file for name in TESTS for file in found(name)):
        needed = NEEDS.get(file.partition("::")[0])
        if needed and not has(needed):
            words.append(f"SKIPPED {file}: needs {needed}")
        elif file != FIRST_CALL:
            files.append(file)
    return files, words


def pytest(files: list[str], expression: str, parallel: bool = True) -> list[str]:
    # a warning of a machine's library is no wrong number: not the errors that pyproject.toml makes
    command = [sys.executable, "-m", "pytest", "-v", "--tb=short", "-rs", "-W", "default"]
    command += ["-p", "no:cacheprovider", "-m", "", "-k", expression]
    if parallel and has("xdist"):
        command += ["-p", "xdist.plugin", "-n", str(min(WORKERS, os.cpu_count() or 1))]
    return [*command, *files]


def stages(args, out: Path, name: str) -> list[Stage]:
    """All of them, in their order."""
    files, _ = runnable()
    none = " and ".join(f"not {precision}" for precision in PRECISIONS)
    planned = []
    for precision in (*PRECISIONS, ""):
        expression = precision or f"({none})"
        if args.rehearse:
            expression += f" and ({REHEARSED})"
            if precision == "tf32":
                continue  # of a GPU alone
        command = pytest(files, expression, parallel=not args.rehearse)
        words = f"tests {precision or 'of no precision'}"
        judge = gpu_stages.judge_tests
        planned.append(Stage(words, command, LIMITS[precision], 10, precision or None, True, judge))
    planned += [*sanitizers(), first_call(args, out)]
    runner = [sys.executable, "-m"]
    if args.rehearse:
        runner = [sys.executable, str(Path(__file__).resolve()), INTERPRETED]
    for precision in ("fp32",) if args.rehearse else PRECISIONS:
        limit = 150 if precision == "bf16" or args.rehearse else 60
        command = [*runner, "benchmarks.kernels.device", "--out", str(out), "--name", name]
        # its own end comes first, so that it can say what it left out
        command += ["--precision", precision, "--seconds", str(limit - 15)]
        judge = gpu_stages.judge_code
        planned.append(Stage(f"figures {precision}", command, limit, 30, precision, judge=judge))
    command = [*runner, "benchmarks.kernels.tune", "forms"]
    command += ["--out", str(out / f"{name}.forms.csv")]
    planned.append(Stage("forms of a block", command, 60, 20, "bf16", judge=gpu_stages.judge_code))
    command = [*runner, "benchmarks.kernels.tune", "tiles"]
    command += ["--out", str(out / f"{name}.tune.csv")]
    planned.append(Stage("tuning", command, 240, 60, "bf16", judge=gpu_stages.judge_code))
    if not args.rehearse:
        planned += engine()
    for stage in planned:
        stage.limit *= SLOWER if args.rehearse else 1
    return planned


def interpreted(name: str) -> int:
    """Run a benchmark in Triton's interpreter, mended as the tests mend it."""
    sys.path.insert(0, str(ROOT / "tests"))
    from support.interpreter import mended

    with mended():
        runpy.run_module(name, run_name="__main__", alter_sys=False)
    return 0


def first_call(args, out: Path) -> Stage:
    """In an empty cache of compiled kernels, so that a first call compiles."""
    cache = {"TRITON_CACHE_DIR": tempfile.mkdtemp(prefix="triton-")}
    expression = "fp16" if args.rehearse else "first"
    command = pytest([FIRST_CALL], expression, parallel=False)
    judge = gpu_stages.judge_tests
    return Stage("first call", command, 60, proves=True, judge=judge, environment=cache)


def sanitizers() -> list[Stage]:
    tool = shutil.which("compute-sanitizer")
    small = pytest(list(SMALL), f"bf16 and ({LEAST})", parallel=False)
    judge = gpu_stages.judge_sanitizer
    return [
        Stage(kind, [tool or "", "--tool", kind, *small], 40, 20, None, True, judge)
        for kind in ("memcheck", "racecheck")
    ]


def engine() -> list[Stage]:
    """What needs a C++ compiler and minutes."""
    build = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
    tests = pytest(["tests/engines/test_engine_bits.py"], "", parallel=False)
    return [
        Stage("C++ engine", build, 300, 120, judge=gpu_stages.judge_code),
        Stage("tests of the C++ engine", tests, 120, 60, judge=gpu_stages.judge_tests),
    ]


def sources() -> str:
    """SHA-256 of what is tested and measured, where no commit says it."""
    digest = hashlib.sha256()
    for folder in ("kernels", "tcnfast", "tests/engines", "tests/support", "benchmarks"):
        for path in sorted((ROOT / folder).glob("*.py" if folder == "kernels" else "**/*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def why_not(stage: Stage, results: list[Result], left: float) -> Result | None:
    """The result of a stage that cannot or may not run; None for one that may."""
    if not stage.command[0]:
        return Result(stage.name, SKIPPED, "compute-sanitizer is not on this machine")
    red = {precision for result in results for precision in result.red}
    if not stage.proves and stage.precision and red & {"", stage.precision}:
        failed = ", ".join(r.name for r in results if {"", stage.precision} & set(r.red))
        return Result(stage.name, WITHHELD, f"red: {failed}")
    if left < stage.least:
        return Result(stage.name, LEFT_OUT, f"{max(0, left):.0f} s were left; call again")
    return None


def check(args, out: Path, facts: dict, environment: dict[str, str]) -> int:
    start, date = time.monotonic(), datetime.now(UTC).strftime("%Y-%m-%d")
    gpu = re.sub(r"[^a-z0-9]+", "-", facts["gpu"].lower()).strip("-")
    name, digest = f"{gpu}-{date}", sources()
    out.mkdir(parents=True, exist_ok=True)
    table, text, log, state = (out / f"{name}{e}" for e in (".csv", ".md", ".log", ".json"))
    kept = json.loads(state.read_text()) if state.exists() and not args.again else {}
    earlier = {}
    if kept.get("sources") == digest:
        earlier = {r["name"]: Result(**r) for r in kept["results"] if r["state"] in DONE}
    else:
        for path in (table, text, log, state):
            path.unlink(missing_ok=True)  # of other sources
    link_kernels()
    results: list[Result] = []
    for stage in stages(args, out, name):
        left = args.seconds - (time.monotonic() - start)
        result = earlier.get(stage.name) or why_not(stage, results, left)
        if result is None:
            limit = min(stage.limit, left)
            print(
                f"\n== {stage.name}: {' '.join(stage.command)} (at most {limit:.0f} s)", flush=True
            )
            ran = gpu_stages.run(stage.command, limit, environment | stage.environment, log)
            result = stage.judge(ran)
            result.name, result.seconds = stage.name, ran.seconds
        results.append(result)
        print(f"== {result.name}: {result.state}: {result.words}", flush=True)
        state.write_text(
            json.dumps({"sources": digest, "results": [r.to_json() for r in results]}, indent=1)
        )
        text.write_text(report(facts, results, table, date, digest))
    for words in runnable()[1]:
        print(words)
    print(f"\n{text.read_text()}\ngpu_check: {text}")
    return verdict(results)


def main() -> int:
    if sys.argv[1:2] == [INTERPRETED]:
        del sys.argv[:2]  # the benchmark reads the rest
        return interpreted(sys.argv[0])
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("--out", type=Path, metavar="DIR", help="default benchmarks/results")
    parser.add_argument(
        "--seconds", type=float, help="for everything: default 470, 1800 to rehearse"
    )
    parser.add_argument("--commit", help="what this tree is, where git cannot tell")
    parser.add_argument("--again", action="store_true", help="all stages, not those that are left")
    parser.add_argument("--rehearse", action="store_true", help="without a GPU, toys")
    args = parser.parse_args()
    args.seconds = args.seconds or (1800 if args.rehearse else 470)
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
