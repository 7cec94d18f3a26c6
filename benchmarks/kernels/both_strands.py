"""Scores of both strands on the processor: `python -m benchmarks.kernels.both_strands`.

A plain network scores each strand by itself; a symmetric one of its width once: with all products,
with half of them, and with lists of the inputs that are not 0 (tcnfast/bench/both_strands.py).

shapes     networks of 64 and 96 channels, first kernel 19, as they are drawn; no lists.
encode     encode-v1 and a symmetric network with its width and zeros, first on random letters, then
           on human sequence; lists give the plain network the same bits. `--others`: and (e) the
           fastest other runtime (cpu_sides.py) in each precision, on the plain network's two
           strands and on the symmetric one's whole weights in one pass.
lists      one convolution over lists of its inputs that are not 0, and how many times faster that
           is than the dense kernel, or the halved one of a symmetric network, by the share of
           inputs that are there (thresholds of csrc/cpu/lists.cpp). With what surrounds the
           convolution, a look-up of 3 taps and a head of one label; one thread.
cherimoya  encode-v1 beside Cherimoya (PyPI, MIT; `pip install cherimoya`), whose convolutions are
           depthwise: 9 blocks, 128 channels, random weights, PyTorch eager and compiled. What
           differs, and is not made equal: it has one label, a profile at every base and a count,
           ours 112 labels, so seconds are given a base and a base and label; its norm goes over the
           window, so windows of 2,114 bases give the middle 1,000 and overlap; its kernels are for
           GPUs.

Codes and logits in memory, dense and every 32nd score. Sides are held against float64 and take
turns; medians of the processor time of all threads (cherimoya: of the clock). `shapes` and `encode`
run each instruction set, `encode` on one thread. Cases are chosen by name, and of these `--only`
(a regular expression on "C=64 s=32 avx2 fp32") picks; rows go to results/both_strands.csv,
zeros.csv and cherimoya.csv, unless `--dry`.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.metadata import version
from itertools import product
from unittest import mock

import torch
from torch import Tensor

import tcnfast
from benchmarks.harness import GENOME, PROCESSOR, append, compare, parser, report, show
from benchmarks.kernels.cpu_sides import Network, fastest_other
from tcnfast.bench.both_strands import DIRECT, PLAIN, Way, ways
from tcnfast.bench.symmetric_twin import random_letters, shares_of, symmetric_twin
from tcnfast.engines import cpu_engine, reference
from tcnfast.engines.backend import Spec
from tcnfast.engines.grid import StackGrid, stack_grid
from tcnfast.engines.plan import Plan
from tcnfast.engines.reference import StackWeights
from tcnfast.model.tcn import TCN, TCNConfig

RUNS = (("avx2", "fp32"), ("avx512", "fp32"), ("avx512_bf16", "bf16"), ("amx", "bf16"))
BASES = {32: 2**18, 1: 2**14}  # of a call, by stride, at C=64
CHECKED = 64  # scores
TOLERANCE = {"fp32": 1e-5, "bf16": 5e-2}  # of the spread of the scores
SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)  # of inputs that are not 0
LISTED = ((64, 3), (128, 3), (64, 5))  # channels and taps
WINDOW, PROFILE = 2114, 1000  # of Cherimoya, bases
BATCH = 8  # of its windows; of 1, 8 and 32 the fastest here
CHERIMOYA = ("Cherimoya eager", "Cherimoya torch.compile")


def runs_here(args: argparse.Namespace, words: str) -> Iterator[tuple[int, str, str]]:
    """Stride, instruction set and precision of what is to be measured."""
    for stride, (isa, precision) in product(BASES, RUNS):
        wanted = re.search(args.only, f"{words} s={stride} {isa} {precision}")
        if wanted and cpu_engine.isas().get(isa, "unknown") is None:
            yield stride, isa, precision


def measured(sides: dict[str, Way], grid: StackGrid, codes: Tensor, isa, precision, more, rounds):
    """What each side gives, checked, and medians; ``more``: sides of others, and how they run."""
    spec = Spec(torch.device("cpu"), precision)
    with mock.patch.dict(os.environ, {cpu_engine.ISA_VARIABLE: isa}):
        runs = {name: way.prepare("cpu", grid, spec) for name, way in sides.items()}
    runs |= {name: run for name, (_, run) in more.items()}
    calls = {name: lambda run=run: run(codes) for name, run in runs.items()}
    given, medians = compare(calls, rounds, PROCESSOR)
    first = codes[:, : grid.receptive_field + (CHECKED - 1) * grid.stride]
    for name, way in (sides | {name: way for name, (way, _) in more.items()}).items():
        want = way.exact(first, grid)
        error = (given[name][:, :CHECKED].double() - want).abs().max() / (want.max() - want.min())
        assert error <= TOLERANCE[precision], f"{name}: off by {error:.1e}"
    return given, medians


@torch.no_grad()
def shapes(args: argparse.Namespace) -> None:
    labels = [f"label{i}" for i in range(112)]
    for channels in (64, 96):
        for stride, isa, precision in runs_here(args, f"C={channels}"):
            shape, folded = dict(labels=labels, channels=channels, first_kernel=19), []
            for symmetric in (False, True):
                torch.manual_seed(0)
                model = TCN(TCNConfig(**shape, symmetric=symmetric)).eval()
                folded.append(model.folded())
            grid, bases = model.config.grid(stride), BASES[stride] * 64 // channels
            sides = {n: way for n, way in ways(*folded, grid).items() if "lists" not in n}
            codes = torch.randint(0, 4, (1, bases + grid.receptive_field - stride)).to(torch.uint8)
            medians = measured(sides, grid, codes, isa, precision, {}, args.rounds)[1]
            case = f"C={channels} k=3 first=19, 8 blocks, 112 labels, {bases} bases, s={stride}"
            case += f", {isa} {precision}, {torch.get_num_threads()} threads"
            report("both_strands", case, medians, PLAIN, args.dry)


def human(n: int) -> Tensor:
    """The middle of a stretch of chr20."""
    genome = tcnfast.Genome(GENOME)
    name, size = next(iter(genome.sizes.items()))
    return torch.from_numpy(genome.codes(name, (size - n) // 2, (size + n) // 2).copy())[None]


@torch.no_grad()
def encode(args: argparse.Namespace) -> None:
    model = tcnfast.load_model("encode-v1")
    plain = model.folded()
    twin = symmetric_twin(plain, model.config.grid(32))
    print("shares not 0, encode-v1 and its twin:")
    for network in (plain, twin):
        found = shares_of(network, model.config.grid(32), random_letters(2**13))
        print(" ".join(f"{share:.3f}" for block in found for share in block))
    rivals = {}
    for stride, isa, precision in runs_here(args, "encode-v1"):
        grid = model.config.grid(stride)
        sides, length = ways(plain, twin, grid), BASES[stride] + grid.receptive_field - stride
        for name, codes in (("random", random_letters(length)), ("chr20", human(length))):
            more = {}
            if args.others and name == "random":
                key = stride, precision
                if key not in rivals:
                    rivals[key] = others(model.config, sides, grid, precision, codes)
                more = rivals[key]
            given, medians = measured(sides, grid, codes, isa, precision, more, args.rounds)
            assert torch.equal(given[PLAIN], given["(a) with lists"])
            case = f"encode-v1 and its symmetric twin, {BASES[stride]} bp of {name}, s={stride}"
            report("zeros", f"{case}, {isa} {precision}", medians, PLAIN, args.dry)


def others(
    config: TCNConfig, sides: dict[str, Way], grid: StackGrid, precision: str, codes: Tensor
) -> dict[str, tuple[Way, Callable]]:
    """The sides (e)."""
    form = "dense" if grid.stride == 1 else "pruned"
    other, found = None, {}
    for name, way in (("plain, both strands", sides[PLAIN]), ("symmetric", sides[DIRECT])):
        networks = [Network(config, weights) for weights in way.stacks]
        other = other or fastest_other(networks[0], form, precision, codes[0])
        runs = [other.scorer(network) for network in networks]
        score = lambda codes, runs=runs: sum(run(codes[0]) for run in runs)[None] / len(runs)  # noqa: E731
        found[f"(e) {other.key}, {name}"] = way, score
    return found


def cherimoya_side(compiled: bool, precision: str) -> Callable[[], object]:
    """Both strands of a batch of windows."""
    from cherimoya import Cherimoya

    model = Cherimoya(compile=compiled, compile_mode="default", random_state=0).eval()
    codes = torch.randint(0, 4, (BATCH, WINDOW))
    one_hot = torch.eye(4)[codes].transpose(1, 2).contiguous()

    def run() -> list[Tensor]:
        bf16 = torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16")
        with torch.inference_mode(), bf16:
            return [model(x)[0] for x in (one_hot, one_hot.flip(1, 2))]

    return run


def cherimoya(args: argparse.Namespace) -> None:
    try:
        case = f"both strands, {torch.get_num_threads()} threads, cherimoya {version('cherimoya')}"
    except ImportError:
        print("left out: cherimoya is not installed")
        return
    model, bases = tcnfast.load_model("encode-v1").eval(), 2**17
    for precision in ("fp32", "bf16"):
        if cpu_engine.why_not(precision) or not re.search(args.only, precision):
            continue
        sides = {name: cherimoya_side(name == CHERIMOYA[1], precision) for name in CHERIMOYA}
        for stride in BASES:
            plan = Plan(model, "cpu", precision, stride, strand="both")
            codes = random_letters(bases + model.receptive_field - stride)
            sides[f"encode-v1, stride {stride}"] = lambda plan=plan, codes=codes: plan(codes)
        _, medians = compare(sides, args.rounds)
        rows = []
        for side, seconds in medians.items():
            peer = side in CHERIMOYA
            scored, count = (BATCH * PROFILE, 1) if peer else (bases, len(model.labels))
            ns = 1e9 * seconds / scored
            rows.append(
                {
                    "side": side,
                    "precision": {"fp32": "float32", "bf16": "bfloat16"}[precision],
                    "labels": count,
                    "ns_a_base": f"{ns:.4g}",
                    "ns_a_base_and_label": f"{ns / count:.4g}",
                }
            )
        show(rows)
        if not args.dry:
            append("cherimoya", case, rows)


@torch.no_grad()
def lists(args: argparse.Namespace) -> None:
    codes = random_letters(2**14)
    for (channels, taps), symmetric in product(LISTED, (False, True)):
        torch.manual_seed(0)
        shape = dict(channels=channels, kernel_size=taps, blocks=1, symmetric=symmetric)
        plain, grid = TCN(TCNConfig(labels=["a"], **shape)).eval().folded(), stack_grid(taps, 1, 1)
        for isa, precision in RUNS[:3]:
            if cpu_engine.isas().get(isa, "unknown") is not None:
                continue
            rows = []
            for share in SHARES:
                weights, sides = with_share(plain, codes[:, :8192], share), {}
                with mock.patch.dict(os.environ, {cpu_engine.ISA_VARIABLE: isa}):
                    for listed in (False, True):
                        run = cpu_engine.prepare(weights, grid, precision, lists=listed)
                        sides[listed] = lambda run=run: run(codes)
                _, medians = compare(sides, args.rounds, PROCESSOR)
                gain = f"{medians[False] / medians[True]:.2f}"
                side = f"{share} of inputs"
                rows.append({"side": side, "median_s": f"{medians[True]:.4g}", "ratio": gain})
            form = "halved" if symmetric else "direct"
            case = f"C={channels} k={taps}, lists against {form}, {isa} {precision}"
            print(f"# {case}")
            show(rows)
            if not args.dry:
                append("zeros", case, rows)


def with_share(weights: StackWeights, codes: torch.Tensor, share: float) -> StackWeights:
    """One block, biases such that each channel is there at ``share`` of the positions between its
    convolutions."""
    (block,) = weights.blocks
    one_hot = reference.one_hot(codes, torch.float32)
    before = reference.conv(one_hot, block.weight1, block.bias1)
    where = before.flatten(2).quantile(1 - share, dim=2).mean(0)
    if weights.symmetric:
        where = (where + where.flip(0)) / 2
    return replace(weights, blocks=(replace(block, bias1=block.bias1 - where),))


CASES = {"shapes": shapes, "encode": encode, "lists": lists, "cherimoya": cherimoya}
ONE_THREAD = ("encode", "lists")


def main() -> None:
    flags = parser(__doc__, rounds=9)
    flags.add_argument("cases", nargs="*", default=list(CASES), metavar="CASE")
    flags.add_argument("--only", default="", metavar="REGEX")
    flags.add_argument("--others", action="store_true", help="other runtimes too")
    args = flags.parse_args()
    threads = torch.get_num_threads()
    for case in args.cases:
        torch.set_num_threads(1 if case in ONE_THREAD else threads)
        CASES[case](args)


if __name__ == "__main__":
    main()
