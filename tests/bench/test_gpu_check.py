"""benchmarks/gpu_check.py: no speed on red, no hanging, no GPU said in one line."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.triton import needs_triton

from benchmarks import gpu_check

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"

PLAIN = """
collected 293 items / 289 deselected / 4 selected
tests/test_triton_stack.py::test_a[16-3] PASSED [ 25%]
tests/test_triton_stack.py::test_b FAILED                                [ 50%]
tests/test_plan.py::test_c[x y] SKIPPED (no GPU) [ 75%]
FAILED tests/test_triton_stack.py::test_b - AssertionError
"""
PARALLEL = """
2 workers [4 items]
[gw0] [ 25%] PASSED tests/test_triton_stack.py::test_a[16-3]
[gw1] [ 50%] ERROR tests/test_triton_stack.py::test_b
[gw1] [ 75%] SKIPPED tests/test_plan.py::test_c
"""


@pytest.mark.parametrize("text", [PLAIN, PARALLEL], ids=["plain", "xdist"])
def test_what_pytest_says_is_understood(text):
    outcome = gpu_check.Outcome.of(text.splitlines())
    assert (outcome.passed, outcome.failed, outcome.skipped) == (1, 1, 1)
    assert (outcome.collected, outcome.missing, outcome.on_kernels) == (4, 1, 1)
    assert "1 NOT RUN" in outcome.words


def test_a_command_is_ended_at_its_limit_with_its_children(capsys):
    script = "import subprocess, sys; print('begun', flush=True);"
    script += "subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"
    part = gpu_check.run("waiting", [sys.executable, "-c", script], 2, dict(os.environ))
    assert part.code is None and part.seconds < 20
    assert part.lines == ["begun"] and "cut at its limit" in part.words


def test_no_gpu_is_one_line():
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, str(BENCHMARKS / "gpu_check.py"), "--installed"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 1
    assert done.stdout.count("\n") == 1 and "sees no NVIDIA GPU" in done.stdout


class Args:
    rehearse, installed, seconds = True, True, 300


def part(name, code, lines=()):
    return gpu_check.Part(name, code, 1.0, 2.0, list(lines))


@pytest.fixture
def checked(monkeypatch, tmp_path):
    """checked(pytest's lines, its exit code, of the benchmarks) -> exit code, names of files."""

    def benchmark(out, name, limit, environment):
        columns = "date commit versions case form side median_s p20_s p80_s called_s tflop_s"
        columns = [
            *columns.split(),
            "roofline",
            "peak_mib",
            "vs_best_other",
            "pruning_gain",
            "note",
        ]
        row = dict.fromkeys(columns, "1") | {"case": "stack", "form": "dense", "side": "tcnfast"}
        with open(out / f"{name}.csv", "w", newline="") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerow(row)
        return part("benchmarks", checked.code, ["left out, as 3 s are left: block"])

    def run(text, code, benchmarks=0):
        checked.code = benchmarks
        tests = part("tests", code, text.splitlines())
        monkeypatch.setattr(gpu_check, "test", lambda *_: tests)
        monkeypatch.setattr(gpu_check, "benchmark", benchmark)
        code = gpu_check.check(Args, tmp_path, {"gpu": "Some GPU"}, {})
        return code, {path.suffix: path for path in tmp_path.iterdir()}

    checked = run
    return run


GREEN = PLAIN.replace("FAILED", "PASSED").replace("289 deselected / 4", "290 deselected / 3")


def test_green_writes_speed(checked):
    code, files = checked(GREEN, 0)
    assert code == 0 and set(files) == {".csv", ".md", ".txt"}
    text = files[".md"].read_text()
    assert "2 passed, 0 failed" in text and "tcnfast | 1000 (1000 to 1000)" in text
    assert "left out, as 3 s are left: block" in text and "No full proof" not in text


def test_red_leaves_no_speed_not_even_of_an_earlier_run(checked):
    checked(GREEN, 0)
    code, files = checked(PLAIN, 1)
    assert code == 1 and set(files) == {".txt"}


def test_nothing_on_the_kernels_is_red(checked):
    code, files = checked(GREEN.replace("test_triton", "test_other"), 0)
    assert code == 1 and set(files) == {".txt"}


def test_tests_that_were_cut_are_no_proof(checked):
    cut = GREEN.replace("290 deselected / 3", "200 deselected / 93")
    code, files = checked(cut, None)
    assert code == 1 and "**No full proof: 90 of 93 tests" in files[".md"].read_text()


def test_a_side_of_ours_that_fails_its_check_is_no_success(checked):
    code, files = checked(GREEN, 0, benchmarks=1)
    assert code == 1 and "Our side failed" in files[".md"].read_text()


@needs_triton
@pytest.mark.slow
def test_the_whole_way_with_toys(tmp_path):
    options = ["--rehearse", "--installed", "--out", str(tmp_path)]
    command = [sys.executable, str(BENCHMARKS / "gpu_check.py"), *options]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    (table,) = tmp_path.glob("rehearsal-*.csv")
    with open(table, newline="") as file:
        rows = list(csv.DictReader(file))
    timed = {(row["case"].split(" C=")[0], row["side"]) for row in rows if row["median_s"]}
    parts, sides = ("stack", "block", "training step"), ("tcnfast", "eager Conv1d")
    assert timed >= {(part, side) for part in parts for side in sides}


def test_every_test_file_is_there():
    for name in gpu_check.TESTS:
        assert gpu_check.found(name), name
