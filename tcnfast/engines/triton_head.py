"""The head of a stack on the Triton kernels."""

from __future__ import annotations

import torch
from torch import Tensor

from .reference import DTYPES
from .triton_layout import FUSION, INPUTS


class Head:
    """Rows (N, L, C') to logits (N, outputs, labels) float32."""

    TILE = 64  # positions, and labels

    def __init__(self, weights, sample, layout, precision) -> None:
        self.labels, self.sample = len(weights.head_weight), sample
        self.pairs = layout.symmetric
        self.inputs = INPUTS.get(precision, "ieee")
        extra = 0, -self.labels % self.TILE
        pad = torch.nn.functional.pad
        matrix = pad(layout.head(weights.head_weight), extra)
        self.weight = matrix.to(DTYPES[precision]).contiguous()
        self.bias = pad(weights.head_bias, extra).contiguous()

    def __call__(self, x: Tensor, outputs: int) -> Tensor:
        from ..kernels.head import head

        n, length, _ = x.shape
        y = torch.empty(n, outputs, self.labels, device=x.device)
        head[(-(-outputs // self.TILE) * n, len(self.bias) // self.TILE)](
            x=x,
            y=y,
            w=self.weight,
            b=self.bias,
            length=length,
            outputs=outputs,
            labels=self.labels,
            sample=self.sample,
            C=len(self.weight),
            LABELS=self.TILE,
            M=self.TILE,
            INPUTS=self.inputs,
            PAIRS=self.pairs,
            num_warps=4,
            num_stages=1,
            **FUSION,
        )
        return y
