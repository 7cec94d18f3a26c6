"""What the tests of the C++ engine share: what it can run here, random stacks, and their truth."""

from dataclasses import replace
from functools import cache
from typing import NamedTuple

import pytest
import torch
from truth import in_precision, truth

from tcnfast.engines import cpu_engine, pairs
from tcnfast.engines.grid import stack_grid
from tcnfast.engines.reference import BlockWeights, StackWeights

# Scores do not depend on the rest of the machine, but the tests need the engine.
needs_engine = pytest.mark.skipif(cpu_engine._C is None, reason=str(cpu_engine.why_not("fp32")))

ISAS = [name for name, reason in cpu_engine.isas().items() if reason is None]
# sets with bf16 products have the fp32 of the set below them: test_engine_bits
ENGINES = [(isa, "fp32") for isa in ISAS if isa not in cpu_engine.BF16_ISAS]
ENGINES += [(isa, "bf16") for isa in ISAS if isa in cpu_engine.BF16_ISAS]

every_engine = pytest.mark.parametrize("isa, precision", ENGINES, ids=map("-".join, ENGINES))


class Shape(NamedTuple):
    """A stack, the scores wanted of it, and a batch of ``steps`` scores and ``rest`` bases more."""

    channels: int = 5
    kernel_size: int = 3
    first_kernel: int = 3
    blocks: int = 4
    labels: int = 3
    stride: int = 1
    alignment: str = "centred"
    strand: str = "+"
    batch: int = 2
    steps: int = 20
    rest: int = 0

    @property
    def grid(self):
        return stack_grid(self.kernel_size, self.blocks, self.stride, self.first_kernel)

    @property
    def length(self):
        return self.grid.receptive_field + (self.steps - 1) * self.stride + self.rest


def random_weights(shape, seed=0):
    """Folded weights, activations of order 1. Shapes that no TCNConfig allows are welcome."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*size, std):
        return torch.randn(size, generator=generator) * std

    def kernel(outputs, inputs, taps, gain=2.0):
        return normal(outputs, inputs, taps, std=(gain / (inputs * taps)) ** 0.5)

    c, blocks = shape.channels, []
    for index, geometry in enumerate(shape.grid.blocks):
        first, second = geometry.kernel_sizes
        residual = None
        if index == 0 and c != 4:
            residual = normal(c, 4, std=1.0), normal(c, std=0.3)
        blocks.append(
            BlockWeights(
                kernel(c, c if index else 4, first, gain=2.0 if index else 8.0),
                normal(c, std=0.3),
                kernel(c, c, second, gain=0.5),
                normal(c, std=0.3),
                residual,
                geometry.residual_tap(shape.alignment),
            )
        )
    return StackWeights(
        tuple(blocks), normal(shape.labels, c, std=0.5), normal(shape.labels, std=1)
    )


def symmetric_weights(shape, seed=0):
    """``random_weights`` of pairs of channels; the shape is centred and has an even number."""
    weights = random_weights(shape, seed)

    def own_flip(tensor, axis=0, axes=()):
        return pairs.whole(pairs.first_half(tensor, axis), *axes)

    blocks = tuple(
        replace(
            block,
            weight1=own_flip(block.weight1),
            bias1=own_flip(block.bias1),
            weight2=own_flip(block.weight2),
            bias2=own_flip(block.bias2),
            residual=block.residual and tuple(map(own_flip, block.residual)),
        )
        for block in weights.blocks
    )
    head = own_flip(weights.head_weight, 1, (1,))
    return replace(weights, blocks=blocks, head_weight=head, symmetric=True)


def random_codes(*shape, seed=0):
    """uint8 codes, one in twenty of them N."""
    generator = torch.Generator().manual_seed(seed)
    codes = torch.randint(4, shape, generator=generator, dtype=torch.uint8)
    codes[torch.rand(shape, generator=generator) < 0.05] = 4
    return codes


def score(weights, grid, codes, precision, strand="+", **options):
    """Logits of the engine on the instruction set that TCNFAST_CPU_ISA names."""
    strands = {"+": weights, "-": weights.mirrored(grid)}
    runs = [strands[s] for s in ("+", "-") if strand in (s, "both")]
    return sum(cpu_engine.prepare(w, grid, precision, **options)(codes) for w in runs) / len(runs)


@cache  # several engines are compared with one truth
def expected(shape, precision, seed=0, make=random_weights):
    """Weights that ``make`` makes, codes, the truth and PyTorch's own try of ``shape``."""
    weights, grid = make(shape, seed), shape.grid
    codes = random_codes(shape.batch, shape.length, seed=seed)
    want = _truth(shape, seed, make)
    return weights, codes, want, in_precision(weights, grid, codes, shape.strand, precision)


@cache
def _truth(shape, seed, make):
    codes = random_codes(shape.batch, shape.length, seed=seed)
    return truth(make(shape, seed), shape.grid, codes, shape.strand)
