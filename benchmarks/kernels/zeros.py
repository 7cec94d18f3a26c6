"""What leaving zeros out gains on the processor: `python -m benchmarks.kernels.zeros`.

density   one convolution over lists of its inputs that are not 0, and how many times faster that
          is than the dense kernel, or the halved one of a symmetric network, by the share of inputs
          that are there: where the thresholds of csrc/cpu/lists.cpp come from. With what surrounds
          the convolution, a look-up of 3 taps and a head of one label.
models    encode-v1, one strand, with lists and without, on random letters and on human sequence.
strands   encode-v1 on both strands against a symmetric network of its width in one pass: direct,
          halved, and halved with lists. Pairs of the symmetric one have encode-v1's filters; their
          biases are moved, layer by layer, until as many activations are 0 as in encode-v1.
          `--others`: and (e) the fastest of the other runtimes (cpu_sides.py) in each precision,
          on the plain network's two strands and on the symmetric one's whole weights in one pass.

One thread, its processor time, medians of sides that take turns. Cases are chosen by name; rows go
to results/zeros.csv, unless `--dry`.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from unittest import mock

import torch
from torch import Tensor

import tcnfast
from benchmarks.harness import GENOME, PROCESSOR, append, compare, parser, report, show
from benchmarks.kernels.others import Network, fastest_other
from tcnfast.engines import cpu_engine, pairs, reference
from tcnfast.engines.cpu_engine import ISA_VARIABLE
from tcnfast.engines.grid import StackGrid, stack_grid
from tcnfast.engines.reference import StackWeights
from tcnfast.model.tcn import TCN, TCNConfig

RUNS = (("avx2", "fp32"), ("avx512", "fp32"), ("avx512_bf16", "bf16"))
BASES = {32: 2**18, 1: 2**14}
SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
WIDTHS = ((64, 3), (128, 3), (64, 5))


def here() -> list[tuple[str, str]]:
    return [run for run in RUNS if cpu_engine.isas().get(run[0], "unknown") is None]


def prepared(isa: str, precision: str, weights: StackWeights, grid: StackGrid, lists=None):
    with mock.patch.dict(os.environ, {ISA_VARIABLE: isa}):
        return cpu_engine.prepare(weights, grid, precision, lists=lists)


def letters(n: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(4, (1, n), dtype=torch.uint8, generator=generator)


def human(n: int) -> Tensor:
    """The middle of a stretch of chr20."""
    genome = tcnfast.Genome(GENOME)
    name, size = next(iter(genome.sizes.items()))
    return torch.from_numpy(genome.codes(name, (size - n) // 2, (size + n) // 2).copy())[None]


def with_share(weights: StackWeights, codes: Tensor, share: float) -> StackWeights:
    """One block, biases such that each channel is there at ``share`` of the positions between its
    convolutions."""
    (block,) = weights.blocks
    one_hot = reference.one_hot(codes, torch.float32)
    before = reference.conv(one_hot, block.weight1, block.bias1)
    where = before.flatten(2).quantile(1 - share, dim=2).mean(0)
    if weights.symmetric:
        where = (where + where.flip(0)) / 2
    bias1 = block.bias1 - where
    return replace(weights, blocks=(replace(block, bias1=bias1),))


@torch.no_grad()
def density(args: argparse.Namespace) -> None:
    codes = letters(2**14)
    for channels, taps in WIDTHS:
        for symmetric in (False, True):
            torch.manual_seed(0)
            config = TCNConfig(
                labels=["a"],
                channels=channels,
                kernel_size=taps,
                blocks=1,
                symmetric=symmetric,
            )
            plain = TCN(config).eval().folded()
            grid = stack_grid(taps, 1, 1)
            form = "halved" if symmetric else "direct"
            for isa, precision in here():
                listed, gains = {}, {}
                for share in SHARES:
                    weights = with_share(plain, codes[:, :8192], share)
                    runs = {
                        lists: prepared(isa, precision, weights, grid, lists)
                        for lists in (False, True)
                    }
                    sides = {lists: lambda run=run: run(codes) for lists, run in runs.items()}
                    _, medians = compare(sides, args.rounds, PROCESSOR)
                    side = f"{share} of inputs"
                    listed[side], gains[side] = medians[True], medians[False] / medians[True]
                case = f"C={channels} k={taps}, lists against {form}, {isa} {precision}"
                rows = [
                    {"side": side, "median_s": f"{listed[side]:.4g}", "ratio": f"{gain:.2f}"}
                    for side, gain in gains.items()
                ]
                print(f"# {case}")
                show(rows)
                if not args.dry:
                    append("zeros", case, rows)


@torch.no_grad()
def models(args: argparse.Namespace) -> None:
    model = tcnfast.load_model("encode-v1")
    for stride, bases in BASES.items():
        grid, weights = model.config.grid(stride), model.folded()
        length = bases + grid.receptive_field - stride
        for isa, precision in here():
            runs = {
                name: prepared(isa, precision, weights, grid, lists)
                for name, lists in (("without lists", False), ("with lists", None))
            }
            for name, codes in (("random", letters(length)), ("chr20", human(length))):
                sides = {side: lambda run=run, x=codes: run(x) for side, run in runs.items()}
                given, medians = compare(sides, args.rounds, PROCESSOR)
                assert torch.equal(*given.values())
                case = f"encode-v1, {bases} bp of {name}, s={stride}, {isa} {precision}"
                report("zeros", case, medians, "without lists", args.dry)


def shares_of(weights: StackWeights, grid: StackGrid, codes: Tensor) -> list[list[float]]:
    """Of each block: shares of activations that are not 0 between its convolutions and behind."""
    x, shares = reference.one_hot(codes, torch.float32), []
    for block, geometry in zip(weights.blocks, grid.blocks, strict=True):
        hidden = reference.conv(x, block.weight1, block.bias1, geometry.dilation).relu_()
        x = reference.block(x, block, geometry)
        shares.append([float((t != 0).float().mean()) for t in (hidden, x)])
    return shares


def twin(weights: StackWeights, grid: StackGrid) -> StackWeights:
    """A symmetric network with half of the filters of ``weights`` and, nearly, its zeros."""
    codes = letters(2**13)
    wanted = shares_of(weights, grid, codes)

    def own_flip(tensor, axis=0, axes=()):
        return pairs.whole(pairs.first_half(tensor, axis), *axes)

    x, blocks = reference.one_hot(codes, torch.float32), []
    for block, geometry, goal in zip(weights.blocks, grid.blocks, wanted, strict=True):
        block = replace(
            block,
            weight1=own_flip(block.weight1),
            bias1=own_flip(block.bias1),
            weight2=own_flip(block.weight2),
            bias2=own_flip(block.bias2),
            residual=block.residual and tuple(map(own_flip, block.residual)),
        )

        def first(b, x=x, d=geometry.dilation):
            return reference.conv(x, b.weight1, b.bias1, d).relu_()

        def both(b, x=x, geometry=geometry):
            return reference.block(x, b, geometry)

        block = moved(block, "bias1", first, goal[0])
        block = moved(block, "bias2", both, goal[1])
        x = both(block)
        blocks.append(block)
    head = own_flip(weights.head_weight, 1, (1,))
    return replace(weights, blocks=tuple(blocks), head_weight=head, symmetric=True)


def moved(block, bias: str, rows, share: float):
    """``bias`` of all channels moved until ``share`` of ``rows`` are not 0, or nearly."""
    start, low, high = getattr(block, bias), -50.0, 50.0
    for _ in range(20):
        middle = (low + high) / 2
        block = replace(block, **{bias: start + middle})
        few = float((rows(block) != 0).float().mean()) < share
        low, high = (middle, high) if few else (low, middle)
    return block


@torch.no_grad()
def strands(args: argparse.Namespace) -> None:
    model = tcnfast.load_model("encode-v1")
    plain = model.folded()
    paired = twin(plain, model.config.grid(32))
    print("shares not 0, encode-v1 and its twin:")
    for network in (plain, paired):
        found = shares_of(network, model.config.grid(32), letters(2**13))
        print(" ".join(f"{share:.3f}" for block in found for share in block))
    for stride, bases in BASES.items():
        grid, rivals = model.config.grid(stride), {}
        codes = letters(bases + grid.receptive_field - stride)
        both = plain, plain.mirrored(grid)
        direct = (replace(paired, symmetric=False),)
        networks = {
            "(a) plain, both strands": (both, False),
            "(a) with lists": (both, None),
            "(b) symmetric, direct": (direct, False),
            "(c) symmetric, halved": ((paired,), False),
            "(d) symmetric, halved, lists": ((paired,), None),
        }
        for isa, precision in here():
            runs = {
                name: [prepared(isa, precision, weights, grid, lists) for weights in stacks]
                for name, (stacks, lists) in networks.items()
            }
            sides = {
                name: lambda runs=r, x=codes: [run(x) for run in runs] for name, r in runs.items()
            }
            if args.others and precision not in rivals:
                rivals[precision] = others(model.config, stride, both, direct, precision, codes[0])
            sides |= rivals.get(precision, {})
            _, medians = compare(sides, args.rounds, PROCESSOR)
            case = f"encode-v1 and its symmetric twin, {bases} bp, s={stride}, {isa} {precision}"
            report("zeros", case, medians, "(a) plain, both strands", args.dry)


def others(config: TCNConfig, stride: int, both, direct, precision: str, codes: Tensor) -> dict:
    """The sides (e)."""
    form = "dense" if stride == 1 else "pruned"
    other = fastest_other(Network(config, both[0]), form, precision, codes)
    plain = [other.scorer(Network(config, weights)) for weights in both]
    symmetric = other.scorer(Network(config, *direct))
    return {
        f"(e) {other.key}, plain, both strands": lambda: [run(codes) for run in plain],
        f"(e) {other.key}, symmetric": lambda: symmetric(codes),
    }


CASES = {"density": density, "models": models, "strands": strands}


def main() -> None:
    flags = parser(__doc__, rounds=9)
    flags.add_argument("cases", nargs="*", default=list(CASES), metavar="CASE")
    flags.add_argument("--others", action="store_true", help="other runtimes too")
    args = flags.parse_args()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for case in args.cases:
        CASES[case](args)
    torch.set_num_threads(threads)


if __name__ == "__main__":
    main()
