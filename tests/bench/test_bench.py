"""Measuring: times, needed work, and that what is wrong is never timed."""

import logging
import re
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from support.models import random_model

from benchmarks.harness import Roofline, Work, peak_memory
from tcnfast.bench import speed_table
from tcnfast.bench.speed import Clock, Timing, take_turns
from tcnfast.bench.symmetric_twin import random_letters, shares_of, symmetric_twin
from tcnfast.cli import main
from tcnfast.engines import reference
from tcnfast.engines.grid import stack_grid
from tcnfast.engines.plain_stack import LAYOUTS, FoldedStack

pytestmark = pytest.mark.checkout

CPU = torch.device("cpu")
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("stride", [1, 4])
def test_the_plain_stack_is_the_stack(make_codes, layout, stride):
    model = random_model(first_kernel=7)
    grid, weights = model.config.grid(stride), model.folded().to("cpu", torch.float64)
    codes = make_codes(2, model.receptive_field + 4 * 9)
    plain = FoldedStack(weights, grid, layout, torch.float64)(codes)
    expected = reference.stack(codes, weights, grid)
    torch.testing.assert_close(plain.double(), expected, rtol=1e-6, atol=1e-6)
    # every 4th output of the dense stack is the pruned one's
    sampled = FoldedStack(weights, model.config.grid(1), layout, torch.float64, sample=4)(codes)
    assert sampled.shape[1] == model.config.grid(4).n_scores(codes.shape[1])


def test_sides_take_turns():
    calls = []
    runs = {name: (lambda name=name: calls.append(name)) for name in "abc"}
    timings = take_turns(runs, Clock(CPU), seconds=0, least=3)
    assert calls == list("aaabbbccc" + "abc" + "bca" + "cab")  # warm, then round by round
    assert set(timings) == {"a", "b", "c"}
    assert all(0 <= t.p20 <= t.median <= t.p80 for t in timings.values())


class FakeGpu:
    """Stands for torch.cuda, and notes what is asked of it."""

    def __init__(self):
        self.asked = []
        self.other = self

    def __getattr__(self, name):
        def note(*args):
            self.asked.append(name)
            return 4.0  # milliseconds, where it is asked for elapsed time

        return note


def test_a_gpu_is_timed_by_its_events_with_a_cold_cache(monkeypatch):
    gpu = FakeGpu()
    monkeypatch.setattr(torch.cuda, "_sleep", gpu._sleep)
    monkeypatch.setattr(torch.cuda, "synchronize", gpu.synchronize)
    clock = Clock(CPU)
    clock.gpu, clock.other, clock.start, clock.end = True, gpu, gpu, gpu
    assert clock(lambda: gpu.asked.append("run"), hold=0.01) == 0.004
    wanted = ["zero_", "_sleep", "record", "run", "record", "synchronize", "elapsed_time"]
    assert gpu.asked == wanted


def test_slow_sides_take_few_rounds():
    timings = take_turns({"slow": lambda: time.sleep(0.01)}, Clock(CPU), seconds=0.001, least=7)
    assert timings["slow"].rounds == 3


def test_the_median_and_the_percentiles_around_it():
    timing = Timing.of([5.0, 1.0, 2.0, 3.0, 4.0, 6.0], [7.0, 9.0, 8.0])
    assert timing.median == 3.5 and timing.called == 8.0 and timing.rounds == 6
    assert timing.p20 == pytest.approx(2.0) and timing.p80 == pytest.approx(5.0)


def test_needed_work_is_what_a_grid_says():
    grid = stack_grid(3, 8, 32, 15)
    work = Work.of_stack(grid, 64, 8, scores=100)
    assert work.operations == 2 * 3200 * grid.macs_per_base(64, 8)
    assert work.bytes == 3200 + grid.receptive_field + 4 * 8 * 100
    assert Roofline(bandwidth=work.bytes / 2, rate=work.operations / 3).floor(work) == 3
    assert Roofline(bandwidth=work.bytes / 4, rate=work.operations / 3).floor(work) == 4


def test_only_a_gpu_tells_its_memory():
    assert peak_memory(lambda: torch.zeros(9), CPU) is None


@pytest.fixture
def small(monkeypatch):
    """The table of a small network, in no time."""
    bases = {"dense": {"cpu": 2**9}, "pruned": {"cpu": 2**10}}
    monkeypatch.setattr(speed_table, "BASES", bases)
    monkeypatch.setattr(speed_table, "SEGMENTS", (2**8, 2**9))
    monkeypatch.setattr(speed_table, "SECONDS", 0)
    monkeypatch.setattr(speed_table, "CHECKED", 16)

    def shaped(**shape):
        shape = dict(first_kernel=7, channels=6) | shape
        monkeypatch.setattr(speed_table, "load_model", lambda name: random_model(**shape))

    shaped()
    return shaped


def lines_of(text):
    return [line.split() for line in text.splitlines() if line.startswith(("dense", "pruned"))]


def test_tcnfast_bench_prints_each_form_against_pytorch(small, capsys):
    assert main(["bench", "--device", "cpu", "--stride", "8", "-q"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("# encode-v2: 6 channels") and "pruned to every 8 bases" in out
    lines = lines_of(out.partition("# both strands")[0])
    for form in ("dense", "pruned"):
        fp32 = [line for line in lines if line[0] == form and line[3] == "fp32"]
        assert {line[2] for line in fp32} >= {"reference", *LAYOUTS}
        assert max(float(line[6]) for line in fp32 if line[1] == "PyTorch") == 1
        assert all(float(line[7]) < 1e-4 for line in fp32)


LISTED = [
    SimpleNamespace(block=2, convolution=1, nonzero=0.314, listed=True),
    SimpleNamespace(block=3, convolution=0, nonzero=0.9, listed=False),
    SimpleNamespace(block=4, convolution=1, nonzero=0.25, listed=True),
]


@pytest.mark.parametrize(
    "stacks, said", [([], ""), ([LISTED[1:2]], ""), ([LISTED], "2.1 (0.31), 4.1 (0.25)")]
)
def test_bench_says_where_zeros_are_left_out_and_only_there(monkeypatch, caplog, stacks, said):
    monkeypatch.setattr(speed_table, "Plan", lambda *_: SimpleNamespace(sparsity=stacks))
    monkeypatch.setattr(speed_table, "LAYOUTS", ())
    model, group = random_model(first_kernel=7, channels=6), speed_table.Group("pruned", 8, "fp32")
    codes = torch.zeros(1, model.receptive_field + 2**9, dtype=torch.uint8)
    with caplog.at_level(logging.INFO):
        sides = speed_table._sides(model, group, codes)
    words = f"fp32 leaves out inputs that are 0 in convolutions {said} (share of others)"
    told = [f"{side.name.removeprefix('tcnfast ')} {words}" for side in sides]
    assert sides and [x.getMessage() for x in caplog.records] == (told if said else [])


@pytest.mark.parametrize("off", [1.0, float("nan")])
def test_a_side_that_is_wrong_is_not_timed(small, capsys, monkeypatch, off):
    right = FoldedStack.forward

    def wrong_in_one_layout(self, codes):
        logits = right(self, codes)
        return logits + off if self.layout == LAYOUTS[0] else logits

    monkeypatch.setattr(FoldedStack, "forward", wrong_in_one_layout)
    assert main(["bench", "--device", "cpu", "--stride", "8", "-q"]) == 0
    lines = lines_of(capsys.readouterr().out.partition("# both strands")[0])
    wrong = [line for line in lines if line[2] == "Conv1d"]
    assert wrong and all(line[4] == "wrong" and len(line) == 6 for line in wrong)
    assert all(line[4] != "wrong" for line in lines if line[2] == "channels-last")


def both_strands_of(out):
    """(form, precision) -> side -> the numbers behind it, of the second part of the table."""
    found = {}
    for line in out.partition("# both strands")[2].splitlines():
        if line.startswith(("dense", "pruned")):
            form, side, precision, *numbers = re.split(r"  +", line)
            found.setdefault((form, precision), {})[side] = numbers
    return found


def test_tcnfast_bench_compares_both_strands_in_one_pass_and_in_two(small, capsys):
    assert main(["bench", "--device", "cpu", "--stride", "8", "-q"]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    found = both_strands_of(out)
    assert {form for form, _ in found} == {"dense", "pruned"}
    for sides in found.values():
        assert list(sides) == [
            "(a) plain, both strands",
            "(a) with lists",
            "(b) symmetric, direct",
            "(c) symmetric, halved",
            "(d) symmetric, halved, lists",
        ]
        assert sides["(a) plain, both strands"][2] == "1.00"
    for side, (_, _, ratio, error) in found["dense", "fp32"].items():
        assert float(ratio) > 0 and float(error) < 1e-4, side


@pytest.mark.parametrize("shape", [dict(channels=5), dict(alignment="causal")])
def test_a_shape_that_no_symmetric_network_has_is_compared_on_one_strand(small, capsys, shape):
    small(**shape)
    assert main(["bench", "--device", "cpu", "--stride", "8"]) == 0
    said = capsys.readouterr()
    assert "both strands are not compared" in said.err
    assert lines_of(said.out) and not both_strands_of(said.out)


@pytest.mark.parametrize("first_kernel, channels", [(5, 16), (7, 32)])
def test_the_symmetric_twin_is_symmetric_and_has_the_zeros(make_codes, first_kernel, channels):
    model = random_model(first_kernel=first_kernel, channels=channels)
    grid, plain = model.config.grid(4), model.folded()
    twin = symmetric_twin(plain, grid)
    codes = make_codes(2, grid.receptive_field + 4 * 50)
    exact = twin.to("cpu", torch.float64)
    plus = reference.stack(codes, exact, grid)
    minus = reference.stack(codes, exact.mirrored(grid), grid)
    torch.testing.assert_close(plus, minus, rtol=1e-9, atol=1e-9)
    letters = random_letters(2**13)
    shares = [torch.tensor(shares_of(weights, grid, letters)) for weights in (plain, twin)]
    assert shares[0].min() < 0.9
    torch.testing.assert_close(*shares, rtol=0, atol=0.05)


def test_bench_wants_a_stride_that_prunes(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["bench", "--device", "cpu", "--stride", "1"])
    assert "--stride 1: must be at least 2" in capsys.readouterr().err


PLANTED = """
import sys
sys.path.insert(0, sys.argv[1])
import torch
from benchmarks.kernels import cases, device
from benchmarks.harness import Roofline
from tcnfast.bench.speed import Clock
torch.set_num_threads(1)
cpu = torch.device("cpu")
setting = cases.Setting(cpu, "fp32", 4, blocks=2, first=5, index=1, checked=8, tiles=2)
bench = device.Bench(setting, Clock(cpu), Roofline(1e9, 1e9))
right = cases.stack
def planted(side, *rest):
    run = right(side, *rest)
    def wrong(codes):
        logits = run(codes).clone()
        logits[0, -1, 0] += 1  # one number, the last
        return logits
    return wrong if side == spoiled else run
cases.stack = planted
for spoiled in ("tcnfast", "eager Conv1d"):
    for row in bench.measure(cases.Stack(setting, "pruned", 128, channels=16), "eager"):
        print(spoiled, row["side"], row["median_s"] or "none", row["note"], sep="|")
print(len(bench.failed), "failed")
"""


def test_one_wrong_number_keeps_a_side_of_a_benchmark_from_being_timed():
    command = [sys.executable, "-c", PLANTED, str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    *lines, failed = done.stdout.splitlines()
    rows = [line.split("|") for line in lines]
    assert [row[:2] for row in rows if row[2] == "none"] == [
        ["tcnfast", "tcnfast"],
        ["eager Conv1d", "eager Conv1d"],
    ]
    for spoiled, side, seconds, note in rows:
        assert "AssertionError: out[7, 0]" in note if side == spoiled else float(seconds) > 0
    assert len(rows) == 6 and failed == "1 failed"  # ours alone makes the run fail
