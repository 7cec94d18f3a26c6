"""``ops.block`` and its gradients on the Triton kernels: the same arguments and results as
``cpu_blocks``. A block in training is a handful of kernels, and what is kept of it are the rows
that its convolutions gave and its output."""

from __future__ import annotations

import torch
from torch import Tensor

from . import reference, triton_backward, triton_forward, triton_weights
from .block_call import BlockCall, BlockGradients, BlockOutputs
from .triton_layout import layout_of


def padded_channels(channels: int, precision: str, symmetric: bool = False) -> int:
    """Channels of a row; of pairs, both halves are padded."""
    return layout_of(channels, symmetric).padded


def kept(call: BlockCall) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Sizes of ``norms`` and ``packed`` of ``BlockOutputs``."""
    call = triton_forward.Call(**vars(call))
    return (2, 4, call.padded), (triton_weights.packed_size(call),)


def windows(call: BlockCall) -> tuple[int, int]:
    """Size of what is kept of codes, int64, as ``a1`` of ``BlockOutputs``."""
    return call.sequences, call.length1


def forward(call: BlockCall, outputs: BlockOutputs) -> None:
    """Compute ``outputs``."""
    if call.codes:
        reference.check_codes(call.x)
    call = _contiguous(call)
    with torch.cuda.device_of(call.x):  # where Triton launches
        triton_forward.forward(call, outputs)


def backward(dy: Tensor, call: BlockCall, saved: BlockOutputs, gradients: BlockGradients) -> None:
    """Fill ``gradients``; ``saved``: what the forward pass gave."""
    call = _contiguous(call)
    with torch.cuda.device_of(call.x):
        triton_backward.backward(dy.contiguous(), call, saved, gradients)


def _contiguous(call: BlockCall) -> triton_forward.Call:
    given = vars(call)
    tensors = {name: t.contiguous() for name, t in given.items() if isinstance(t, Tensor)}
    return triton_forward.Call(**given | tensors)
