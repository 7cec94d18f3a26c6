"""Which stacks a model's logit is the mean of: its members, each on the strands that are wanted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from .grid import StackGrid
from .reference import StackWeights


class Counted(NamedTuple):
    """Folded weights on their grids, and how often they count in the mean: a symmetric stack is
    both of its strands, and counts twice among others whose strands are two."""

    weights: StackWeights
    grid: StackGrid
    count: int


def stacks_of(members: Iterable[tuple[StackWeights, StackGrid]], strand: str) -> list[Counted]:
    """The stacks to run for ``strand``, "+", "-" or "both" (the mean of their logits). Every member
    counts alike."""
    runs = [(weights.strands(strand, grid), grid) for weights, grid in members]
    most = max(len(stacks) for stacks, _ in runs)
    return [
        Counted(weights, grid, most // len(stacks)) for stacks, grid in runs for weights in stacks
    ]


def one_pass(stacks: Iterable[Counted]) -> bool:
    """Whether all of them are symmetric, so that every strand is the same."""
    return all(stack.weights.symmetric for stack in stacks)
