"""The C++ engine (csrc/): which instruction set it runs on, and a stack of weights made ready.

TCNFAST_CPU_ISA makes the engine take the processor for a lesser one: ``amx``, ``avx512_bf16``,
``avx512``, ``avx2`` or ``generic``; by default it is the first of these that the processor has.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..base.errors import TcnfastError
from . import reference
from .grid import StackGrid

try:
    from .. import _C
except ImportError as error:
    _C, _IMPORT_ERROR = None, error

ISA_VARIABLE = "TCNFAST_CPU_ISA"
BF16_ISAS = ("amx", "avx512_bf16")


def isas() -> dict[str, str | None]:
    """Instruction sets the engine knows, best first, with the reason why one cannot run here."""
    return {} if _C is None else _isas_of(_C.isas)


@cache
def _isas_of(asked: Callable) -> dict[str, str | None]:
    return {name: reason or None for name, reason in asked()}


def isa() -> str:
    """The instruction set that runs. Raises TcnfastError where TCNFAST_CPU_ISA names none here."""
    known = isas()
    forced = os.environ.get(ISA_VARIABLE)
    if not forced:
        return next(name for name, reason in known.items() if reason is None)
    if forced not in known:
        raise TcnfastError(f"{ISA_VARIABLE}={forced}: must be one of {', '.join(known)}")
    if known[forced]:
        raise TcnfastError(f"{ISA_VARIABLE}={forced}: {known[forced]}")
    return forced


def why_not(precision: str) -> str | None:
    """Why the engine cannot compute in ``precision`` here; None if it can."""
    if _C is None:
        return f"the C++ engine is not built ({_IMPORT_ERROR}); install again with a C++17 compiler"
    if precision not in ("fp32", "bf16"):
        return f"it computes in fp32 and bf16, not {precision}"
    if precision == "bf16" and isa() not in BF16_ISAS:
        return f"{isa()} has no bf16 products (AMX and AVX512-BF16 have); fp32 runs"
    return None


def padded_channels(channels: int, precision: str) -> int:
    """Channels of a row of ``precision`` on the instruction set that runs."""
    return _C.padded_channels(isa(), precision, channels)


def keep_freed_memory() -> None:
    """Have the C library keep large freed blocks: a training step asks for the same ones again."""
    if _C is not None:
        _C.keep_freed_memory()


class Sparsity(NamedTuple):
    """What a convolution of a stack reads, and whether it leaves zeros out."""

    block: int
    convolution: int  # of the block: 1 or 2
    nonzero: float | None  # share of its inputs (bf16: pairs of them), None if not measured
    listed: bool


class Scorer:
    """A packed stack: maps uint8 codes (B, T) to float32 logits (B, P, labels).

    ``sparsity``: of every convolution whose inputs are channels, in order.
    """

    def __init__(self, stack, grid: StackGrid, n_labels: int) -> None:
        self._stack, self._grid, self._labels = stack, grid, n_labels
        self.sparsity = [
            Sparsity(block, convolution, None if nonzero < 0 else nonzero, listed)
            for block, convolution, nonzero, listed in stack.convolutions()
        ]

    def __call__(self, codes: Tensor) -> Tensor:
        codes = codes.contiguous()
        n, length = codes.shape
        logits = torch.empty(n, self._grid.n_scores(length), self._labels)
        threads = torch.get_num_threads()
        try:
            with _threads_start():
                self._stack.score(codes.data_ptr(), n, length, logits.data_ptr(), threads)
        except ValueError as error:
            raise TcnfastError(f"plan input: {error}") from None
        return logits


def prepare(
    weights: reference.StackWeights,
    grid: StackGrid,
    precision: str,
    *,
    chunk: int = 0,
    lists: bool | None = None,
) -> Scorer:
    """Pack the weights, see :func:`pack`."""
    return Scorer(
        pack(weights, grid, precision, chunk=chunk, lists=lists), grid, len(weights.head_bias)
    )


class ChangedWindows(NamedTuple):
    """Windows of the receptive field, in each of which one base changes.

    Window i of the codes begins at ``starts[i]``, in ascending order; its base ``places[i]``
    becomes ``bases[i]``. Windows may overlap.

    ``counts``: of runs of windows with the one other base, each ``step`` bases, a power of two,
    behind the one before; places count from the first window of a run. One window each by default.
    """

    codes: np.ndarray  # uint8 (T,)
    starts: np.ndarray  # int64 (n,)
    places: np.ndarray  # int64 (n,)
    bases: np.ndarray  # uint8 (n,)
    counts: np.ndarray | None = None  # int64 (n,)
    step: int = 1


class Substitutions:
    """A folded stack made ready for windows in which bases change; fp32, PyTorch's threads.

    ``grid``: of one window, for scores 2^blocks apart. Inputs that are 0 are left out.
    Raises TcnfastError where threads cannot be started, ValueError for places that are not there.
    """

    def __init__(self, weights: reference.StackWeights, grid: StackGrid) -> None:
        self._stack = _C.Substitutions(isa=isa(), params=stack_parameters(weights, grid))
        self._labels, self._field = len(weights.head_bias), grid.receptive_field

    def pairs(self, windows: ChangedWindows) -> tuple[Tensor, Tensor]:
        """Logits of windows as they are and with their other base, both float32 (sum of counts,
        labels): the bits of whole windows.

        What windows that overlap have in common, and what a base changes in a run of them, is
        computed once.
        """
        codes, starts, places, bases, counts, step = windows
        counts = np.ones(len(starts), np.int64) if counts is None else counts
        before, after = (torch.empty(int(np.sum(counts)), self._labels) for _ in range(2))
        arrays = [(codes, np.uint8), *((x, np.int64) for x in (starts, counts, places))]
        arrays.append((bases, np.uint8))
        codes, starts, counts, places, bases = (np.ascontiguousarray(*array) for array in arrays)
        with _threads_start():
            self._stack.score(
                codes=codes.ctypes.data,
                length=len(codes),
                starts=starts.ctypes.data,
                counts=counts.ctypes.data,
                places=places.ctypes.data,
                bases=bases.ctypes.data,
                n=len(starts),
                step=step,
                before=before.data_ptr(),
                after=after.data_ptr(),
                threads=torch.get_num_threads(),
            )
        return before, after

    def changes(
        self,
        codes: np.ndarray,
        offsets: np.ndarray,
        places: np.ndarray,
        bases: np.ndarray,
        threads: int | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Logits float32 (labels,) of one window, uint8 (RF,), and what each of n changes adds to
        them, float32 (n, labels).

        Change i puts ``bases[j]`` at ``places[j]``, where ``offsets[i] <= j < offsets[i + 1]``;
        offsets int64 (n + 1,), places int64, ascending within a change, bases uint8. Only the
        differences from the window pass through the layers. ``threads``: PyTorch's by default.
        """
        arrays = [(codes, np.uint8), (offsets, np.int64), (places, np.int64), (bases, np.uint8)]
        codes, offsets, places, bases = (np.ascontiguousarray(*array) for array in arrays)
        if codes.shape != (self._field,) or len(places) != len(bases) or offsets[-1] > len(places):
            raise ValueError(f"a window of {codes.shape} codes, or changes that do not fit")
        logits, gained = torch.empty(self._labels), torch.empty(len(offsets) - 1, self._labels)
        with _threads_start():
            self._stack.score_changes(
                codes=codes.ctypes.data,
                offsets=offsets.ctypes.data,
                places=places.ctypes.data,
                bases=bases.ctypes.data,
                n=len(gained),
                logits=logits.data_ptr(),
                gained=gained.data_ptr(),
                threads=threads or torch.get_num_threads(),
            )
        return logits, gained


@contextmanager
def _threads_start() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise TcnfastError(f"the C++ engine could not start its threads ({error})") from None


def pack(
    weights: reference.StackWeights,
    grid: StackGrid,
    precision: str,
    *,
    chunk: int = 0,
    lists: bool | None = None,
):
    """The ``_C.Stack`` of folded weights on the grids of ``grid``.

    ``chunk``: positions that pass through all layers at once, 0 for what fits the cache. ``lists``:
    convolutions go over lists of the inputs that are not 0 where these are few on a fixed random
    sequence (None), wherever weights are finite (True), or nowhere (False). AMX has no lists.
    Neither, nor the number of threads (PyTorch's), changes a bit of the logits; but with lists a
    convolution of a symmetric stack is not halved, and rounds otherwise.
    """
    return _C.Stack(
        isa=isa(),
        precision=precision,
        params=stack_parameters(weights, grid),
        chunk=chunk,
        lists={None: "measured", True: "always", False: "never"}[lists],
    )


def stack_parameters(weights: reference.StackWeights, grid: StackGrid):
    """The ``_C.StackParams`` of folded weights."""
    weights = weights.to("cpu", torch.float32)
    blocks = [
        _C.BlockParams(
            taps1=geometry.kernel_sizes[0],
            taps2=geometry.kernel_sizes[1],
            dilation=geometry.dilation,
            stride=geometry.stride,
            tap=block.tap // geometry.grid_in,
            weight1=block.weight1.numpy(),
            bias1=block.bias1.numpy(),
            weight2=block.weight2.numpy(),
            bias2=block.bias2.numpy(),
        )
        for block, geometry in zip(weights.blocks, grid.blocks, strict=True)
    ]
    return _C.StackParams(
        blocks=blocks,
        code_residual=code_residual(weights.blocks[0].residual).numpy(),
        head_weight=weights.head_weight.numpy(),
        head_bias=weights.head_bias.numpy(),
        stride=grid.stride,
        sample=grid.sample,
        receptive_field=grid.receptive_field,
        symmetric=weights.symmetric,
    )


def code_residual(residual: tuple[Tensor, Tensor] | None) -> Tensor:
    """What the first block adds for each code (5, C): its 1x1 (C, 4) and bias, or one-hot DNA
    itself; differentiable."""
    if residual is None:
        return torch.eye(reference.N_CODES, 4)
    weight, bias = residual
    return torch.nn.functional.pad(weight.T, (0, 0, 0, 1)) + bias  # N, the last, has no letter
