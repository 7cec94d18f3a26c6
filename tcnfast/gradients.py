"""Gradients of logits with respect to the one-hot form of the sequence, on the C++ engine."""

from __future__ import annotations

import torch
from torch import Tensor

from . import ops, reference
from .engine import code_residual
from .grid import StackGrid


@torch.no_grad()
def input_gradient(
    weights: reference.StackWeights,
    grid: StackGrid,
    codes: Tensor,
    dlogits: Tensor,
    precision: str = "fp32",
) -> Tensor:
    """Gradient of ``(logits * dlogits).sum()`` with respect to the one-hot form of ``codes``.

    ``weights``: folded (``TCN.folded``, or mirrored); ``codes`` uint8 (N, L); ``dlogits`` float32
    (N, P, labels), a weight for each logit of ``reference.stack``. Returns float32 (N, 4, L), at N
    too. Weight gradients are not computed. Raises TcnfastError where the engine cannot run.
    """
    ops.require(codes.device, precision)
    weights = weights.to(codes.device, torch.float32)
    x, kept = codes, []
    for block, geometry in zip(weights.blocks, grid.blocks, strict=True):
        residual = code_residual(block.residual) if x is codes else None
        where = (geometry.dilation, geometry.stride, block.tap // geometry.grid_in)
        given = (block.weight1, block.weight2, block.bias1, block.bias2, residual)
        saved = ops.block(
            x, block.weight1, block.weight2, None, block.bias1, None, block.bias2, None, None,
            residual, *where, 0.0, precision,
        )  # fmt: skip
        kept.append((x, list(saved), given, where))
        x = saved[0]
    dy = torch.zeros_like(x)
    features = dlogits.float() @ weights.head_weight
    dy[:, :: grid.sample, : features.shape[2]] = features.to(dy.dtype)
    for x, saved, given, where in reversed(kept):
        dy = ops.block_input_gradient(dy, x, saved, *given, *where, precision)
    return dy.transpose(1, 2)
