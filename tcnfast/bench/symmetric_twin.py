"""A symmetric network to measure speed with: the width and, nearly, the zeros of a plain one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from ..engines import pairs, reference
from ..engines.grid import StackGrid
from ..engines.reference import BlockWeights, StackWeights

BASES = 2**13  # random letters on which activations are counted
HALVINGS = 20  # of the range in which a bias is looked for
FURTHEST = 50.0


def random_letters(n: int) -> Tensor:
    """uint8 codes (1, n), the same at every call."""
    generator = torch.Generator().manual_seed(1)
    return torch.randint(4, (1, n), dtype=torch.uint8, generator=generator)


def shares_of(weights: StackWeights, grid: StackGrid, codes: Tensor) -> list[list[float]]:
    """Of each block: shares of activations that are not 0 between its convolutions and behind."""
    x, shares = reference.one_hot(codes, torch.float32), []
    for block, geometry in zip(weights.blocks, grid.blocks, strict=True):
        hidden = reference.conv(x, block.weight1, block.bias1, geometry.dilation).relu_()
        x = reference.block(x, block, geometry)
        shares.append([float((t != 0).float().mean()) for t in (hidden, x)])
    return shares


@torch.no_grad()
def symmetric_twin(weights: StackWeights, grid: StackGrid) -> StackWeights:
    """A symmetric stack whose pairs have the first half of the filters of ``weights``, float32.

    Biases are moved, layer by layer, until nearly as many activations are 0. Its scores mean
    nothing. Channels must be even and the residual taps centred.
    """
    codes = random_letters(max(BASES, 2 * grid.receptive_field))
    wanted = shares_of(weights, grid, codes)
    x, blocks = reference.one_hot(codes, torch.float32), []
    for block, geometry, goal in zip(weights.blocks, grid.blocks, wanted, strict=True):
        block = replace(
            block,
            weight1=_own_flip(block.weight1),
            bias1=_own_flip(block.bias1),
            weight2=_own_flip(block.weight2),
            bias2=_own_flip(block.bias2),
            residual=block.residual and tuple(map(_own_flip, block.residual)),
        )

        def first(b: BlockWeights, x=x, d=geometry.dilation) -> Tensor:
            return reference.conv(x, b.weight1, b.bias1, d).relu_()

        def both(b: BlockWeights, x=x, geometry=geometry) -> Tensor:
            return reference.block(x, b, geometry)

        block = _moved(block, "bias1", first, goal[0])
        block = _moved(block, "bias2", both, goal[1])
        x = both(block)
        blocks.append(block)
    head = _own_flip(weights.head_weight, 1, (1,))
    return replace(weights, blocks=tuple(blocks), head_weight=head, symmetric=True)


def _own_flip(tensor: Tensor, axis: int = 0, axes: tuple[int, ...] = ()) -> Tensor:
    return pairs.whole(pairs.first_half(tensor, axis), *axes)


def _moved(block: BlockWeights, bias: str, rows: Callable, share: float) -> BlockWeights:
    """``bias`` of all channels moved until ``share`` of ``rows`` are not 0, or nearly."""
    start, low, high = getattr(block, bias), -FURTHEST, FURTHEST
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        block = replace(block, **{bias: start + middle})
        few = float((rows(block) != 0).float().mean()) < share
        low, high = (middle, high) if few else (low, middle)
    return block
