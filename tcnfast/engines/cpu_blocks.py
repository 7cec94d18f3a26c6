"""``ops.block`` and its gradients on the C++ engine (csrc/cpu), which takes addresses."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from . import cpu_engine
from .block_call import BlockCall, BlockGradients, BlockOutputs
from .ranks import Ranks


def padded_channels(channels: int, precision: str, symmetric: bool = False) -> int:
    """Channels of a row; of pairs, both halves are padded."""
    halves = 2 if symmetric else 1
    return halves * cpu_engine.padded_channels(channels // halves, precision)


def kept(call: BlockCall) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Sizes of ``norms`` and ``packed`` of ``BlockOutputs``: nothing is kept."""
    return (0,), (0,)


def windows(_call: BlockCall) -> None:
    """Of codes nothing is kept either."""


def forward(call: BlockCall, outputs: BlockOutputs) -> None:
    """Compute ``outputs``. Raises ValueError for a code over 4."""
    _run("block_forward", call, outputs._asdict())


def backward(dy: Tensor, call: BlockCall, saved: BlockOutputs, gradients: BlockGradients) -> None:
    """Fill ``gradients``; ``saved``: what the forward pass gave."""
    size = call.sequences, call.length1, saved.y.shape[2]
    more = {"dy": dy, "workspace": torch.empty(size, dtype=dy.dtype)}
    _run("block_backward", call, saved._asdict() | gradients._asdict() | more)


def _run(name: str, call: BlockCall, tensors: dict[str, Tensor | None]) -> None:
    arguments = cpu_engine._C.BlockArguments()
    for size in arguments.SIZES:
        setattr(arguments, size, getattr(call, size))
    named = call.tensors() | tensors | {"code_input" if call.codes else "x": call.x}
    alive = {key: t.contiguous() for key, t in named.items() if t is not None and t.numel()}
    for key, tensor in alive.items():
        setattr(arguments, key, tensor.data_ptr())
    add_up = _add_up(call.processes) if call.processes.count > 1 else None
    run = getattr(cpu_engine._C, name)
    run(cpu_engine.isa(), call.precision, arguments, torch.get_num_threads(), add_up)


def _add_up(processes: Ranks) -> Callable[[int, int], None]:
    """Adds up ``count`` float64 numbers at an address over the processes, in place."""

    def add_up(address: int, count: int) -> None:
        values = np.ctypeslib.as_array((ctypes.c_double * count).from_address(address))
        values[:] = processes.total(torch.from_numpy(values.copy())).numpy()

    return add_up
