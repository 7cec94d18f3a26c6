"""Gradients of logits with respect to the one-hot form of the sequence, on ``ops``' operators."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import ops, reference
from ..engines.cpu_engine import code_residual
from ..grid import BlockGrid, StackGrid


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
    ops.require(x.device, precision)
    weights = weights.to(x.device, torch.float32)
    blocks = list(zip(weights.blocks, grid.blocks, strict=True))
    one_hot = None
    if x.is_floating_point():
        one_hot = x.detach().float().requires_grad_()
        with torch.enable_grad():
            first = reference.block(reference.channels_last(one_hot), *blocks.pop(0))
        x = _rows(first, precision)
    kept = []
    for block, geometry in blocks:
        x, back = _forward(block, geometry, x, precision)
        kept.append(back)
    dy = torch.zeros_like(x)
    features = dlogits.float() @ weights.head_weight
    dy[:, :: grid.sample, : features.shape[2]] = features.to(dy.dtype)
    for x, saved, given, where in reversed(kept):
        dy = ops.block_input_gradient(dy, x, saved, *given, *where, precision)
    dy = dy.float().transpose(1, 2)
    if one_hot is None:
        return dy
    (gradient,) = torch.autograd.grad(first, one_hot, dy[:, : first.shape[1]].unsqueeze(2))
    return gradient


def _rows(maps: Tensor, precision: str) -> Tensor:
    """(N, C, 1, L) -> rows (N, L, C') of the operators."""
    channels = maps.shape[1]
    padded = ops.implementation(maps.device).padded_channels(channels, precision)
    rows = maps.detach().squeeze(2).transpose(1, 2).to(ops.ROWS[precision])
    return F.pad(rows, (0, padded - channels)).contiguous()


def _forward(block: reference.BlockWeights, geometry: BlockGrid, x: Tensor, precision: str):
    """Rows that a block gives, and what its gradient needs."""
    residual = code_residual(block.residual).to(x.device) if x.dtype == torch.uint8 else None
    where = (geometry.dilation, geometry.stride, block.tap // geometry.grid_in)
    given = (block.weight1, block.weight2, block.bias1, block.bias2, residual)
    saved = ops.block(
        x, block.weight1, block.weight2, None, block.bias1, None, block.bias2, None, None,
        residual, *where, 0.0, precision,
    )  # fmt: skip
    return saved[0], (x, list(saved), given, where)
