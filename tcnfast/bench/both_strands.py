"""Scores of both strands: a plain network runs twice, a symmetric one once with half the work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from ..engines import cpu_engine, reference
from ..engines.grid import StackGrid
from ..engines.plan import PREPARE
from ..engines.reference import StackWeights

PLAIN, DIRECT = "(a) plain, both strands", "(b) symmetric, direct"
WORDS = (
    "both strands: (a) this network, each strand by itself; (b) to (d) a symmetric network of its "
    "width and share of zeros, in one pass: (b) with all products, (c) with half of them, (d) with "
    "lists of the inputs that are not 0; ratio: how many times faster than (a)"
)


class Way(NamedTuple):
    """A way to score both strands: the stacks whose logits are averaged, and whether convolutions
    may go over lists of the inputs that are not 0."""

    stacks: tuple[StackWeights, ...]
    lists: bool

    def prepare(self, backend: str, grid: StackGrid, spec) -> Callable[[Tensor], Tensor]:
        """Codes (N, T) to logits (N, P, labels). ``spec``: of the chosen backend."""
        if backend == "cpu":
            lists = None if self.lists else False
            runs = [
                cpu_engine.prepare(stack, grid, spec.precision, lists=lists)
                for stack in self.stacks
            ]
        else:
            runs = [PREPARE[backend](stack, grid, spec) for stack in self.stacks]
        return lambda codes: sum(run(codes) for run in runs) / len(runs)

    def exact(self, codes: Tensor, grid: StackGrid) -> Tensor:
        """float64 logits."""
        stacks = [stack.to("cpu", torch.float64) for stack in self.stacks]
        return sum(reference.stack(codes, stack, grid) for stack in stacks) / len(stacks)


def ways(
    plain: StackWeights, symmetric: StackWeights, grid: StackGrid, backend: str = "cpu"
) -> dict[str, Way]:
    """The ways that ``backend`` has, by name. Plain PyTorch does not halve; lists are of the C++
    engine."""
    both = plain, plain.mirrored(grid)
    direct = (replace(symmetric, symmetric=False),)
    found = {PLAIN: Way(both, False), DIRECT: Way(direct, False)}
    if backend != "reference":
        found["(c) symmetric, halved"] = Way((symmetric,), False)
    if backend == "cpu":
        found["(d) symmetric, halved, lists"] = Way((symmetric,), True)
        found["(a) with lists"] = Way(both, True)
    return dict(sorted(found.items()))
