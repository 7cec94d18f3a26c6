"""A model of the GPU kernels' time, from what was compiled.

    python -m benchmarks.kernels.time_model [CASE...] [--launches]

What the engine launches is recorded without a GPU: it runs on tensors without memory ("meta"), as
on a chip with 132 multiprocessors. Every kernel is compiled for sm_90 and its machine code read
(sass.py); of an operator of PyTorch the bytes count that it reads and writes, each once, and views
are none. A launch takes the longest of:

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
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.kernels.sass import (
    BANDWIDTH,
    LEAST,
    TRIPS,
    Cost,
    Program,
    launch_time,
    parse,
    step_of,
)
from tcnfast.engines import backend, ops, training_pass, triton_engine
from tcnfast.engines.plan import Plan
from tcnfast.engines.triton_head import ROWS
from tcnfast.model.tcn import TCN, TCNConfig
from tcnfast.scan.compact import CompactDevice
from tcnfast.scan.pieces import Batch, Wanted, Window
from tcnfast.scan.stages import Stages
from tcnfast.train.losses import masked_bce

sys.path.append(str(Path(__file__).resolve().parents[2] / "tests"))
from kernel_resources import variant  # noqa: E402
from support.ahead import cubin_of, recorded, registers_of, run_tool  # noqa: E402

META = torch.device("meta")
LABELS = 119  # of the bundled network
CHANNELS, TAPS = 64, 15
# operators that launch nothing, beside views
FREE = ("empty", "detach", "alias", "lift_fresh", "_unsafe_view", "record_stream", "resize_")
HITS = 2**-9  # of all logits: what a scan with cutoffs finds at most
HIT_TILES = {1: 1 / 8, 32: 1 / 2}  # by stride: of tiles of 64 steps, how many have one
HOST_OPERATOR, HOST_KERNEL = 5e-6, 15e-6  # seconds of a call on the host, Triton's longer: assumed
GENOME = 3.1e9  # bases of hg38


@dataclass
class Kernel:
    """A launch of a Triton kernel."""

    function: object
    arguments: dict
    options: dict
    grid: tuple[int, ...]

    @property
    def name(self) -> str:
        return self.function.__name__

    @property
    def programs(self) -> int:
        return int(np.prod(self.grid))

    @property
    def bytes(self) -> int:
        return _bytes(self.arguments.values())


@dataclass
class Operator:
    """A call of an operator of PyTorch that launches something."""

    name: str
    bytes: int


class _Operators(TorchDispatchMode):
    """Notes operators; runs the block's operators by their kernels, not by their fakes, and gives
    results of known size where meta tensors have none."""

    def __init__(self, seen: list, hit_tiles: float) -> None:
        super().__init__()
        self.seen, self.hit_tiles = seen, hit_tiles

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function._schema.name
        own = {"tcnfast::block": ops.block, "tcnfast::block_backward": ops.block_backward}
        if name in own:
            with self:
                return own[name]._init_fn(*args, **(kwargs or {}))
        if name == "aten::nonzero":
            found = max(1, int(args[0].numel() * self.hit_tiles))
            result = torch.empty(found, args[0].ndim, dtype=torch.int64, device=META)
        elif name in ("aten::item", "aten::_local_scalar_dense"):  # the last sum of hits' counts
            result = self.hits
        elif name == "aten::equal":  # heads of two strands
            return True
        else:
            if name == "aten::cumsum":
                self.hits = max(1, int(args[0].numel() * ROWS * LABELS * HITS))
            result = function(*args, **(kwargs or {}))
        returned = function._schema.returns
        view = any(r.alias_info and not r.alias_info.is_write for r in returned)
        name = name.removeprefix("aten::")
        if not view and not name.startswith(FREE):
            self.seen.append(Operator(name, _moved(name, (args, kwargs), result)))
        return result


def _moved(name: str, arguments, result) -> int:
    """Bytes that an operator reads and writes; one in place does both."""
    read, written = (_bytes(tree_leaves(values)) for values in (arguments, result))
    if name == "copy_":  # its target is only written
        return read
    if name == "index":  # of what it reads, as much as it gives
        return read - _bytes(tree_leaves(arguments)[:1]) + 2 * written
    return read + written


def _bytes(values) -> int:
    """Of tensors, each once; views of one memory at their own sizes."""
    tensors = {id(v): v for v in values if isinstance(v, Tensor) and v.device == META}
    return sum(t.numel() * t.element_size() for t in tensors.values())


def _kernel(function, arguments: dict, options: dict, grid: tuple[int, ...]) -> Kernel:
    """Of tensors other objects of the same memory: a gradient that is held elsewhere would be
    copied by autograd, which without us takes it."""
    tensors = {id(v): v.detach() for v in arguments.values() if isinstance(v, Tensor)}
    arguments = {name: tensors.get(id(v), v) for name, v in arguments.items()}
    return Kernel(function, arguments, options, grid)


@contextmanager
def noted(hit_tiles: float = 1.0) -> Iterator[list[Kernel | Operator]]:
    """The launches of what runs inside, in bf16. ``hit_tiles``: of tiles of steps, those with a
    hit."""
    seen: list = []
    with ExitStack() as stack:
        enter = stack.enter_context
        enter(recorded("sm_90", lambda *launch: seen.append(_kernel(*launch))))
        enter(mock.patch.object(triton_engine, "why_not_here", lambda *_: None))
        enter(mock.patch.object(backend, "choose_device", lambda _: META))
        enter(mock.patch.object(training_pass, "precision_now", lambda _: "bf16"))
        enter(mock.patch.dict("os.environ", {backend.VARIABLE: "triton"}))
        enter(_Operators(seen, hit_tiles))
        yield seen


def _network(symmetric: bool, labels: int = LABELS, **options) -> TCN:
    names = [f"label{i}" for i in range(labels)]
    symmetric = {"symmetric": True} if symmetric else {}
    config = TCNConfig(labels=names, channels=CHANNELS, first_kernel=TAPS, **symmetric, **options)
    return TCN(config)


class _Member:
    """A network that is folded without memory. As if symmetric: its weights then are pairs'."""

    def __init__(self, symmetric: bool) -> None:
        model = _network(False).eval()
        self.config, self.receptive_field = model.config, model.receptive_field
        self.labels, self.members = model.config.labels, [self]
        weights = model.folded().to(torch.device("cpu"), torch.float32)
        self._weights = replace(weights, symmetric=symmetric)

    def folded(self):
        return self._weights


class _Scorer:
    """As ``scan.pipeline.Scorer`` with both strands."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.plans, self.label_bin = plan, [plan], 200

    def scores(self, codes: Tensor) -> Tensor:
        return self.plan(codes)


def segment(stride: int, symmetric: bool) -> tuple[list[Kernel | Operator], int]:
    """What a scan launches for one segment, both strands, hits of all labels and no tracks; and the
    bases that the segment scores."""
    member = _Member(symmetric)
    nothing = np.empty(0)
    cutoffs = np.zeros(LABELS, np.float32)
    window = Window(stride, member.receptive_field, 200)
    with noted(HIT_TILES[stride]) as seen, torch.inference_mode():
        scorer = _Scorer(Plan(member, precision="bf16", stride=stride, strand="both"))
        device = CompactDevice(scorer, Wanted(cutoffs, nothing, nothing), window, Stages())
        bases = device.segment_bases(scorer.plan.segment_bases, LABELS)
        steps = bases // stride
        codes, unknown, slot = device.buffers(1, window.length(steps), steps)
        seen.clear()  # of making ready
        on_host = {"_segment": lambda *_: None, "_check": lambda *_: None}
        with mock.patch.multiple(CompactDevice, **on_host):
            device.collect(device.submit(Batch([0], codes, unknown, slot)))
    return seen, bases


def training_step(tiles: int, steps: int, symmetric: bool) -> list[Kernel | Operator]:
    """A step at stride 32: forward, masked BCE, backward, clipped AdamW. ``steps`` of a tile."""
    stride = 32
    model = _network(symmetric, dropout=0.1).to(META)
    model.train()
    length = model.receptive_field + (steps - 1) * stride
    codes = torch.empty(tiles, length, dtype=torch.uint8, device=META)
    targets = torch.empty(tiles, steps, LABELS, dtype=torch.uint8, device=META)
    with noted() as seen:
        loss = masked_bce(model.dense(codes, stride).float(), targets)
        loss.backward()
        # on a GPU: gradients clipped by kernels that take lists, and a fused AdamW for each of two
        # groups (reads value, gradient and two moments, writes three)
        size = sum(p.numel() for p in model.parameters()) * 4
        names = {"_foreach_norm": 1, "stack": 0, "linalg_vector_norm": 0, "_foreach_mul_": 2}
        seen += [Operator(name, times * size) for name, times in names.items()]
        seen += [Operator("_fused_adamw_", 7 * size // 2)] * 2
    return seen


class Compiled:
    """Programs of launches; each variant is compiled once."""

    def __init__(self) -> None:
        self._programs: dict[tuple, Program] = {}

    def __call__(self, kernel: Kernel) -> Program:
        key = kernel.name, variant(kernel.function, kernel.arguments), str(kernel.options)
        if key not in self._programs:
            cubin, shared = cubin_of(kernel.function, kernel.arguments, "sm_90", kernel.options)
            code = parse(run_tool("nvdisasm", cubin, "-hex", "-c"))
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
    """Something that runs: how often in what is asked for, and of one run the"""

    name: str
    times: float
    seen: list[Kernel | Operator]

    def seconds(self, compiled: Compiled) -> tuple[float, float]:
        """Of the device and of the host."""
        costs = [compiled.cost(one) for one in self.seen]
        return self.times * device_time(costs), self.times * host_time(self.seen)


def scan(stride: int, symmetric: bool) -> Case:
    """hg38 on both strands, with the hits of all labels."""
    seen, bases = segment(stride, symmetric)
    form = "symmetric" if symmetric else "plain"
    name = f"hg38, both strands, stride {stride}, {form}"
    return Case(name, GENOME / bases, seen)


def step(symmetric: bool) -> Case:
    form = "symmetric" if symmetric else "plain"
    name = f"training step, 64 tiles of 32 kb, {form}"
    return Case(name, 1, training_step(64, 1024, symmetric))


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
