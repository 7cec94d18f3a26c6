"""What a changed base changes: logits of single-base substitutions, by their cones.

Of a stack on its grids (see :mod:`tcnfast.engines.grid`) a base reaches but few positions of every
layer.
A window of RF bases that gives one score is a tree: with k = 3, 8 blocks and a first kernel of 19,
a base lies under 19 positions of the first convolution and, on the average, under 10.3, 12.4 (block
1), 7.4, 9.4, 5.7, 7.7, 4.8, ... of the others. Counted as products of a row with a tap, C^2
multiply-adds each, that is 222 for a substitution, where the window takes 5,900.

What moves is taken as a difference from the window as it is. So only rows that moved enter a
product, and of these only the channels that moved: behind a ReLU most did not. In encode-v1 three
in a hundred channels of the first layer's touched rows move, eleven of its block's, about half of
the others; which leaves some 80 of the 222. The first layer itself is a difference of two columns
of its weights. Nothing is approximated: a channel that is left out differs by exactly 0.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from ..base.errors import TcnfastError
from ..base.threads import in_order
from . import cone_kernels as kernels
from . import reference
from .cone_tiles import weight_rows, whole_tiles
from .cpu_engine import code_residual
from .geometry import REACH1, REACH2, ROWS1, ROWS2, STRIDE, stack_geometry
from .grid import StackGrid

CHUNK = 64  # substitutions that pass through the layers together


class Kept(NamedTuple):
    """Sequences as they are, layer by layer: float32 (n, rows, C'), a block's rows after another's;
    C' is C filled up to whole tiles with zeros.

    ``first``: what first convolutions give; ``second``: second ones; ``shortcut``: what they are
    added to; ``logits`` float32 (n, P, labels).
    """

    codes: np.ndarray  # uint8 (n, T)
    first: np.ndarray
    second: np.ndarray
    shortcut: np.ndarray
    logits: np.ndarray


class Moved(NamedTuple):
    """What substitutions do to logits: ``score`` int64 (m,), the first score that each reaches, and
    ``logits`` float32 (m, reached, labels), the differences, 0 from where its reach ends."""

    score: np.ndarray
    logits: np.ndarray


class Cone:
    """A folded stack made ready to score substitutions in sequences of ``length`` bases.

    ``weights`` and ``grid``: as of :func:`tcnfast.engines.reference.stack`; runs on the processor,
    in float32, on PyTorch's number of threads. Raises TcnfastError for a length under the receptive
    field and for a stride above 2^blocks.
    """

    def __init__(self, weights: reference.StackWeights, grid: StackGrid, length: int) -> None:
        if length < grid.receptive_field:
            raise TcnfastError(f"cone: {length} bases are under the receptive field")
        if grid.sample > 1:
            raise TcnfastError(f"cone: stride {grid.stride} is above what the stack is pruned to")
        weights = weights.to("cpu", torch.float32)
        self.weights, self.grid, self.length = weights, grid, length
        self._geometry = stack_geometry(weights, grid, length)
        self._slots, self._reached = _reach(self._geometry)
        blocks = weights.blocks
        table = F.pad(blocks[0].weight1.permute(2, 1, 0), (0, 0, 0, 1))  # N: 0
        second = [weight_rows(block.weight2) for block in blocks]
        # the first layer has a table; what stands in its place among the others is never read
        above = second[:1] + [weight_rows(block.weight1) for block in blocks[1:]]
        self._arrays = [
            array.contiguous().numpy()
            for array in (
                whole_tiles(table),
                whole_tiles(code_residual(blocks[0].residual)),
                torch.stack(above),
                torch.stack(second),
            )
        ]

    @torch.no_grad()
    def keep(self, codes: np.ndarray) -> Kept:
        """What uint8 codes (n, length) are, layer by layer."""
        x = reference.one_hot(torch.from_numpy(codes), torch.float32)
        layers: tuple[list, list, list] = ([], [], [])
        for block, geometry in zip(self.weights.blocks, self.grid.blocks, strict=True):
            first = reference.conv(x, block.weight1, block.bias1, geometry.dilation)
            second = reference.conv(
                first.relu(), block.weight2, block.bias2, geometry.dilation, geometry.stride
            )
            shortcut = reference.residual_input(x, block.tap, geometry, second.shape[-1])
            if block.residual is not None:
                weight, bias = block.residual
                shortcut = reference.conv(shortcut, weight.unsqueeze(-1), bias)
            for layer, maps in zip(layers, (first, second, shortcut), strict=True):
                layer.append(whole_tiles(maps.squeeze(2).transpose(1, 2)))
            x = (second.relu() + shortcut).relu()
        features = x.squeeze(2).transpose(1, 2)
        logits = features @ self.weights.head_weight.T + self.weights.head_bias
        return Kept(codes, *(torch.cat(layer, 1).numpy() for layer in layers), logits.numpy())

    @torch.no_grad()
    def moved(
        self,
        kept: Kept,
        window: np.ndarray,
        place: np.ndarray,
        base: np.ndarray,
        labels: list[int] | None = None,
    ) -> Moved:
        """Differences of logits, of ``labels`` or all, where the base at ``place`` of sequence
        ``window``, both int64 (m,), is ``base``, uint8 (m,) from 0 to 4, instead; each on its
        own."""
        m, channels = len(window), self.weights.head_weight.shape[1]
        low = np.empty(m, np.int64)
        features = np.empty((m, self._reached, channels), np.float32)

        def run(at: int) -> None:
            part = slice(at, at + CHUNK)
            kernels.score(
                kept.codes, window[part], place[part], base[part], *self._arrays, self._geometry,
                kept.first, kept.second, kept.shortcut, self._slots, low[part], features[part],
            )  # fmt: skip

        list(in_order(run, range(0, m, CHUNK)))
        head = self.weights.head_weight
        head = head if labels is None else head[labels]
        return Moved(low, (torch.from_numpy(features) @ head.T).numpy())


def _reach(geometry: np.ndarray) -> tuple[int, int]:
    """The most positions of a layer that a substitution moves, and those of the last one."""
    widest, moved = 0, 1
    for g in geometry:
        inner = min(g[ROWS1], moved + g[REACH1])
        moved = min(g[ROWS2], (inner + g[REACH2] - 1) // g[STRIDE] + 1)
        widest = max(widest, inner, moved)
    return int(widest), int(moved)
