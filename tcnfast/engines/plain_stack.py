"""The folded stack as a user of PyTorch writes it: what our speed is held against."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from . import reference
from .grid import BlockGrid, StackGrid

LAYOUTS = ("Conv1d", "channels-last")


def convolution(weight: Tensor, bias: Tensor, layout: str, dilation=1, stride=1) -> nn.Module:
    """``weight`` (C, C_in, k), ``bias`` (C,) as nn.Conv1d, or nn.Conv2d of height 1."""
    outputs, inputs, taps = weight.shape
    if layout == "Conv1d":
        conv = nn.Conv1d(inputs, outputs, taps, stride, dilation=dilation)
    else:
        conv = nn.Conv2d(inputs, outputs, (1, taps), (1, stride), dilation=(1, dilation))
        weight = weight.unsqueeze(2)
    conv.weight.data, conv.bias.data = weight.detach().clone(), bias.detach().clone()
    return conv


class Block(nn.Module):
    """A residual block, (N, C_in, L) or (N, C_in, 1, L), in place where that is safe."""

    def __init__(self, weights: reference.BlockWeights, geometry: BlockGrid, layout: str) -> None:
        super().__init__()
        d, self.stride = geometry.dilation, geometry.stride
        self.start = weights.tap // geometry.grid_in
        self.conv1 = convolution(weights.weight1, weights.bias1, layout, d)
        self.conv2 = convolution(weights.weight2, weights.bias2, layout, d, self.stride)
        self.residual = None
        if weights.residual is not None:
            weight, bias = weights.residual
            self.residual = convolution(weight.unsqueeze(-1), bias, layout)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv2(self.conv1(x).relu_()).relu_()
        last = self.start + (h.shape[-1] - 1) * self.stride
        shortcut = x[..., self.start : last + 1 : self.stride]
        if self.residual is not None:
            shortcut = self.residual(shortcut)
        return h.add_(shortcut).relu_()


class FoldedStack(nn.Module):
    """uint8 codes (N, T) to float32 logits (N, P, labels), computed in ``dtype``.

    ``layout``: one of LAYOUTS; channels-last is Conv2d on (N, C, 1, L). ``sample``: every how many
    of the stack's outputs one is kept, by default the grid's own.
    """

    def __init__(
        self,
        weights: reference.StackWeights,
        grid: StackGrid,
        layout: str,
        dtype: torch.dtype,
        sample: int | None = None,
    ) -> None:
        super().__init__()
        self.sample = sample or grid.sample
        self.layout = layout
        pairs = zip(weights.blocks, grid.blocks, strict=True)
        self.blocks = nn.Sequential(*(Block(block, geometry, layout) for block, geometry in pairs))
        self.head = nn.Linear(*weights.head_weight.T.shape)
        self.head.weight.data = weights.head_weight.detach().clone()
        self.head.bias.data = weights.head_bias.detach().clone()
        self.register_buffer("table", torch.eye(reference.N_CODES, 4))
        self.to(dtype).eval().requires_grad_(False)
        if layout == "channels-last":
            self.to(memory_format=torch.channels_last)

    def forward(self, codes: Tensor) -> Tensor:
        x = self.table[codes.int()].transpose(1, 2)
        x = self.blocks(x.unsqueeze(2) if self.layout == "channels-last" else x)
        x = x[..., :: self.sample]
        x = x.squeeze(2) if self.layout == "channels-last" else x
        return self.head(x.transpose(1, 2)).float()
