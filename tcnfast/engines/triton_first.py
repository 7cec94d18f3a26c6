"""The first block of a stack as three kernels, for shapes that do not fit in one: those of a block
in training, without norms."""

from __future__ import annotations

import torch
from torch import Tensor

from . import triton_blocks, triton_forward
from .block_call import BlockOutputs
from .cpu_engine import code_residual
from .grid import BlockGrid
from .reference import BlockWeights
from .triton_layout import Layout


class FirstInParts:
    """Codes (N, L) to rows (N, L', C'): a kernel for each convolution, and one for what follows."""

    def __init__(
        self, weights: BlockWeights, geometry: BlockGrid, layout: Layout, precision: str, _chip
    ) -> None:
        self.arguments = dict(
            weight1=weights.weight1,
            weight2=weights.weight2.contiguous(),
            gain1=None,
            shift1=weights.bias1,
            gain2=None,
            shift2=weights.bias2,
            mask1=None,
            mask2=None,
            code_residual=code_residual(weights.residual).to(weights.weight1.device),
            dilation=geometry.dilation,
            stride=geometry.stride,
            tap=weights.tap // geometry.grid_in,
            eps=0.0,
            precision=precision,
            symmetric=layout.symmetric,
        )

    def __call__(self, codes: Tensor) -> Tensor:
        call = triton_forward.Call(x=codes, **self.arguments)
        y, a2 = call.rows(call.length2), call.rows(call.length2)
        nothing = torch.empty(0, device=codes.device)
        norms, packed = triton_blocks.kept(call)
        norms = torch.empty(norms, device=codes.device)
        packed = torch.empty(packed, dtype=y.dtype, device=codes.device)
        windows = torch.empty(triton_blocks.windows(call), dtype=torch.int64, device=codes.device)
        outputs = BlockOutputs(y, windows, a2, *(nothing,) * 4, norms, packed)
        triton_forward.forward(call, outputs)
        return y
