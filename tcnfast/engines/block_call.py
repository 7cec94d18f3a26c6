"""What one residual block in training is told and what it gives: one structure for the operators,
the C++ engine and the Triton kernels. Fields have the names of ``BlockArguments`` in csrc."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import NamedTuple

import torch
from torch import Tensor

from .ranks import ALONE, Ranks, ranks_named


@dataclass(frozen=True)
class BlockCall:
    """The arguments of ``ops.block``, in its order, and the sizes that follow from them.

    ``x``: uint8 codes (N, L) with ``code_residual`` (5, C), what each code adds; or rows (N, L, C')
    of ``precision``. ``weight1`` (C, C_in, k1), ``weight2`` (C, C, k2); ``gain``, ``shift`` (C,) of
    the batch norms, or None and the convolution's bias; ``mask`` (N, C) what dropout multiplies by,
    or None; all float32. Dilation, stride and residual tap count positions of ``x``.
    ``symmetric``: weights and masks are those of pairs of channels (c, C-1-c) that the reverse
    complement exchanges (``reference.StackWeights``). Rows hold channels 0..C/2-1, zeros up to
    C'/2, then the partners C-1..C/2 in the same order, zeros up to C'; statistics are pooled over
    pairs; gradients of parameters are averaged with their flips. Weights, gains and shifts may also
    be given as their first halves (``halves``), of which the gradients then are. ``backend``:
    "auto", "triton" or "cpu". ``ranks``: the name of the processes that share the batch (ranks.py),
    whose positions a norm takes together; gradients of parameters are those of the rows in ``x``.
    """

    x: Tensor
    weight1: Tensor
    weight2: Tensor
    gain1: Tensor | None
    shift1: Tensor
    gain2: Tensor | None
    shift2: Tensor
    mask1: Tensor | None
    mask2: Tensor | None
    code_residual: Tensor | None
    dilation: int
    stride: int
    tap: int
    eps: float
    precision: str
    symmetric: bool = False
    backend: str = "auto"
    ranks: str = ALONE.name

    @property
    def codes(self) -> bool:
        return self.x.dtype == torch.uint8

    @property
    def batch_norm(self) -> bool:
        return self.gain1 is not None

    @property
    def sequences(self) -> int:
        return self.x.shape[0]

    @property
    def length(self) -> int:
        return self.x.shape[1]

    @property
    def processes(self) -> Ranks:
        """The processes that share the batch."""
        return ranks_named(self.ranks)

    @property
    def channels(self) -> int:
        return self.weight2.shape[1]

    @property
    def halves(self) -> bool:
        return self.symmetric and 2 * len(self.weight2) == self.channels

    @property
    def taps1(self) -> int:
        return self.weight1.shape[2]

    @property
    def taps2(self) -> int:
        return self.weight2.shape[2]

    @property
    def length1(self) -> int:
        """Positions that the first convolution gives."""
        return self.length - (self.taps1 - 1) * self.dilation

    @property
    def length2(self) -> int:
        """Positions that the second convolution gives."""
        return (self.length1 - 1 - (self.taps2 - 1) * self.dilation) // self.stride + 1

    def tensors(self) -> dict[str, Tensor | None]:
        """All tensors but ``x``, by name."""
        return {name: getattr(self, name) for name in TENSORS[1:]}


TENSORS = tuple(field.name for field in fields(BlockCall) if "Tensor" in field.type)


class BlockOutputs(NamedTuple):
    """``y`` (N, L2, C'); what both convolutions gave before their norms, ``a1`` (N, L1, C'), of
    codes their windows, int64 (N, L1), on the C++ engine none (N, 0, C'); and ``a2`` (N, L2, C');
    the batch's mean and biased variance of both, (C,) float32, empty without batch norm.

    What the Triton kernels keep for the backward pass of the same call, empty on the C++ engine:
    ``norms`` (2, 4, C') float32, the rows of ``triton_forward.Norm`` of both norms, and ``packed``,
    the weights as kernels multiply by them, of the rows' dtype (``triton_weights.Packed``)."""

    y: Tensor
    a1: Tensor
    a2: Tensor
    mean1: Tensor
    var1: Tensor
    mean2: Tensor
    var2: Tensor
    norms: Tensor
    packed: Tensor


class BlockGradients(NamedTuple):
    """Gradients to fill, None where not wanted: of the rows, of each parameter, and of the one-hot
    form of codes (N, L, 4). Of the parameters all are wanted or none."""

    dx: Tensor | None = None
    dweight1: Tensor | None = None
    dweight2: Tensor | None = None
    dgain1: Tensor | None = None
    dshift1: Tensor | None = None
    dgain2: Tensor | None = None
    dshift2: Tensor | None = None
    dcode_residual: Tensor | None = None
    one_hot: Tensor | None = None


def schema_of_call() -> str:
    """The arguments of ``BlockCall`` as PyTorch's operators declare them."""
    kinds = {"Tensor | None": "Tensor?", "int": "SymInt"}
    defaults = {"symmetric": "=False", "backend": '="auto"', "ranks": '=""'}
    return ", ".join(
        f"{kinds.get(field.type, field.type)} {field.name}{defaults.get(field.name, '')}"
        for field in fields(BlockCall)
    )
