"""``ops.block`` and its gradients on the Triton kernels: the same arguments and results as
``cpu_blocks``. A block in training is a handful of kernels, and what is kept of it are the rows
that its convolutions gave and its output."""

from __future__ import annotations

import torch
from torch import Tensor

from . import reference, triton_backward, triton_forward
from .block_call import BlockCall, BlockGradients, BlockOutputs
from .triton_layout import layout_of


def padded_channels(channels: int, precision: str, symmetric: bool = False) -> int:
    """Channels of a row; of pairs, both halves are padded."""
    return layout_of(channels, symmetric).padded


def forward(call: BlockCall, outputs: BlockOutputs) -> None:
    """Compute ``outputs``."""
    if call.codes:
        reference.check_codes(call.x)
    call = _contiguous(call)
    with torch.cuda.device_of(call.x):  # where Triton launches
        triton_forward.forward(call, outputs)


def backward(dy: Tensor, call: BlockCall, saved: BlockOutputs, gradients: BlockGradients) -> None:
    """Fill ``gradients``; ``saved``: what the forward pass gave."""
    wanted = gradients.whole() if call.halves else gradients
    call = _contiguous(call)
    with torch.cuda.device_of(call.x):
        triton_backward.backward(dy.contiguous(), call, saved, wanted)
    gradients.fill_halves(wanted)


def _contiguous(call: BlockCall) -> triton_forward.Call:
    call = call.whole()
    return triton_forward.Call(**vars(call) | {"x": call.x.contiguous()})
