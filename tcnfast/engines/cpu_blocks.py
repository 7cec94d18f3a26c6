"""``ops.block`` and its gradients on the C++ engine (csrc/cpu), which takes addresses."""

from __future__ import annotations

import torch
from torch import Tensor

from . import cpu_engine


def padded_channels(channels: int, precision: str) -> int:
    """Channels of a row."""
    return cpu_engine.padded_channels(channels, precision)


def forward(
    x: Tensor,
    tensors: dict[str, Tensor | None],
    outputs: dict[str, Tensor],
    shape: dict,
    precision: str,
) -> None:
    """Compute ``outputs``, named as ``ops.block`` returns them, of ``x`` and its other arguments.

    Raises ValueError for a code over 4.
    """
    addresses, alive = _addresses({_name(x): x} | tensors | outputs)
    threads = torch.get_num_threads()
    cpu_engine._C.block_forward(cpu_engine.isa(), precision, shape, addresses, threads)
    del alive


def backward(
    dy: Tensor,
    x: Tensor,
    saved: dict[str, Tensor],
    tensors: dict[str, Tensor | None],
    gradients: dict[str, Tensor],
    shape: dict,
    precision: str,
) -> None:
    """Fill ``gradients``, named as the arguments of ``ops.block``; or of codes "one_hot" alone."""
    length1 = shape["length"] - (shape["taps1"] - 1) * shape["dilation"]
    workspace = torch.empty(shape["sequences"], length1, saved["y"].shape[2], dtype=dy.dtype)
    addresses, alive = _addresses({_name(x): x} | tensors | saved)
    dy = dy.contiguous()
    results, _ = _addresses({"dy": dy, "workspace": workspace} | gradients)
    threads = torch.get_num_threads()
    cpu_engine._C.block_backward(cpu_engine.isa(), precision, shape, addresses, results, threads)
    del alive


def _name(x: Tensor) -> str:
    return "codes" if x.dtype == torch.uint8 else "x"


def _addresses(tensors: dict[str, Tensor | None]) -> tuple[dict[str, int], list[Tensor]]:
    """Addresses of contiguous tensors, and the tensors that must live while they are used."""
    alive = {name: t.contiguous() for name, t in tensors.items() if t is not None and t.numel()}
    return {name: tensor.data_ptr() for name, tensor in alive.items()}, list(alive.values())
