"""benchmarks/gpu_check.py: red withholds figures, each stage ends, and what was done is kept."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.triton import needs_triton

from benchmarks import gpu_check, gpu_stages
from benchmarks.gpu_stages import CUT, FAILED, LEFT_OUT, PASSED, SKIPPED, WITHHELD, Run, Stage

pytestmark = pytest.mark.checkout

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"

PLAIN = """
collected 293 items / 289 deselected / 4 selected
tests/test_triton_stack.py::test_a[16-3] PASSED [ 25%]
tests/test_triton_stack.py::test_b[16-fp32] FAILED                                [ 50%]
tests/test_plan.py::test_c[x y] SKIPPED (no GPU) [ 75%]
FAILED tests/test_triton_stack.py::test_b[16-fp32] - AssertionError
"""
PARALLEL = """
2 workers [4 items]
[gw0] [ 25%] PASSED tests/test_triton_stack.py::test_a[16-3]
[gw1] [ 50%] ERROR tests/test_triton_stack.py::test_b[16-fp32]
[gw1] [ 75%] SKIPPED tests/test_plan.py::test_c
"""


@pytest.mark.parametrize("text", [PLAIN, PARALLEL], ids=["plain", "xdist"])
def test_what_pytest_says_is_understood(text):
    result = gpu_stages.judge_tests(Run(1, 1.0, text.splitlines()))
    assert result.words == "1 passed, 1 failed, 1 skipped, 1 NOT RUN"
    assert result.state == FAILED
    assert result.red == {"fp32": ["tests/test_triton_stack.py::test_b[16-fp32]"]}


def test_tests_that_the_limit_cut_are_no_proof():
    lines = PLAIN.replace("FAILED", "PASSED").splitlines()
    assert gpu_stages.judge_tests(Run(None, 1.0, lines)).state == CUT


def test_no_test_at_all_is_red_in_every_precision():
    result = gpu_stages.judge_tests(Run(2, 1.0, ["ERROR tests/x.py - ModuleNotFoundError"]))
    assert (result.state, result.red) == (FAILED, {"": ["no test ran"]})


@pytest.mark.parametrize(
    "name, precision",
    [
        ("tests/a.py::test_b[16-3-bf16-+]", "bf16"),
        ("tests/a.py::test_b[tf32]", "tf32"),
        ("tests/a.py::test_numbers_that_fp16_cannot_hold", "fp16"),
        ("tests/a.py::test_b[16-3]", ""),
    ],
)
def test_the_precision_of_a_test_is_in_its_name(name, precision):
    assert gpu_stages.precision_of(name) == precision


@pytest.mark.parametrize(
    "text, code, state",
    [
        ("========= ERROR SUMMARY: 0 errors", 0, PASSED),
        ("========= ERROR SUMMARY: 3 errors", 1, FAILED),
        ("========= RACECHECK SUMMARY: 1 hazard displayed", 1, FAILED),
        ("Device not supported", 1, SKIPPED),
        ("", None, CUT),
    ],
)
def test_what_compute_sanitizer_says_is_understood(text, code, state):
    assert gpu_stages.judge_sanitizer(Run(code, 1.0, [text])).state == state


def test_a_command_is_ended_at_its_limit_with_its_children(tmp_path):
    script = "import subprocess, sys; print('begun', flush=True);"
    script += "subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"
    command, log = [sys.executable, "-c", script], tmp_path / "log"
    ran = gpu_stages.run(command, 2, dict(os.environ), log)
    assert ran.code is None and ran.seconds < 20
    assert ran.lines == ["begun"] and log.read_text() == "begun\n"


def test_no_gpu_is_one_line():
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, str(BENCHMARKS / "gpu_check.py")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 1
    assert done.stdout.count("\n") == 1 and "sees no NVIDIA GPU" in done.stdout


class Args:
    rehearse, again, seconds = False, False, 300


GREEN = {"tests bf16": "tests/a.py::test_a[bf16] PASSED [ 50%]"}
GREEN |= {"tests fp32": "tests/a.py::test_a[fp32] PASSED [100%]"}
RED = {"tests fp32": "tests/a.py::test_a[fp32] FAILED [100%]"}


@pytest.fixture
def checked(monkeypatch, tmp_path):
    """checked(what stages print, by name, seconds) -> exit code, states by name, the report."""
    ran = []

    def stages(args, out, name):
        for precision in ("bf16", "fp32"):
            name = f"tests {precision}"
            yield Stage(name, [name], 9, 5, precision, True, gpu_stages.judge_tests)
        for precision in ("bf16", "fp32"):
            name = f"figures {precision}"
            yield Stage(name, [name], 9, 5, precision, judge=gpu_stages.judge_code)

    monkeypatch.setattr(gpu_check, "link_kernels", lambda: None)
    monkeypatch.setattr(gpu_check, "stages", stages)

    def run(printed, seconds=300):
        def fake(command, limit, environment, log):
            ran.append(command[0])
            return Run(0, 1.0, printed.get(command[0], "").splitlines())

        monkeypatch.setattr(gpu_stages, "run", fake)
        monkeypatch.setattr(Args, "seconds", seconds)
        code = gpu_check.check(Args, tmp_path, {"gpu": "Some GPU"}, {})
        (state,), (text,) = tmp_path.glob("*.json"), tmp_path.glob("*.md")
        states = {r["name"]: r["state"] for r in json.loads(state.read_text())["results"]}
        return code, states, text.read_text()

    run.ran = ran
    return run


def test_green_gives_figures_of_all(checked):
    code, states, text = checked(GREEN)
    assert code == 0 and set(states.values()) == {PASSED}
    assert "No full proof" not in text and "Red" not in text


def test_red_in_one_precision_withholds_its_figures_alone(checked):
    code, states, text = checked(GREEN | RED)
    assert code == 1
    assert states["figures bf16"] == PASSED and states["figures fp32"] == WITHHELD
    assert "**Red: tests fp32.**" in text and "failed: tests/a.py::test_a[fp32]" in text


def test_red_in_no_precision_by_name_withholds_all(checked):
    code, states, _ = checked(GREEN | {"tests fp32": "tests/a.py::test_a FAILED [100%]"})
    assert code == 1
    assert states["figures bf16"] == states["figures fp32"] == WITHHELD


def test_what_is_left_out_is_done_by_the_next_call_alone(checked):
    code, states, text = checked(GREEN, seconds=0)
    assert code == 1 and set(states.values()) == {LEFT_OUT} and "No full proof" in text
    assert not checked.ran
    checked(GREEN)
    assert len(checked.ran) == 4
    code, states, _ = checked(GREEN)
    assert code == 0 and len(checked.ran) == 4, "nothing is run twice"


def test_every_test_file_is_there_and_says_what_it_needs(monkeypatch):
    for name in gpu_check.TESTS:
        assert gpu_check.found(name), name
    assert (BENCHMARKS.parent / gpu_check.FIRST_CALL).exists()
    monkeypatch.setattr(gpu_check, "has", lambda module: module != "pyfaidx")
    files, words = gpu_check.runnable()
    assert not any("motif_scan" in file for file in files)
    assert words == [
        "SKIPPED tests/scan/test_motif_scan.py::test_the_product_of_a_device_finds_the_same_hits: "
        "needs pyfaidx"
    ]


LACKED = ("pyfaidx", "pyBigWig", "zarr", "pandas", "matplotlib", "modiscolite", "py2bit", "tqdm")


def test_a_bare_machine_can_import_what_tests_and_figures_stand_on():
    """Of packages beside torch, Triton, numpy, numba, scikit-learn, safetensors and pytest none."""
    script = f"import sys; sys.modules.update(dict.fromkeys({LACKED}))\n"
    script += "import support.models, support.stack, benchmarks.kernels.device"
    paths = os.pathsep.join(map(str, (BENCHMARKS.parent, BENCHMARKS.parent / "tests")))
    environment = os.environ | {"PYTHONPATH": paths}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr


@needs_triton
@pytest.mark.slow
def test_the_whole_way_with_toys(tmp_path):
    options = ["--rehearse", "--out", str(tmp_path)]
    command = [sys.executable, str(BENCHMARKS / "gpu_check.py"), *options]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    (table,) = (path for path in tmp_path.glob("*.csv") if path.name.count(".") == 1)
    (forms,) = tmp_path.glob("*.forms.csv")
    assert "through shared memory" in forms.read_text()
    with open(table, newline="") as file:
        rows = list(csv.DictReader(file))
    timed = {(row["case"].split(" C=")[0], row["side"]) for row in rows if row["median_s"]}
    parts, sides = ("stack", "block", "training step"), ("tcnfast", "eager Conv1d")
    assert timed >= {("hits", "tcnfast, logits stored"), ("first block", "tcnfast, three kernels")}
    assert timed >= {(part, side) for part in parts for side in sides}
