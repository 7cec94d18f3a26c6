"""What one changed base changes: the cone above it, recomputed on the pruned grids, and no more.

Let a stretch of ``T`` codes give ``n`` scores on the grids of :mod:`tcnfast.engines.grid`.
Position ``t``
of a layer with receptive field ``R`` reads the bases ``t`` to ``t + R - 1``; of the multiples of
its grid ``g`` a changed base ``p`` therefore touches those from ``p - R + 1`` to ``p``: about
``R / g`` of ``T / g``. With activations of the unchanged stretch at hand, each layer is computed at
those positions alone, from a slice of its input in which the touched part is new. For one score of
the window of encode-v1 (1,037 bases) that is 97 of 1,977 wide convolutions.

Activations may be kept on finer grids than those of the cone: those of a whole region at every base
serve the window of every variant in it. On a processor the C++ engine does this
(:class:`tcnfast.engines.cpu_engine.Substitutions`); this one runs on any device.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from . import ops, reference
from .backend import VARIANTS, choose
from .cpu_engine import code_residual
from .grid import BlockGrid, StackGrid


@dataclass(frozen=True)
class Activations:
    """Of codes (B, T) on the grids of ``grid``: each block's input and its first convolution after
    ReLU, float32 (B, positions, C) (None for the first block, which reads codes), and the stack's
    output (B, positions, C)."""

    codes: Tensor
    grid: StackGrid
    inputs: list[Tensor | None]
    hidden: list[Tensor | None]
    output: Tensor


@dataclass(frozen=True)
class Touched:
    """Positions of one layer, on its grid, that a base touches: ``first`` to ``last``."""

    first: int
    last: int

    @property
    def n(self) -> int:
        return self.last - self.first + 1


@dataclass(frozen=True)
class Geometry:
    """What base ``base`` of a stretch of ``length`` codes touches: for each block both of its
    convolutions; ``scores`` are the stretch's own scores that it touches."""

    base: int
    length: int
    blocks: tuple[tuple[Touched, Touched], ...]

    @property
    def scores(self) -> Touched:
        return self.blocks[-1][1]

    def convolutions(self) -> int:
        """Positions of wide convolutions, channels to channels, that are computed."""
        return sum(one.n + two.n for one, two in self.blocks) - self.blocks[0][0].n


def touched(grid: StackGrid, base: int, length: int) -> Geometry:
    """What ``base`` of a stretch of ``length`` codes touches."""
    blocks, reach = [], 0
    for block in grid.blocks:
        pair = []
        steps = (block.grid_in, block.grid_out)
        for taps, step in zip(block.kernel_sizes, steps, strict=True):
            reach += (taps - 1) * block.block_dilation
            first = max(0, -(-(base - reach) // step))
            last = min(base, length - 1 - reach) // step
            pair.append(Touched(first, last))
        blocks.append(tuple(pair))
    return Geometry(base, length, tuple(blocks))


class Cone:
    """Logits of stretches in which one base is another, on the grids of ``grid``.

    ``weights`` are folded (or mirrored); arithmetic is float32. ``backend`` says what computes the
    unchanged activations: the operators of :mod:`tcnfast.engines.ops` where they can run, else
    plain PyTorch. Scores more than 2^blocks apart are not known to it: ``grid.sample`` must be 1.
    """

    def __init__(
        self,
        weights: reference.StackWeights,
        grid: StackGrid,
        device: str | torch.device = "cpu",
        backend: str = "auto",
    ) -> None:
        if grid.sample != 1:
            raise ValueError(f"stride {grid.stride}: at most 2^blocks")
        self.grid = grid
        device = torch.device(device)
        first_kernel = weights.blocks[0].weight1.shape[2]
        chosen = choose(VARIANTS, backend, device, "fp32", first_kernel=first_kernel)
        self.backend = chosen.backend
        self.weights = weights.to(device, torch.float32)
        self.residual_rows = code_residual(self.weights.blocks[0].residual).to(device)

    @torch.inference_mode()
    def activations(self, codes: Tensor, grid: StackGrid | None = None) -> Activations:
        """Of uint8 codes (B, T), on the cone's own grids or on finer ones."""
        grid = grid or self.grid
        inputs, hidden, x = [], [], codes
        run = _plain_block if self.backend == "reference" else _block
        for block, geometry in zip(self.weights.blocks, grid.blocks, strict=True):
            y, a1 = run(block, geometry, x)
            inputs.append(None if x is codes else x)
            hidden.append(a1)
            x = y
        return Activations(codes, grid, inputs, hidden, x)

    def head(self, features: Tensor) -> Tensor:
        """(..., C) -> logits (..., labels)."""
        return F.linear(features, self.weights.head_weight, self.weights.head_bias)

    @torch.inference_mode()
    def reference_logits(self, kept: Activations, rows: Tensor, starts: Tensor, n: int) -> Tensor:
        """Logits (V, n, labels) of the first ``n`` scores of the unchanged stretches."""
        return self.head(self._slice(kept, len(kept.inputs), rows, starts, 0, n))

    @torch.inference_mode()
    def logits(
        self, kept: Activations, rows: Tensor, starts: Tensor, geometry: Geometry, codes: Tensor
    ) -> Tensor:
        """Logits (V, geometry.scores.n, labels) of the touched scores of changed stretches.

        Stretch ``v`` begins at base ``starts[v]`` of row ``rows[v]`` of ``kept``, both int64 (V,),
        a multiple of every grid of ``kept``; its base ``geometry.base`` becomes ``codes[v]``.
        """
        y = self._first_block(kept, rows, starts, geometry, codes)
        for index in range(1, len(self.weights.blocks)):
            y = self._block(kept, rows, starts, geometry, index, y)
        return self.head(y)

    def _first_block(self, kept, rows, starts, geometry, codes) -> Tensor:
        """The touched outputs of the block that reads codes, (V, n, C)."""
        block, (_, out) = self.weights.blocks[0], geometry.blocks[0]
        grid = self.grid.blocks[0]
        first = out.first * grid.stride
        n_hidden = (out.n - 1) * grid.stride + block.weight2.shape[2]
        length = n_hidden + block.weight1.shape[2] - 1
        flat = kept.codes.reshape(-1)
        at = (rows * kept.codes.shape[1] + starts + first)[:, None]
        stretch = flat[at + torch.arange(length, device=flat.device)]
        stretch[:, geometry.base - first] = codes
        one_hot = reference.one_hot(stretch, torch.float32).squeeze(2).transpose(1, 2)
        hidden = _conv(one_hot, block.weight1, block.bias1, 1, 1)
        y = _conv(hidden, block.weight2, block.bias2, 1, grid.stride)
        shortcut = stretch[:, block.tap :: grid.stride][:, : out.n]
        return y.add_(self.residual_rows[shortcut.int()]).relu_()

    def _block(self, kept, rows, starts, geometry, index, y) -> Tensor:
        """The touched outputs of a block above the first, (V, n, C); ``y``: of the one below."""
        block, grid = self.weights.blocks[index], self.grid.blocks[index]
        below = geometry.blocks[index - 1][1]
        one, two = geometry.blocks[index]
        reach = (block.weight1.shape[2] - 1) * grid.dilation
        tap = block.tap // grid.grid_in
        first = min(one.first, two.first * grid.stride + tap)
        last = max(one.last + reach, two.last * grid.stride + tap)
        x = self._slice(kept, index, rows, starts, first, last - first + 1)
        _replace(x, first, y, below.first)
        part = x[:, one.first - first : one.last - first + reach + 1]
        changed = _conv(part, block.weight1, block.bias1, grid.dilation, 1)
        first_hidden = two.first * grid.stride
        reach = (block.weight2.shape[2] - 1) * grid.dilation
        n_hidden = (two.n - 1) * grid.stride + reach + 1
        hidden = self._slice(kept, index, rows, starts, first_hidden, n_hidden, hidden=True)
        _replace(hidden, first_hidden, changed, one.first)
        out = _conv(hidden, block.weight2, block.bias2, grid.dilation, grid.stride)
        shortcut = x[:, first_hidden + tap - first :: grid.stride][:, : two.n]
        if block.residual is not None:
            shortcut = F.linear(shortcut, *block.residual)
        return out.add_(shortcut).relu_()

    def _slice(self, kept, index, rows, starts, first, n, hidden=False) -> Tensor:
        """Positions ``first`` to ``first + n - 1`` of a layer of each stretch, (V, n, C), a copy:
        of the input of block ``index`` (past the last: the output), or of its hidden layer."""
        blocks, stored = self.grid.blocks, kept.grid.blocks
        if index == len(blocks):
            layer, own, finer = kept.output, blocks[-1].grid_out, stored[-1].grid_out
        else:
            layer = (kept.hidden if hidden else kept.inputs)[index]
            own, finer = blocks[index].grid_in, stored[index].grid_in
        at = rows * layer.shape[1] + starts // finer + first * (own // finer)
        at = at[:, None] + torch.arange(n, device=at.device) * (own // finer)
        picked = layer.reshape(-1, layer.shape[2]).index_select(0, at.reshape(-1))
        # rows are padded with zeros to whole vectors
        return picked.view(len(rows), n, -1)[..., : self.weights.head_weight.shape[1]]


def _replace(x: Tensor, first: int, new: Tensor, new_first: int) -> None:
    """Write ``new``, positions from ``new_first`` on, over those of them that ``x`` holds."""
    begin = max(first, new_first)
    end = min(first + x.shape[1], new_first + new.shape[1])
    x[:, begin - first : end - first] = new[:, begin - new_first : end - new_first]


def _conv(x: Tensor, weight: Tensor, bias: Tensor, dilation: int, stride: int) -> Tensor:
    """Valid correlation and ReLU of rows (V, L, C_in) -> (V, n, C): one matrix product."""
    taps = weight.shape[2]
    n = (x.shape[1] - 1 - (taps - 1) * dilation) // stride + 1
    patches = torch.cat([x[:, tap * dilation :: stride][:, :n] for tap in range(taps)], 2)
    matrix = weight.permute(2, 1, 0).reshape(-1, len(weight))
    return torch.addmm(bias, patches.reshape(-1, len(matrix)), matrix).relu_().view(len(x), n, -1)


def _block(
    block: reference.BlockWeights, geometry: BlockGrid, x: Tensor
) -> tuple[Tensor, Tensor | None]:
    """Rows that a block gives, and its first convolution after ReLU (of codes: None)."""
    y, a1, *_ = ops.block(*ops.plain_arguments(block, geometry, x, "fp32"))
    if x.dtype == torch.uint8:
        return y, None
    a1[..., : len(block.bias1)] += block.bias1
    return y, a1.relu_()


def _plain_block(
    block: reference.BlockWeights, geometry: BlockGrid, x: Tensor
) -> tuple[Tensor, Tensor | None]:
    """The same in plain PyTorch."""
    codes = x.dtype == torch.uint8
    maps = reference.one_hot(x, torch.float32) if codes else x.transpose(1, 2).unsqueeze(2)
    y = reference.block(maps, block, geometry)
    if codes:
        return _rows(y), None
    hidden = reference.conv(maps, block.weight1, block.bias1, geometry.dilation).relu_()
    return _rows(y), _rows(hidden)


def _rows(maps: Tensor) -> Tensor:
    """(N, C, 1, L) -> (N, L, C)."""
    return maps.squeeze(2).transpose(1, 2).contiguous()
