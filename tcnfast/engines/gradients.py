"""Gradients of logits with respect to the one-hot form of the sequence, on ``ops``' operators; at
one sequence, or along a path between two."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from . import ops, reference
from .grid import BlockGrid, StackGrid

PATH_POINTS = 25  # of a path that go through the network together


@torch.no_grad()
def input_gradient(
    weights: reference.StackWeights,
    grid: StackGrid,
    x: Tensor,
    dlogits: Tensor,
    precision: str = "fp32",
) -> Tensor:
    """Gradient of ``(logits * dlogits).sum()`` with respect to the one-hot form of the sequence.

    ``weights``: folded (``TCN.folded``, or mirrored); ``x`` uint8 codes (N, L), or float (N, 4, L)
    of any values (between two sequences, say: integrated gradients); ``dlogits`` float32
    (N, P, labels), a weight for each logit of ``reference.stack``. Returns float32 (N, 4, L), at N
    too. Weight gradients are not computed. Of float input the first block is plain PyTorch, in
    float32: the operator takes codes. Raises TcnfastError where the operators cannot run.
    """
    ops.implementation(x.device, precision)  # or raise before any work
    weights = weights.to(x.device, torch.float32)
    blocks = list(zip(weights.blocks, grid.blocks, strict=True))
    dfeatures = dlogits.float() @ weights.head_weight
    if not x.is_floating_point():
        return _rows_back(x, blocks, grid.sample, precision)(dfeatures)
    one_hot = x.detach().float().requires_grad_()
    with torch.enable_grad():
        first = reference.block(reference.channels_last(one_hot), *blocks.pop(0))
    dy = _maps_back(first.detach(), blocks, grid.sample, precision)(dfeatures)
    return torch.autograd.grad(first, one_hot, dy)[0]


@torch.no_grad()
def path_gradient(
    weights: reference.StackWeights,
    grid: StackGrid,
    start: Tensor,
    end: Tensor,
    dlogits: Tensor,
    points: list[tuple[float, float]],
    precision: str | None = "fp32",
) -> Tensor:
    """Means of :func:`input_gradient` over points of the straight lines between two inputs.

    ``start``, ``end`` float32 (N, 4, L); ``dlogits`` float32 (K, labels), of which each gives a
    gradient; ``points``: of each its place on the line, from 0 to 1, and its share in the mean.
    ``precision`` None: blocks in plain PyTorch, float32, where the operators cannot run. Returns
    float32 (K, N, 4, L). The inputs must give one score each.

    What the first block reads the sequence with is linear. So both ends are read once, whatever
    lies between follows from them, and gradients are summed over the points before they go back.
    The forward pass is that of all K. :class:`tcnfast.engines.path.Path` is faster on a processor.
    """
    if precision is not None:
        ops.implementation(start.device, precision)  # or raise before any work
    weights = weights.to(start.device, torch.float32)
    (first, geometry), *above = zip(weights.blocks, grid.blocks, strict=True)
    dfeatures = dlogits.float() @ weights.head_weight
    one_hot = start.detach().float().requires_grad_()
    with torch.enable_grad():
        from_start = read_first_block(one_hot, first, geometry)
    steps = [
        there - here
        for there, here in zip(
            read_first_block(end.float(), first, geometry), from_start, strict=True
        )
    ]
    gradients = [[torch.zeros_like(step) for step in steps] for _ in dlogits]
    for at in range(0, len(points), PATH_POINTS):
        place, share = torch.tensor(points[at : at + PATH_POINTS], device=start.device).T
        for i in range(len(start)):
            read, shortcut = (
                torch.addcmul(here[i], place.view(-1, 1, 1, 1), step[i])
                for here, step in zip(from_start, steps, strict=True)
            )
            block = _FirstBlock(read, shortcut, first, geometry)
            back = _maps_back(block.maps, above, grid.sample, precision)
            for totals, wanted in zip(gradients, dfeatures, strict=True):
                parts = block.gradients(back(share.view(-1, 1, 1) * wanted))
                for total, part in zip(totals, parts, strict=True):
                    total[i] += _sum(part)
    back = functools.partial(torch.autograd.grad, from_start, one_hot, retain_graph=True)
    return torch.stack([back(totals)[0] for totals in gradients])


def _sum(maps: Tensor) -> Tensor:
    """(P, C, 1, L) -> (C, 1, L); as a product, which takes a tenth of the time of PyTorch's sum."""
    rows = maps.permute(0, 2, 3, 1)
    return (rows.new_ones(len(rows)) @ rows.flatten(1)).view(rows.shape[1:]).permute(2, 0, 1)


def read_first_block(
    x: Tensor, weights: reference.BlockWeights, grid: BlockGrid
) -> tuple[Tensor, Tensor]:
    """What the first block computes of float (N, 4, L) before its first ReLU, all of it linear: its
    first convolution and what it adds to its second."""
    maps = reference.channels_last(x)
    read = reference.conv(maps, weights.weight1, weights.bias1, grid.dilation)
    reach = (weights.weight2.shape[2] - 1) * grid.dilation
    length = (read.shape[-1] - reach - 1) // grid.stride + 1
    shortcut = reference.residual_input(maps, weights.tap, grid, length)
    if weights.residual is not None:
        weight, bias = weights.residual
        shortcut = reference.conv(shortcut, weight.unsqueeze(-1), bias)
    return read, shortcut


class _FirstBlock:
    """The rest of ``reference.block``: ``maps`` of what :func:`read_first_block` gives, which it
    overwrites.

    By hand rather than by autograd, because memory is what it takes its time from."""

    def __init__(
        self, read: Tensor, shortcut: Tensor, weights: reference.BlockWeights, grid: BlockGrid
    ) -> None:
        self.weights, self.grid = weights, grid
        self.h = read.relu_()
        self.added = reference.conv(
            self.h, weights.weight2, weights.bias2, grid.dilation, grid.stride
        ).relu_()
        self.maps = shortcut.add_(self.added).relu_()

    def gradients(self, dy: Tensor) -> tuple[Tensor, Tensor]:
        """Of ``read`` and ``shortcut``, from that of ``maps``."""
        through_relu = torch.ops.aten.threshold_backward  # gradient, what the ReLU gave, 0
        dshortcut = through_relu(dy, self.maps, 0)
        weight, grid = self.weights.weight2.unsqueeze(2), self.grid
        unread = self.h.shape[-1] - (weight.shape[-1] - 1) * grid.dilation - 1
        dh = F.conv_transpose2d(
            through_relu(dshortcut, self.added, 0),
            weight,
            stride=(1, grid.stride),
            output_padding=(0, unread % grid.stride),
            dilation=(1, grid.dilation),
        )
        return through_relu(dh, self.h, 0), dshortcut


def _maps_back(
    maps: Tensor, blocks: list, sample: int, precision: str | None
) -> Callable[[Tensor], Tensor]:
    """From the gradient of sampled features (N, P, C) to that of maps (N, C, 1, L), of which
    ``blocks`` make them; precision None: in plain PyTorch."""
    if precision is not None:
        back = _rows_back(_rows(maps, precision), blocks, sample, precision)
        return lambda dfeatures: back(dfeatures)[:, : maps.shape[1]].unsqueeze(2)
    maps = maps.detach().requires_grad_()
    with torch.enable_grad():
        x = maps
        for block, geometry in blocks:
            x = reference.block(x, block, geometry)

    def plain(dfeatures: Tensor) -> Tensor:
        dy = torch.zeros_like(x)
        dy[..., ::sample] = dfeatures.transpose(1, 2).unsqueeze(2)
        return torch.autograd.grad(x, maps, dy, retain_graph=True)[0] if blocks else dy

    return plain


def _rows_back(x: Tensor, blocks: list, sample: int, precision: str) -> Callable[[Tensor], Tensor]:
    """The same of rows (N, L, C'), or of codes (N, L), that ``blocks`` take: float32 (N, C', L)."""
    kept = []
    for block, geometry in blocks:
        x, back = _forward(block, geometry, x, precision)
        kept.append(back)
    last = x

    def back(dfeatures: Tensor) -> Tensor:
        dy = torch.zeros_like(last)
        dy[:, ::sample, : dfeatures.shape[2]] = dfeatures.to(dy.dtype)
        for saved, arguments in reversed(kept):
            dy = ops.block_input_gradient(dy, saved, *arguments)
        return dy.float().transpose(1, 2)

    return back


def _rows(maps: Tensor, precision: str) -> Tensor:
    """(N, C, 1, L) -> rows (N, L, C') of the operators."""
    channels = maps.shape[1]
    padded = ops.implementation(maps.device, precision).padded_channels(channels, precision)
    rows = maps.detach().squeeze(2).transpose(1, 2).to(ops.ROWS[precision])
    return (F.pad(rows, (0, padded - channels)) if padded > channels else rows).contiguous()


def _forward(block: reference.BlockWeights, geometry: BlockGrid, x: Tensor, precision: str):
    """Rows that a block gives, and what its gradient needs: all that it gave, its arguments."""
    arguments = ops.plain_arguments(block, geometry, x, precision)
    saved = list(ops.block(*arguments))
    return saved[0], (saved, arguments)
