"""A training step on the C++ engine against plain PyTorch:
`python -m benchmarks.kernels.train_step`.

A step is forward, masked BCE, backward and AdamW at stride 32 of a batch that is in memory as codes
and labels: 8 tiles of 32 kb, the 64 tiles of 16 steps that `tcnfast train` takes, or 512 single
windows. Every side trains the same network from the same weights, with batch norm and dropout, on
PyTorch's number of threads; "pruned" evaluates grids, "dense" every base, every 32nd score kept.
Sides take turns; medians over rounds. Before that each side's loss is held against float64's.
Memory is the growth of the peak resident set over three steps in a process of its own.

`--symmetric` compares the engine's own steps, seconds of one thread, first kernel 19: of a plain
network, and of a symmetric one of equal width. (Rows "direct" are of an engine that had that form.)

`--rounds N`, `--sides REGEX`, `--cases REGEX`, `--dry` (no results written).
"""

from __future__ import annotations

import argparse
import gc
import re
import subprocess
import sys
from pathlib import Path

import torch

from benchmarks.harness import PROCESSOR, RESTED, append, compare, report
from benchmarks.kernels.cases import OURS
from benchmarks.kernels.training_cases import forward
from tcnfast.engines import cpu_engine
from tcnfast.genome.labels import BOUND
from tcnfast.model.tcn import TCN, TCNConfig
from tcnfast.train.losses import masked_bce
from tcnfast.train.optimisers import decay_groups

STRIDE = 32
MODULE = "benchmarks.kernels.train_step"
# name: (tiles, steps a tile, labels)
CASES = {
    "8 tiles of 32 kb, 8 labels": (8, 1024, 8),
    "8 tiles of 32 kb, 119 labels": (8, 1024, 119),
    "64 tiles of 16 steps, 119 labels": (64, 16, 119),
    "512 windows, 119 labels": (512, 1, 119),
}
SYMMETRIC_CASES = {
    "64 tiles of 16 steps, 112 labels": (64, 16, 112),
    "8 tiles of 32 kb, 112 labels": (8, 1024, 112),
}
# of the loss; a dense batch norm has other statistics, of every position, not those of the grid
TOLERANCE = {"pruned fp32": 1e-4, "pruned bf16": 3e-2, "dense fp32": 1e-2, "dense bf16": 3e-2}


def make_forward(side: str, model: TCN):
    """side: "pruned engine bf16", "dense Conv1d fp32", "pruned channels-last compiled bf16", ..."""
    form, *how, precision = side.split()
    run = f"torch.compile {how[0]} default" if how[-1] == "compiled" else f"eager {how[0]}"
    stride = STRIDE if form == "pruned" else 1
    return forward(OURS if how[0] == "engine" else run, model, stride, STRIDE, precision)


SIDES = [
    "pruned engine bf16",
    "pruned engine fp32",
    "pruned Conv1d fp32",
    "pruned Conv1d bf16",
    "pruned channels-last fp32",
    "pruned channels-last bf16",
    "pruned channels-last compiled fp32",
    "pruned channels-last compiled bf16",
    "dense Conv1d fp32",
    "dense channels-last bf16",
]


class Step:
    """One side's training, ready to take steps of one batch."""

    def __init__(self, side: str, case: str, **config) -> None:
        tiles, steps, labels = (CASES | SYMMETRIC_CASES)[case]
        torch.manual_seed(0)
        names = [f"label{i}" for i in range(labels)]
        config = dict(first_kernel=15, dropout=0.1) | config
        self.model = TCN(TCNConfig(labels=names, **config))
        self.model.train()
        length = self.model.receptive_field + (steps - 1) * STRIDE
        self.codes = torch.randint(0, 4, (tiles, length), dtype=torch.uint8)
        self.targets = (torch.rand(tiles, steps, labels) < 0.1).to(torch.uint8) * BOUND
        self.forward = make_forward(side, self.model)
        self.optimiser = torch.optim.AdamW(decay_groups(self.model, 0.05), lr=1e-3, fused=True)
        self.bases, self.windows = tiles * length, tiles * steps

    def __call__(self) -> float:
        loss = masked_bce(self.forward(self.codes), self.targets)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        return loss.item()


def first_loss(case: str, **config) -> float:
    """float64's loss of the first step, dropout drawn alike."""
    step = Step("pruned channels-last fp32", case, **config)
    plain = step.model.double().unfused()
    torch.manual_seed(1)
    with torch.no_grad():
        return masked_bce(plain.dense(step.codes, STRIDE), step.targets).item()


def memory(side: str, case: str) -> float:
    """MiB by which three steps raise the peak resident set of a fresh process."""
    command = [sys.executable, "-m", MODULE, "--memory", side, case]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout)


def print_memory(side: str, case: str) -> None:
    step = Step(side, case)
    step.forward(step.codes[:1, : step.model.receptive_field].repeat(2, 1))  # libraries wake up
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from what is resident
    before = resident("VmRSS")
    for _ in range(3):
        step()
    print(resident("VmHWM") - before)


def resident(name: str) -> float:
    """MiB of this process, by a line of its status."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


def measure(case: str, sides: list[str], rounds: int) -> list[dict]:
    expected = first_loss(case)
    ready = {}
    for side in sides:
        step = Step(side, case)
        torch.manual_seed(1)
        loss = step()
        error = abs(loss - expected) / expected
        form, *_, precision = side.split()
        assert error < TOLERANCE[f"{form} {precision}"], f"{side}: loss {loss}, float64 {expected}"
        ready[side] = step
    _, medians = compare(ready, rounds, RESTED)
    others = {s: t for s, t in medians.items() if s.startswith("pruned") and "engine" not in s}
    rows = []
    for side, step in ready.items():
        same = [t for s, t in others.items() if s.split()[-1] == side.split()[-1]]
        rows.append(
            {
                "side": side,
                "median_s": f"{medians[side]:.4g}",
                "mbp_s": f"{step.bases / medians[side] / 1e6:.3g}",
                "windows_s": f"{step.windows / medians[side]:.0f}",
                "vs_best_other": f"{min(others.values()) / medians[side]:.2f}" if others else "",
                "vs_best_other_same_precision": f"{min(same) / medians[side]:.2f}" if same else "",
                "peak_mib": f"{memory(side, case):.0f}",
            }
        )
    return rows


def measure_symmetric(case: str, precision: str, rounds: int, dry: bool) -> None:
    sides = {}
    for name in ("plain", "symmetric, halved"):
        config = dict(first_kernel=19, symmetric=name != "plain")
        step = Step(f"pruned engine {precision}", case, **config)
        torch.manual_seed(1)
        loss, expected = step(), first_loss(case, **config)
        error = abs(loss - expected) / expected
        assert error < TOLERANCE[f"pruned {precision}"], f"{name}: loss {loss}, float64 {expected}"
        sides[name] = step
    _, medians = compare(sides, rounds, PROCESSOR)
    shape = f"{case}, C=64 k=3 first=19, 1 thread"
    report("train_symmetric", f"{shape}, {cpu_engine.isa()} {precision}", medians, "plain", dry)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--sides", default="")
    parser.add_argument("--cases", default="")
    parser.add_argument("--dry", action="store_true")
    parser.add_argument("--symmetric", action="store_true")
    parser.add_argument("--memory", nargs=2, metavar=("SIDE", "CASE"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.memory:
        return print_memory(*args.memory)
    cpu_engine.keep_freed_memory()  # as tcnfast.train does; it helps every side
    gc.freeze()
    if args.symmetric:
        torch.set_num_threads(1)  # a second would spin while it waits, and that counts
        for case in filter(re.compile(args.cases).search, SYMMETRIC_CASES):
            for precision in filter(re.compile(args.sides).search, ("fp32", "bf16")):
                measure_symmetric(case, precision, args.rounds, args.dry)
        return
    for case in CASES:
        if not re.search(args.cases, case):
            continue
        sides = [side for side in SIDES if re.search(args.sides, side)]
        rows = measure(case, sides, args.rounds)
        print(f"\n{case}, {torch.get_num_threads()} threads")
        for row in rows:
            print("  ".join(f"{name} {value}" for name, value in row.items()))
        if not args.dry:
            append("train", f"{case}, C=64 k=3 first=15, {torch.get_num_threads()} threads", rows)


if __name__ == "__main__":
    main()
