"""What a symmetric network is made of: half of every parameter, over channels in pairs (see
``engines/pairs.py``).

The half is what is trained, averaged and saved. The whole is made of it where a module asks for
``weight`` or ``bias``, so that all that reads a plain network reads a symmetric one.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import weight_norm

from ..engines import pairs


class OwnFlip(nn.Module):
    """A parametrization: the tensor that is its own flip along ``axes``, by default all."""

    def __init__(self, *axes: int) -> None:
        super().__init__()
        self.axes = axes

    def forward(self, half: Tensor) -> Tensor:
        return pairs.whole(half, *self.axes)

    def right_inverse(self, tensor: Tensor) -> Tensor:
        """What is kept of a tensor that is assigned: the first half."""
        half = pairs.first_half(tensor, self.axes[0] if self.axes else 0)
        # to keep the order of strides, PyTorch imports its compiler where there is a shape alone
        return half.clone(memory_format=torch.contiguous_format)


def tie(module: nn.Module, name: str, *axes: int) -> None:
    """Make the parameter ``name`` its own flip; its first half stays."""
    parametrize.register_parametrization(module, name, OwnFlip(*axes))


def tie_convolution(conv: nn.Conv1d) -> None:
    """Tie kernels and bias: filter C-1-c becomes the reverse complement of filter c."""
    tie(conv, "weight")
    if conv.bias is not None:
        tie(conv, "bias")


def tie_normed(conv: nn.Conv1d) -> None:
    """The same with weight norm, of which a pair shares direction and gain."""
    conv.weight = nn.Parameter(pairs.first_half(conv.weight.detach()).clone())
    weight_norm(conv)
    parametrize.register_parametrization(conv, "weight", OwnFlip(), unsafe=True)
    tie(conv, "bias")


@torch.no_grad()
def set_parameter(module: nn.Module, name: str, values: Tensor) -> None:
    """Give a parameter new values, also where it is made of others: an assignment takes them
    apart."""
    if parametrize.is_parametrized(module, name):
        setattr(module, name, values)
    else:
        getattr(module, name).copy_(values)


class PairedBatchNorm(nn.BatchNorm2d):
    """Batch norm of ``channels`` in pairs, (N, C, 1, L): both channels of a pair share gain, shift
    and statistics, which are those of both. Parameters and buffers are (C/2,)."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels // 2)

    def forward(self, x: Tensor) -> Tensor:
        return pairs.to_channels(super().forward(pairs.to_positions(x)))


class PairedDropout(nn.Dropout2d):
    """Channel dropout, (N, C, 1, L), that drops pairs: one draw for each."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        return pairs.to_channels(super().forward(pairs.to_positions(x)))
