"""Gradients along a path between two inputs, on the processor, zeros passed by.

What the first block reads the sequence with is linear: both ends are read once and whatever lies
between follows from them, and gradients are summed over the points before they go back through it.
At each point the stack is then followed forward and back, which is nearly all of the time. Most of
what it would multiply is 0: in encode-v1, behind the ReLUs of a first block four channels in a
thousand and six in a hundred are not, higher up some half; and a gradient stops where they are.
Passing these by leaves a third of the products (:mod:`tcnfast.engines.path_kernels`). One point's
rows stay in the second-level cache. Nothing is approximated.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..base.errors import TcnfastError
from ..base.threads import in_order
from . import path_kernels as kernels
from . import reference
from .geometry import ROWS2, stack_geometry
from .gradients import read_first_block
from .grid import StackGrid
from .path_tiles import weight_rows, whole_tiles

POINTS = 25  # of a path that one thread follows


class Path:
    """A folded stack made ready for paths between inputs of ``length`` bases that give one score.

    Runs on the processor, in float32, on PyTorch's number of threads; results do not depend on it.
    Raises TcnfastError for another length."""

    def __init__(self, weights: reference.StackWeights, grid: StackGrid, length: int) -> None:
        if length < grid.receptive_field:
            raise TcnfastError(f"path: {length} bases are under the receptive field")
        self.geometry = stack_geometry(weights, grid, length)
        if self.geometry[-1, ROWS2] != 1:
            raise TcnfastError(f"path: {length} bases give more than one score")
        weights = weights.to("cpu", torch.float32)
        self.weights, self.first_grid = weights, grid.blocks[0]
        # the first convolution is read; what stands in its place is never looked at
        firsts = [weights.blocks[0].weight2] + [block.weight1 for block in weights.blocks[1:]]
        seconds = [block.weight2 for block in weights.blocks]
        layers = (
            [weight_rows(weight) for weight in firsts],
            [whole_tiles(block.bias1) for block in weights.blocks],
            [weight_rows(weight) for weight in seconds],
            [whole_tiles(block.bias2) for block in weights.blocks],
        )
        self._forth = tuple(_stacked(layer) for layer in layers)
        self._back = tuple(
            _stacked([weight_rows(weight.transpose(0, 1)) for weight in layer])
            for layer in (firsts, seconds)
        )

    @torch.no_grad()
    def gradients(
        self, start: Tensor, end: Tensor, dlogits: Tensor, points: list[tuple[float, float]]
    ) -> Tensor:
        """As :func:`tcnfast.engines.gradients.path_gradient`: float32 (K, N, 4, length)."""
        one_hot = start.detach().float().requires_grad_()
        with torch.enable_grad():
            ends = [
                read_first_block(x, self.weights.blocks[0], self.first_grid)
                for x in (one_hot, end.float())
            ]
        here, there = ([_rows(maps.detach()) for maps in pair] for pair in ends)
        steps = [b - a for a, b in zip(here, there, strict=True)]
        dfeatures = whole_tiles(dlogits.float() @ self.weights.head_weight)
        place, share = torch.tensor(points).T.contiguous()
        dfeatures = (share.view(-1, 1, 1) * dfeatures).numpy()
        tasks = [(i, at) for i in range(len(start)) for at in range(0, len(points), POINTS)]

        def follow(task: tuple[int, int]) -> tuple[np.ndarray, ...]:
            i, at = task
            lines = [(a[i].numpy(), b[i].numpy()) for a, b in zip(here, steps, strict=True)]
            found = tuple(np.zeros((len(dlogits), *a.shape), np.float32) for a, _ in lines)
            part = slice(at, at + POINTS)
            kernels.follow(
                *lines,
                place[part].numpy(),
                dfeatures[part],
                self._forth,
                self._back,
                self.geometry,
                found,
            )
            return found

        sums = [torch.zeros(len(dlogits), *layer.shape) for layer in here]
        for (i, _), found in zip(tasks, in_order(follow, tasks), strict=True):
            for total, part in zip(sums, found, strict=True):
                total[:, i] += torch.from_numpy(part)
        channels = ends[0][0].shape[1]
        maps = [total[..., :channels].transpose(2, 3).unsqueeze(3) for total in sums]
        return torch.stack(
            [
                torch.autograd.grad(ends[0], one_hot, parts, retain_graph=True)[0]
                for parts in zip(*maps, strict=True)
            ]
        )


def _stacked(layer: list[Tensor]) -> np.ndarray:
    return torch.stack([rows.contiguous() for rows in layer]).numpy()


def _rows(maps: Tensor) -> Tensor:
    """(N, C, 1, L) -> (N, L, C')."""
    return whole_tiles(maps.squeeze(2).transpose(1, 2)).contiguous()
