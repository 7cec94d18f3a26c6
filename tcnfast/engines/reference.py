"""The truth: the stack in plain PyTorch, any floating dtype, any device.

Activations are ``(N, C, 1, L)`` in channels-last memory. PyTorch has no channels-last format for
3-D tensors, and oneDNN and cuDNN work channels-last: as ``conv1d`` the same convolution spends
most of its time in layout conversions. All convolutions are valid (unpadded) correlations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..base.errors import TcnfastError
from .grid import BlockGrid, StackGrid

N_CODES = 5  # A C G T N
# what rows are stored in by precision; tf32 rounds in products alone
DTYPES = {
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
    "tf32": torch.float32,
    "fp32": torch.float32,
}


@dataclass(frozen=True)
class BlockWeights:
    """One residual block with its norms folded in. ``tap``: see ``BlockGrid.residual_tap``."""

    weight1: Tensor  # (C, C_in, k1)
    bias1: Tensor  # (C,)
    weight2: Tensor  # (C, C, k)
    bias2: Tensor  # (C,)
    residual: tuple[Tensor, Tensor] | None  # 1x1: (C, C_in), (C,); None is the identity
    tap: int


@dataclass(frozen=True)
class StackWeights:
    """All blocks and the head: ``head_weight`` (labels, C), ``head_bias`` (labels,).

    ``symmetric``: the reverse complement exchanges channels c and C-1-c, so that every kernel and
    1x1 is its own flip along all axes, every bias its own flip, the head's matrix its own flip over
    channels, and taps are centred. Scores of both strands are the same.
    """

    blocks: tuple[BlockWeights, ...]
    head_weight: Tensor
    head_bias: Tensor
    symmetric: bool = False

    def to(self, device: torch.device | str, dtype: torch.dtype) -> StackWeights:
        """A copy that shares no memory with this one."""

        def move(tensor: Tensor) -> Tensor:
            return tensor.detach().to(device, dtype, copy=True)

        blocks = tuple(
            replace(
                block,
                weight1=move(block.weight1),
                bias1=move(block.bias1),
                weight2=move(block.weight2),
                bias2=move(block.bias2),
                residual=block.residual and (move(block.residual[0]), move(block.residual[1])),
            )
            for block in self.blocks
        )
        return StackWeights(blocks, move(self.head_weight), move(self.head_bias), self.symmetric)

    def strands(self, strand: str, grid: StackGrid) -> tuple[StackWeights, ...]:
        """Those whose logits ``strand``, "+", "-" or "both", is the mean of; of a symmetric stack
        itself, whatever the strand."""
        if self.symmetric or strand == "+":
            return (self,)
        minus = self.mirrored(grid)
        return (self, minus) if strand == "both" else (minus,)

    def mirrored(self, grid: StackGrid) -> StackWeights:
        """The minus strand on the same codes.

        Scoring the reverse complement of a window is scoring the window with every kernel's taps
        reversed, the input channels of the layers that read DNA complemented (ACGT to TGCA is a
        flip), and the residual taken at the mirrored tap.
        """
        blocks = []
        for index, (block, geometry) in enumerate(zip(self.blocks, grid.blocks, strict=True)):
            weight1, residual = block.weight1.flip(-1), block.residual
            if index == 0:
                weight1 = weight1.flip(1)
                residual = _complemented(residual, weight1)
            blocks.append(
                replace(
                    block,
                    weight1=weight1,
                    weight2=block.weight2.flip(-1),
                    residual=residual,
                    tap=geometry.span - block.tap,
                )
            )
        return replace(self, blocks=tuple(blocks))


def _complemented(residual: tuple[Tensor, Tensor] | None, weight1: Tensor) -> tuple[Tensor, Tensor]:
    """The 1x1 of the first block on complemented DNA; its identity becomes a 1x1 of its own."""
    if residual is None:
        identity = torch.eye(len(weight1), dtype=weight1.dtype, device=weight1.device)
        residual = identity, torch.zeros_like(weight1[:, 0, 0])
    return residual[0].flip(1), residual[1]


def check_codes(codes: Tensor, where: str = "") -> None:
    """Raise TcnfastError for a code over 4 that lies in host memory, as the C++ engine does. On a
    GPU, where looking would make every call wait, such a code counts as N."""
    if codes.device.type == "cpu" and codes.numel() and codes.max() >= N_CODES:
        raise TcnfastError(
            f"{where}codes: a base is coded by more than 4 (A 0, C 1, G 2, T 3, N 4)"
        )


def one_hot(codes: Tensor, dtype: torch.dtype) -> Tensor:
    """uint8 codes (N, L) -> (N, 4, 1, L) channels-last; N is all zeros."""
    if codes.device.type != "cpu":
        codes = codes.clamp(max=N_CODES - 1)
    table = torch.eye(N_CODES, 4, dtype=dtype, device=codes.device)
    return table[codes.int()].unsqueeze(1).permute(0, 3, 1, 2)


def channels_last(x: Tensor) -> Tensor:
    """(N, C, L) -> (N, C, 1, L) in channels-last memory."""
    return x.unsqueeze(2).contiguous(memory_format=torch.channels_last)


def conv(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, dilation: int = 1, stride: int = 1
) -> Tensor:
    """Valid correlation: (N, C_in, 1, L), (C, C_in, k) -> (N, C, 1, (L - (k-1) d - 1) // s + 1)."""
    return F.conv2d(x, weight.unsqueeze(2), bias, stride=(1, stride), dilation=(1, dilation))


def residual_input(x: Tensor, tap: int, grid: BlockGrid, length: int) -> Tensor:
    """The block inputs that its ``length`` outputs add: every ``stride``-th, from ``tap`` on."""
    start = tap // grid.grid_in
    return x[..., start : start + (length - 1) * grid.stride + 1 : grid.stride]


def block(
    x: Tensor, weights: BlockWeights, grid: BlockGrid, conv: Callable[..., Tensor] = conv
) -> Tensor:
    """A folded residual block: (N, C_in, 1, L) on ``grid_in`` -> (N, C, 1, L') on ``grid_out``.

    ``conv``: what convolves, this one or :func:`tcnfast.engines.halved.conv`."""
    h = conv(x, weights.weight1, weights.bias1, grid.dilation).relu_()
    h = conv(h, weights.weight2, weights.bias2, grid.dilation, grid.stride).relu_()
    shortcut = residual_input(x, weights.tap, grid, h.shape[-1])
    if weights.residual is not None:
        weight, bias = weights.residual
        shortcut = conv(shortcut, weight.unsqueeze(-1), bias)
    return (h + shortcut).relu_()


def stack(codes: Tensor, weights: StackWeights, grid: StackGrid) -> Tensor:
    """uint8 codes (N, T) -> float32 logits (N, (T - RF) // stride + 1, labels); T >= RF.

    Computed in the dtype of ``weights`` (float64 stays float64, as the oracle of tests).
    """
    dtype = weights.head_weight.dtype
    x = one_hot(codes, dtype)
    for block_weights, block_grid in zip(weights.blocks, grid.blocks, strict=True):
        x = block(x, block_weights, block_grid)
    features = x[..., :: grid.sample].squeeze(2).transpose(1, 2)
    logits = F.linear(features, weights.head_weight, weights.head_bias)
    return logits if dtype == torch.float64 else logits.float()
