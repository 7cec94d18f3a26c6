"""Our kernels against PyTorch on the device that is here: `python -m benchmarks.kernels.device`.

Cases: the whole stack, from codes to logits; hits, as a scan of both strands finds them, and as
PyTorch does in stored logits; the first block and one above it, forward; one block in training,
forward and backward; a training step of tiles. "dense" evaluates every base, "pruned" the grids
that a score every 32 bases needs; sides are compared within a form, and what pruning gains has its
own column. Networks have 8 blocks, a first kernel of 15 and 8 labels, of hits 119; blocks above the
first are the fourth of such a network.

Sides: tcnfast; eager PyTorch as Conv1d and as channels-last Conv2d on cuDNN with its search on; and
torch.compile of the faster of the two (the second pass, as compiling takes long). max-autotune is
run without its CUDA graphs, which copy inputs: no side's launches are in what is timed.

Every side is first held against float64 (kernels/cases.py); what is wrong is reported, not timed.
Sides take turns. median_s, p20_s and p80_s are the device's own time, the L2 cache flushed before
each call; called_s is the host's, from call to end, the cache as the call before left it. TFLOP/s
are of the arithmetic that is needed. roofline: the floor over the median, the floor being the
larger of needed bytes over the bandwidth of a copy and needed operations over the rate of an
8192-cubed product, both measured here in the same run. vs_best_other: how many times faster than
the fastest of the others in the same rows. peak_mib: growth of allocated GPU memory in a call.

Without a GPU the C++ engine runs, at small sizes; with TRITON_INTERPRET=1, toys of the kernels.
Rows are appended as they come to OUT/NAME.csv (`--out`, `--name`); `--seconds` ends the run;
`--only` takes cases by a regular expression on "part form L=.. channels=.. MODE", the mode being
eager, max-autotune or default. `--precision`: of all sides, default the one that the device
multiplies fastest.
"""

from __future__ import annotations

import argparse
import gc
import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
import torch._dynamo

from benchmarks.harness import RESULTS, Roofline, append, peak_memory
from benchmarks.kernels.cases import EAGER, FORMS, OURS, BlockForward, Case, Setting, Stack
from benchmarks.kernels.scan_cases import FirstBlockForward, Hits
from benchmarks.kernels.training_cases import BlockStep, TrainingStep
from tcnfast.base.run_record import device_words
from tcnfast.bench.speed import Clock, Timing, take_turns
from tcnfast.engines import backend as backends
from tcnfast.engines import triton_engine
from tcnfast.engines.backend import DTYPES

ROUNDS = 1.5  # seconds that the turns of a case take, about


class Entry(NamedTuple):
    """A case to measure. ``cost``: seconds that it takes on an H200, as was estimated."""

    kind: type[Case]
    form: str
    length: int
    mode: str = "eager"  # or of torch.compile
    cost: float = 4
    shape: dict = {}

    def case(self, setting: Setting) -> Case:
        return self.kind(setting, self.form, self.length, **self.shape)


class Bench:
    """What is known of the device and of what was measured so far."""

    def __init__(self, setting: Setting, clock: Clock, roofline: Roofline) -> None:
        self.setting, self.clock, self.roofline = setting, clock, roofline
        self.medians: dict[tuple[str, str, str], float] = {}  # of words, form and side
        self.failed: list[str] = []  # of our side

    def sides(self, case: Case, mode: str) -> tuple[str, ...]:
        if mode == "eager":
            return case.sides
        better = min(
            EAGER, key=lambda side: self.medians.get((case.words, case.form, side), float("inf"))
        )
        if (case.words, case.form, better) not in self.medians:
            better = EAGER[1]
        return OURS, better, f"torch.compile {better.split()[1]} {mode}"

    def measure(self, case: Case, mode: str) -> list[dict]:
        if case.why_not:
            return [self.row(case, OURS, None, note=f"not run: {case.why_not}")]
        runs, notes, peaks = {}, {}, {}
        for side in self.sides(case, mode):
            try:
                runs[side] = case.prepare(side)
                peaks[side] = peak_memory(runs[side], self.setting.device)
            except Exception as error:  # wrong numbers, no memory, no compiler: said in its row
                runs.pop(side, None)
                notes[side] = f"not timed: {in_words(error)}"
                if side == OURS:
                    self.failed.append(f"{case.words} {case.form}: {in_words(error)}")
        least = 1 if triton_engine.interpreted() else 7
        timings = take_turns(runs, self.clock, ROUNDS, least) if runs else {}
        for side, timing in timings.items():
            self.medians[case.words, case.form, side] = timing.median
        if OURS in timings and case.note:
            notes[OURS] = case.note
        others = [t.median for side, t in timings.items() if side != OURS]
        best = min(others, default=None)
        return [
            self.row(case, side, timings.get(side), best, peaks.get(side), notes.get(side, ""))
            for side in (*timings, *(side for side in notes if side not in timings))
        ]

    def row(self, case, side, timing: Timing | None, best=None, peak=None, note="") -> dict:
        row = dict.fromkeys(COLUMNS, "")
        row |= {"form": case.form, "side": side, "precision": self.setting.precision, "note": note}
        if timing is None:
            return row
        work = case.work()
        row |= {
            "median_s": f"{timing.median:.4g}",
            "p20_s": f"{timing.p20:.4g}",
            "p80_s": f"{timing.p80:.4g}",
            "called_s": f"{timing.called:.4g}",
            "rounds": str(timing.rounds),
            "tflop_s": f"{work.operations / timing.median / 1e12:.4g}",
            "roofline": f"{self.roofline.floor(work) / timing.median:.3g}",
        }
        if peak is not None:
            row["peak_mib"] = f"{peak:.0f}"
        if best is not None:
            row["vs_best_other"] = f"{best / timing.median:.2f}"
        dense = self.medians.get((case.words, "dense", side))
        if case.form == "pruned" and dense and not isinstance(case, BlockForward):
            row["pruning_gain"] = f"{dense / timing.median:.2f}"
        return row


COLUMNS = (
    "form side precision median_s p20_s p80_s called_s rounds tflop_s roofline peak_mib "
    "vs_best_other pruning_gain note"
).split()


def entries(setting: Setting, rehearse: bool, compiling: bool) -> Iterator[Entry]:
    """Cases in order of value."""
    if rehearse:
        shape = dict(channels=16)
        yield Entry(Stack, "pruned", 128, shape=shape)
        yield Entry(BlockForward, "pruned", 150, shape=shape)
        yield Entry(FirstBlockForward, "pruned", 150, shape=shape)
        yield Entry(Hits, "pruned", 128, shape=shape)
        yield Entry(TrainingStep, "pruned", 16, shape=shape)
        return
    gpu = setting.device.type == "cuda"
    short, middle, long = (2**16, 2**20, 2**24) if gpu else (2**14, 2**16, 2**18)
    tiles = 2**21 if gpu else 2**17
    for form in FORMS:
        yield Entry(Stack, form, middle, cost=6)
    yield Entry(TrainingStep, "pruned", tiles, cost=10)
    for form in FORMS:
        yield Entry(Hits, form, middle, cost=6)
    for form in FORMS:
        yield Entry(BlockForward, form, middle)
    for form in FORMS:
        yield Entry(FirstBlockForward, form, middle)
    yield Entry(BlockStep, "dense", middle, cost=6)
    if compiling:
        for form in reversed(FORMS):
            yield Entry(Stack, form, middle, "max-autotune", cost=40)
        yield Entry(TrainingStep, "pruned", tiles, "default", cost=30)
        yield Entry(BlockForward, "dense", middle, "max-autotune", cost=12)
    for form in FORMS:
        yield Entry(Stack, form, long, cost=15)
        yield Entry(Stack, form, short, cost=5)
        yield Entry(BlockForward, form, long, cost=10)
    if compiling:
        yield Entry(BlockForward, "pruned", middle, "max-autotune", cost=12)
        yield Entry(BlockStep, "dense", middle, "default", cost=12)
        for form in FORMS:
            yield Entry(Stack, form, long, "max-autotune", cost=50)
    yield Entry(BlockStep, "pruned", middle, cost=6)
    yield Entry(TrainingStep, "pruned", tiles // 64, cost=6)
    for form in FORMS:
        yield Entry(TrainingStep, form, tiles // 8, cost=8)
    yield from other_shapes(middle, compiling)
    if compiling:
        for form in FORMS:
            yield Entry(Stack, form, short, "max-autotune", cost=40)


def other_shapes(length: int, compiling: bool) -> Iterator[Entry]:
    shapes = dict(channels=128), dict(kernel_size=5), dict(channels=32), dict(kernel_size=7)
    for mode in ("eager", "default") if compiling else ("eager",):
        for shape in shapes:
            for form in FORMS:
                cost = 6 if mode == "eager" else 20
                yield Entry(Stack, form, length, mode, cost, shape)


def in_words(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


def setting_here(rehearse: bool, precision: str) -> Setting:
    if rehearse:
        cpu = torch.device("cpu")
        return Setting(
            cpu,
            "fp32" if precision == "auto" else precision,
            4,
            blocks=2,
            first=5,
            index=1,
            checked=8,
            tiles=2,
        )
    device = backends.choose_device("auto")
    cuda = device.type == "cuda"
    if precision == "auto":
        precision = backends.auto_precision("triton" if cuda else "cpu", device)
    return Setting(device, precision)


def print_rows(words: str, rows: list[dict], seconds: float) -> None:
    print(f"\n{words}  ({seconds:.0f} s)")
    shown = [
        c
        for c in COLUMNS
        if any(row[c] for row in rows) and c not in ("precision", "rounds", "note")
    ]
    cells = [shown, *([row[c] for c in shown] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        print("  ".join(map(str.ljust, line, widths)).rstrip())
    for row in rows:
        if row["note"]:
            print(f"{row['side']}: {row['note']}")
    sys.stdout.flush()


def ceilings(roofline: Roofline, precision: str, size: int) -> list[dict]:
    empty = dict.fromkeys(COLUMNS, "") | {"form": "ceiling"}
    bandwidth = f"{roofline.bandwidth / 1e9:.4g} GB/s"
    return [
        empty | {"side": "copy, bytes read and written", "note": bandwidth},
        empty
        | {
            "side": f"{size}-cubed product",
            "precision": precision,
            "tflop_s": f"{roofline.rate / 1e12:.4g}",
        },
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="DIR")
    parser.add_argument("--name", default="kernels", help="of the file, without .csv")
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--precision", default="auto", choices=("auto", *DTYPES))
    parser.add_argument("--only", default="", metavar="REGEX")
    parser.add_argument("--compile", action="store_true", help="torch.compile without a GPU too")
    parser.add_argument("--dry", action="store_true", help="write nothing")
    args = parser.parse_args()
    start = time.perf_counter()
    rehearse = triton_engine.interpreted()
    if rehearse:
        os.environ["TCNFAST_BACKEND"] = "triton"
    torch.backends.cudnn.benchmark = True
    torch._dynamo.config.recompile_limit = 64  # every case is a version more of the same forward()
    setting = setting_here(rehearse, args.precision)
    gpu = setting.device.type == "cuda"
    for library in (torch.backends.cudnn, torch.backends.cuda.matmul):  # of all sides
        library.allow_tf32 = setting.precision == "tf32"
    clock = Clock(setting.device)
    size = 8192 if gpu else 128 if rehearse else 2048
    roofline = Roofline.measure(clock, DTYPES[setting.precision], size)

    def write(words: str, rows: list[dict], seconds: float) -> None:
        print_rows(words, rows, seconds)
        if not args.dry:
            append(args.name, words, rows, args.out, device_words(setting.device))

    write("ceilings", ceilings(roofline, setting.precision, size), time.perf_counter() - start)
    bench = Bench(setting, clock, roofline)
    for entry in entries(setting, rehearse, gpu or args.compile):
        begun = time.perf_counter()
        left = args.seconds - (begun - start)
        shape = " ".join(f"{name}={value}" for name, value in entry.shape.items())
        key = f"{entry.kind.part} {entry.form} L={entry.length} {shape} {entry.mode}"
        if not re.search(args.only, key):
            continue
        if gpu and left < entry.cost:
            print(f"left out, as {left:.0f} s are left: {key}")
            continue
        try:
            case = entry.case(setting)
            rows = bench.measure(case, entry.mode)
            write(case.words, rows, time.perf_counter() - begun)
        except torch.OutOfMemoryError:
            print(f"left out, as it does not fit the GPU's memory: {key}")
        case = None
        gc.collect()
        torch._dynamo.reset()
        if gpu:
            torch.cuda.empty_cache()
    for words in bench.failed:
        print(f"failed: {words}")
    return 1 if bench.failed else 0


if __name__ == "__main__":
    sys.exit(main())
