"""Scores of both strands on the C++ engine: `python -m benchmarks.kernels.both_strands`.

A plain network scores each strand by itself; a symmetric one of equal shape once, in the direct
form with all products or in the halved form with half of them. Dense and every 32nd score, first
kernel of 19 taps, each precision that the processor multiplies, codes and logits in memory. Every
side is held against its network in float64; sides take turns, and medians of the time of all
threads are compared. A ratio is how many times faster than the plain network a side is. No side
leaves out inputs that are 0. `--cases` (a regular expression on "C=64 dense fp32") picks.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from itertools import product

import torch
from torch import Tensor

from benchmarks.harness import PROCESSOR, compare, parser, report
from tcnfast.engines import cpu_engine, reference
from tcnfast.engines.grid import StackGrid
from tcnfast.engines.reference import StackWeights
from tcnfast.model.tcn import TCN, TCNConfig

STRIDES = {"every 32nd": 32, "dense": 1}
BASES = {"every 32nd": 2**18, "dense": 2**14}  # of a call at C=64
LABELS = 112
CHECKED = 64  # scores
TOLERANCE = {"fp32": 1e-5, "bf16": 5e-2}  # of the spread of the scores
PLAIN = "plain, both strands"


def network(channels: int, symmetric: bool) -> tuple[StackWeights, TCNConfig]:
    torch.manual_seed(0)
    labels = [f"label{i}" for i in range(LABELS)]
    model = TCN(
        TCNConfig(labels=labels, channels=channels, first_kernel=19, symmetric=symmetric)
    ).eval()
    return model.folded(), model.config


def sides(channels: int, stride: int) -> tuple[dict[str, list[StackWeights]], StackGrid]:
    """The stacks of each side, whose logits it takes the mean of."""
    plain, config = network(channels, symmetric=False)
    grid = config.grid(stride)
    halved, _ = network(channels, symmetric=True)
    return {
        PLAIN: [plain, plain.mirrored(grid)],
        "symmetric, direct": [replace(halved, symmetric=False)],
        "symmetric, halved": [halved],
    }, grid


def scorer(stacks: list[StackWeights], grid: StackGrid, precision: str) -> Callable:
    runs = [cpu_engine.prepare(stack, grid, precision, lists=False) for stack in stacks]
    return lambda codes: sum(run(codes) for run in runs) / len(runs)


def check(name: str, out: Tensor, stacks: list[StackWeights], grid: StackGrid, codes, precision):
    """Raise AssertionError unless the first scores are those of float64."""
    codes = codes[:, : grid.receptive_field + (CHECKED - 1) * grid.stride]
    exact = [stack.to("cpu", torch.float64) for stack in stacks]
    want = sum(reference.stack(codes, stack, grid) for stack in exact) / len(exact)
    error = (out[:, :CHECKED].double() - want).abs().max() / (want.max() - want.min())
    assert error <= TOLERANCE[precision], f"{name}: off by {error:.1e}"


@torch.no_grad()
def measure(channels: int, form: str, precision: str, rounds: int, dry: bool) -> None:
    stacks, grid = sides(channels, STRIDES[form])
    bases = BASES[form] * 64 // channels
    codes = torch.randint(0, 4, (1, bases + grid.receptive_field - grid.stride)).to(torch.uint8)
    runs = {name: scorer(of_side, grid, precision) for name, of_side in stacks.items()}
    calls = {name: (lambda run=run: run(codes)) for name, run in runs.items()}
    given, medians = compare(calls, rounds, PROCESSOR)
    for name, out in given.items():
        check(name, out, stacks[name], grid, codes, precision)
    words = f"C={channels} k=3 first=19 {form} {precision}, 8 blocks, {LABELS} labels"
    case = f"{words}, {bases} bases, {cpu_engine.isa()}, {torch.get_num_threads()} threads"
    report("both_strands", case, medians, PLAIN, dry)


def main() -> None:
    flags = parser(__doc__, rounds=21)
    flags.add_argument("--cases", default="", metavar="REGEX")
    args = flags.parse_args()
    precisions = [p for p in TOLERANCE if cpu_engine.why_not(p) is None]
    for channels, form, precision in product((64, 96), STRIDES, precisions):
        if re.search(args.cases, f"C={channels} {form} {precision}"):
            measure(channels, form, precision, args.rounds, args.dry)


if __name__ == "__main__":
    main()
