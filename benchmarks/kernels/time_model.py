"""A model of the GPU kernels' time, from what was compiled.

    python -m benchmarks.kernels.time_model [CASE...] [--launches]

What the engine launches is recorded without a GPU (launches.py), every kernel is compiled for sm_90
and its machine code read (sass.py). A launch takes the longest of:

- issue: instructions of a program's warps over four schedulers, one a cycle each;
- alu: those that run at half rate (integers, minima, conversions);
- tensor: cycles of products at the rate of the data sheet;
- port: bytes through shared memory, products' operands too, at 128 a cycle, no bank conflicts;
- chain: a warp by itself from its first to its last instruction, shared by the programs that a
  multiprocessor holds at a time (registers, shared memory, threads);
- hbm: bytes of all tensors, each once, at the rate of a copy;
- launch: what a kernel takes at least.

The first five are of the fullest multiprocessor. A case's time is the sum over launches, or that of
the host's calls if it is longer. Limits overlap ideally; bank conflicts, the power limit, imbalance
and copies to the host are left out, and a load takes as long from a cache as from memory. The model
has never been compared with a GPU: it says what a kernel waits for and which of two forms is better
by how much, not what will be measured.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.kernels import launches, sass
from benchmarks.kernels.launches import Kernel, Operator

sys.path.append(str(Path(__file__).resolve().parents[2] / "tests"))
from kernel_resources import variant  # noqa: E402
from support.ahead import MULTIPROCESSORS, cubin_of, registers_of, run_tool  # noqa: E402

# an H200. The clock is that of the data sheet's 989 TFLOP/s: 132 * 4096 operations a cycle
CLOCK = 1.83e9
BANDWIDTH = 4.3e12  # bytes a second of a large copy through PyTorch, read and written: measured
REGISTERS, THREADS, PROGRAMS = 65_536, 2_048, 32  # of a multiprocessor (CUDA guide, 9.0)
SHARED = 233_472  # bytes of a multiprocessor; a program takes 1 KiB beside its own
SCHEDULERS = 4
LEAST = 2.5e-6  # seconds of the smallest kernel behind another: assumed
HOST_OPERATOR, HOST_KERNEL = 5e-6, 15e-6  # seconds of a call on the host, Triton's longer: assumed
GENOME = 3.1e9  # bases of hg38

LIMITS = ("issue", "alu", "tensor", "port", "chain", "hbm", "launch")


def _steps(a: dict) -> list[float]:
    return [a["steps"] + 2 * (a["K"] - 1) // a["S"]]


def _first_steps(a: dict) -> list[float]:
    return [a["steps"] + (a["K"] - 1) // a["S"]]


def _walked(a: dict) -> list[float]:
    return [a["steps"]]


def _pieces(a: dict) -> list[float]:
    return [a["per_part"], a["chunk"] / a["M"]]


# how often the loops of a kernel run, in the order in which they begin; kernels without have none
TRIPS: dict[str, Callable[[dict], list[float]]] = {
    "block": _steps,
    "halved_block": _steps,
    "wgmma_block": _steps,
    "wgmma_halved_block": _steps,
    "first_block": _first_steps,
    "halved_first_block": _first_steps,
    "count_hits": lambda a: [min(a["walked"], math.ceil(a["outputs"] / a["M"]))],
    "start_backward": _pieces,
    "wgmma_conv": _walked,
    "wgmma_gradients": _walked,
    "weight_gradient": _pieces,
    "code_weight_gradient": _pieces,
    "halved_weight_gradient": _pieces,
    "sum_whole": lambda a: [math.ceil(a["parts"] / a["P"])] * a["HALVES"],
    # of the middle tap two, of a pair of mirrored taps four, which are taken for all
    "sum_halved": lambda a: [0.0] * 2 + [math.ceil(a["parts"] / a["P"])] * 4,
}


@dataclass(frozen=True)
class Program:
    """A compiled kernel: its code, and what a program of it takes of a multiprocessor."""

    code: sass.Loop
    registers: int
    shared: int  # bytes
    warps: int

    @property
    def resident(self) -> int:
        """Programs that a multiprocessor holds at a time."""
        registers = -(-self.registers // 8) * 8 * sass.WARP * self.warps
        return max(
            1,
            min(
                REGISTERS // registers,
                SHARED // (self.shared + 1024),
                THREADS // (sass.WARP * self.warps),
                PROGRAMS,
            ),
        )


@dataclass(frozen=True)
class Cost:
    """A launch: seconds by limit, and what they are made of."""

    name: str
    programs: int
    instructions: float  # of a warp, of its longest loop's round or of all there are
    seconds: dict[str, float]

    @property
    def limit(self) -> str:
        return max(self.seconds, key=self.seconds.get)

    @property
    def time(self) -> float:
        return self.seconds[self.limit]


def launch_time(program: Program, trips: list[float], programs: int, moved: int) -> dict:
    """Seconds by limit of ``programs`` programs that move ``moved`` bytes."""
    one = sass.count(program.code, trips, program.warps)
    fullest = math.ceil(programs / MULTIPROCESSORS)  # programs of one multiprocessor
    share = program.warps / SCHEDULERS
    cycles = {
        "issue": fullest * one.instructions * share,
        "alu": fullest * 2 * one.half_rate * share,
        "tensor": fullest * one.tensor,
        "port": fullest * one.port,
        "chain": math.ceil(fullest / program.resident) * one.chain,
    }
    seconds = {name: value / CLOCK for name, value in cycles.items()}
    return seconds | {"hbm": moved / BANDWIDTH, "launch": LEAST}


def step_of(program: Program) -> sass.Count:
    """A round of the loop that has most instructions, or the whole kernel."""
    loops = program.code.loops
    if not loops:
        return sass.count(program.code, [], program.warps)
    longest = max(loops, key=lambda loop: len(loop.body))
    trips = [1.0] * len(longest.loops)
    more = [sass.count(sass.Loop([longest]), [n, *trips], program.warps) for n in (4, 5)]
    values = zip(*(vars(count).values() for count in more), strict=True)
    return sass.Count(*(after - before for before, after in values))


class Compiled:
    """Programs of launches; each variant is compiled once."""

    def __init__(self) -> None:
        self._programs: dict[tuple, Program] = {}

    def __call__(self, kernel: Kernel) -> Program:
        key = kernel.name, variant(kernel.function, kernel.arguments), str(kernel.options)
        if key not in self._programs:
            cubin, shared = cubin_of(kernel.function, kernel.arguments, "sm_90", kernel.options)
            code = sass.parse(run_tool("nvdisasm", cubin, "-hex", "-c"))
            registers, _ = registers_of(cubin)
            warps = kernel.options["num_warps"]
            self._programs[key] = Program(code, registers, shared, warps)
        return self._programs[key]

    def cost(self, launch: Kernel | Operator) -> Cost:
        if isinstance(launch, Operator):
            seconds = {"hbm": launch.bytes / BANDWIDTH, "launch": LEAST}
            return Cost(launch.name, 1, 0, seconds)
        program = self(launch)
        trips = TRIPS.get(launch.name, lambda _: [])(launch.arguments)
        loops = len(program.code.loops)
        while len(trips) > loops and trips[0] == 1:  # the compiler knew, and made none of it
            trips = trips[1:]
        if len(trips) != loops:
            raise ValueError(
                f"{launch.name} was compiled to {loops} loops, and TRIPS knows {len(trips)}"
            )
        seconds = launch_time(program, trips, launch.programs, launch.bytes)
        return Cost(launch.name, launch.programs, step_of(program).instructions, seconds)


def device_time(costs: list[Cost]) -> float:
    return sum(cost.time for cost in costs)


def host_time(seen: list[Kernel | Operator]) -> float:
    return sum(HOST_KERNEL if isinstance(one, Kernel) else HOST_OPERATOR for one in seen)


@dataclass
class Case:
    """Something that runs: how often in what is asked for, and of one run the launches."""

    name: str
    times: float
    seen: list[Kernel | Operator]

    def seconds(self, compiled: Compiled) -> tuple[float, float]:
        """Of the device and of the host."""
        costs = [compiled.cost(one) for one in self.seen]
        return self.times * device_time(costs), self.times * host_time(self.seen)


def scan(stride: int, symmetric: bool) -> Case:
    """hg38 on both strands, with the hits of all labels."""
    seen, bases = launches.segment(stride, symmetric)
    form = "symmetric" if symmetric else "plain"
    name = f"hg38, both strands, stride {stride}, {form}"
    return Case(name, GENOME / bases, seen)


def step(symmetric: bool) -> Case:
    form = "symmetric" if symmetric else "plain"
    name = f"training step, 64 tiles of 32 kb, {form}"
    return Case(name, 1, launches.training_step(64, 1024, symmetric))


CASES: dict[str, Callable[[], Case]] = {
    "sparse": lambda: scan(32, False),
    "sparse-symmetric": lambda: scan(32, True),
    "dense": lambda: scan(1, False),
    "dense-symmetric": lambda: scan(1, True),
    "step": lambda: step(False),
    "step-symmetric": lambda: step(True),
}


def table(case: Case, compiled: Compiled) -> list[str]:
    """Rows of markdown: kernels by name, then all of PyTorch's operators together."""
    groups: dict[str, list[Cost]] = {}
    for one in case.seen:
        name = "PyTorch" if isinstance(one, Operator) else one.name
        groups.setdefault(name, []).append(compiled.cost(one))
    lines = [
        f"{case.name}: {case.times:.0f} times",
        "",
        "| kernel | launches | programs | instructions a step | limits | us |",
        "|---|---|---|---|---|---|",
    ]
    for name, costs in groups.items():
        bound: dict[str, float] = {}
        for cost in costs:
            bound[cost.limit] = bound.get(cost.limit, 0) + cost.time
        most = sorted(bound, key=bound.get, reverse=True)
        programs, steps = (
            _range([getattr(cost, key) for cost in costs]) for key in ("programs", "instructions")
        )
        if name == "PyTorch":
            programs = steps = ""
        spent = device_time(costs) * 1e6
        row = name, len(costs), programs, steps, ", ".join(most), f"{spent:.0f}"
        lines.append(f"| {' | '.join(map(str, row))} |")
    device, host = case.seconds(compiled)
    lines += ["", f"device {_words(device)}, host {_words(host)}"]
    return lines


def _range(values: list[float]) -> str:
    low, high = min(values), max(values)
    return f"{low:.0f}" if low == high else f"{low:.0f}-{high:.0f}"


def _words(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds > 0.1 else f"{seconds * 1e3:.2f} ms"


def details(case: Case, compiled: Compiled) -> list[str]:
    """A line for every launch of a kernel: microseconds by limit."""
    lines = []
    for one in case.seen:
        cost = compiled.cost(one)
        parts = "  ".join(f"{key} {value * 1e6:.1f}" for key, value in cost.seconds.items())
        lines.append(f"{cost.name:24} {cost.programs:7}  {parts}")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"{', '.join(CASES)}; default all")
    parser.add_argument("--launches", action="store_true", help="every launch, by limit")
    args = parser.parse_args()
    unknown = [name for name in args.cases if name not in CASES]
    if unknown:
        parser.error(f"no case {', '.join(unknown)}; there are {', '.join(CASES)}")
    compiled, sums = Compiled(), []
    for name in args.cases or CASES:
        case = CASES[name]()
        shown = details(case, compiled) if args.launches else []
        print("\n".join([*table(case, compiled), *shown, ""]))
        sums.append((case.name, *case.seconds(compiled)))
    print("| | device | host |\n|---|---|---|")
    for name, device, host in sums:
        print(f"| {name} | {_words(device)} | {_words(host)} |")


if __name__ == "__main__":
    main()
