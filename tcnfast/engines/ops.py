"""A residual block in training as a PyTorch operator: shapes, fake and autograd, over the C++
engine (``cpu_blocks``) and the Triton kernels (``triton_blocks``).

``block`` takes codes (the first block) or rows and gives rows: ``(N, L, C')`` activations, channels
last and padded with zeros to the ``C'`` that matrix instructions take, of a dtype of ``ROWS``.
Batch norms use the statistics of the batch, which come back for the running ones. Dropout is a
scale per sequence and channel, drawn by the caller. The gradients are those of ``model.Block``:
tests/test_ops.py and tests/test_triton_blocks.py compare them, element by element.
"""

from __future__ import annotations

from types import ModuleType

import torch
from torch import Tensor

from ..base.errors import TcnfastError
from . import cpu_blocks, reference, triton_blocks
from .backend import BLOCK, choose

ROWS = {
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
    "tf32": torch.float32,
    "fp32": torch.float32,
}
PARAMETERS = ("weight1", "weight2", "gain1", "shift1", "gain2", "shift2", "code_residual")
OUTPUTS = ("y", "a1", "a2", "mean1", "var1", "mean2", "var2")


_IMPLEMENTATIONS = {"triton": triton_blocks, "cpu": cpu_blocks}


def implementation(device: torch.device, precision: str, first_kernel: int = 1) -> ModuleType:
    """What runs a block on ``device`` in ``precision``, the one that reads codes with a first
    kernel of ``first_kernel`` taps. Raises TcnfastError where nothing can."""
    return _IMPLEMENTATIONS[
        choose(BLOCK, "auto", device, precision, first_kernel=first_kernel).backend
    ]


@torch.library.custom_op("tcnfast::block", mutates_args=())
def block(
    x: Tensor,
    weight1: Tensor,
    weight2: Tensor,
    gain1: Tensor | None,
    shift1: Tensor,
    gain2: Tensor | None,
    shift2: Tensor,
    mask1: Tensor | None,
    mask2: Tensor | None,
    code_residual: Tensor | None,
    dilation: int,
    stride: int,
    tap: int,
    eps: float,
    precision: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """One residual block in training.

    ``x``: uint8 codes (N, L) with ``code_residual`` (5, C), what each code adds; or rows (N, L, C')
    of ``precision``. ``weight1`` (C, C_in, k1), ``weight2`` (C, C, k2); ``gain``, ``shift`` (C,) of
    the batch norms, or None and the convolution's bias; ``mask`` (N, C) what dropout multiplies by,
    or None; all float32. Dilation, stride and residual tap count positions of ``x``.

    Returns y (N, L2, C'), what both convolutions gave before their norms (N, L1, C'), of codes
    (N, 0, C'), and (N, L2, C'), and the batch's mean and biased variance of both (C,) float32
    (empty without batch norm).
    Raises ValueError for a code over 4 and TcnfastError for arguments that do not fit.
    """
    tensors = dict(
        weight1=weight1, weight2=weight2, gain1=gain1, shift1=shift1, gain2=gain2, shift2=shift2,
        mask1=mask1, mask2=mask2, code_residual=code_residual,
    )  # fmt: skip
    check_block(x, tensors, dilation, stride, tap, precision)
    outputs = _outputs(x, weight1, weight2, gain1, dilation, stride, precision)
    shape = _shape(x, weight1, weight2, gain1, dilation, stride, tap, eps)
    named = dict(zip(OUTPUTS, outputs, strict=True))
    implementation(x.device, precision).forward(x, tensors, named, shape, precision)
    return outputs


@block.register_fake
def _(x, weight1, weight2, gain1, shift1, gain2, shift2, mask1, mask2, code_residual,
      dilation, stride, tap, eps, precision):  # fmt: skip
    return _outputs(x, weight1, weight2, gain1, dilation, stride, precision)


@torch.library.custom_op("tcnfast::block_backward", mutates_args=())
def block_backward(
    dy: Tensor,
    x: Tensor,
    saved: list[Tensor],
    weight1: Tensor,
    weight2: Tensor,
    gain1: Tensor | None,
    shift1: Tensor,
    gain2: Tensor | None,
    shift2: Tensor,
    mask1: Tensor | None,
    mask2: Tensor | None,
    code_residual: Tensor | None,
    dilation: int,
    stride: int,
    tap: int,
    eps: float,
    precision: str,
) -> list[Tensor]:
    """Gradients of x, weight1, weight2, gain1, shift1, gain2, shift2, code_residual.

    ``saved``: what ``block`` returned. Where there is nothing to differentiate (codes, a missing
    gain) the gradient is an empty tensor.
    """
    tensors = dict(
        weight1=weight1, weight2=weight2, gain1=gain1, shift1=shift1, gain2=gain2, shift2=shift2,
        mask1=mask1, mask2=mask2, code_residual=code_residual,
    )  # fmt: skip
    gradients = _gradients(x, weight1, weight2, gain1, shift1, gain2, shift2, code_residual)
    named = dict(zip(("dx", *PARAMETERS), gradients, strict=True))
    shape = _shape(x, weight1, weight2, gain1, dilation, stride, tap, eps)
    _run_backward(dy, x, saved, tensors, named, shape, precision)
    return gradients


@block_backward.register_fake
def _(dy, x, saved, weight1, weight2, gain1, shift1, gain2, shift2, mask1, mask2, code_residual,
      dilation, stride, tap, eps, precision):  # fmt: skip
    return _gradients(x, weight1, weight2, gain1, shift1, gain2, shift2, code_residual)


@torch.library.custom_op("tcnfast::block_input_gradient", mutates_args=())
def block_input_gradient(
    dy: Tensor,
    x: Tensor,
    saved: list[Tensor],
    weight1: Tensor,
    weight2: Tensor,
    shift1: Tensor,
    shift2: Tensor,
    code_residual: Tensor | None,
    dilation: int,
    stride: int,
    tap: int,
    precision: str,
) -> Tensor:
    """Gradient of the input of a block without norms or dropout, and nothing else: rows like ``x``,
    or for codes float32 (N, L, 4), the gradient of their one-hot form."""
    tensors = dict(
        weight1=weight1, weight2=weight2, gain1=None, shift1=shift1, gain2=None, shift2=shift2,
        mask1=None, mask2=None, code_residual=code_residual,
    )  # fmt: skip
    gradient = _input_gradient(x)
    named = {"one_hot" if x.dtype == torch.uint8 else "dx": gradient}
    shape = _shape(x, weight1, weight2, None, dilation, stride, tap, 0.0)
    _run_backward(dy, x, saved, tensors, named, shape, precision)
    return gradient


@block_input_gradient.register_fake
def _(dy, x, saved, weight1, weight2, shift1, shift2, code_residual, dilation, stride, tap,
      precision):  # fmt: skip
    return _input_gradient(x)


def _input_gradient(x: Tensor) -> Tensor:
    codes = x.dtype == torch.uint8
    return torch.empty(*x.shape, 4, device=x.device) if codes else _fresh(x)


def _run_backward(dy, x, saved, tensors, gradients, shape, precision) -> None:
    saved = dict(zip(OUTPUTS, saved, strict=True))
    gradients = {name: gradient for name, gradient in gradients.items() if gradient.numel()}
    implementation(x.device, precision).backward(dy, x, saved, tensors, gradients, shape, precision)


def _setup_context(ctx, inputs, output) -> None:
    x, *parameters = inputs[:10]
    ctx.save_for_backward(x, *parameters, *output)
    ctx.settings = inputs[10:]
    ctx.mark_non_differentiable(*output[1:])


def _backward(ctx, dy, *_):
    x, *rest = ctx.saved_tensors
    parameters, saved = rest[:9], rest[9:]
    gradients = torch.ops.tcnfast.block_backward(dy, x, saved, *parameters, *ctx.settings)
    dx, dw1, dw2, dg1, ds1, dg2, ds2, dcr = (g if g.numel() else None for g in gradients)
    return dx, dw1, dw2, dg1, ds1, dg2, ds2, None, None, dcr, *(None,) * len(ctx.settings)


block.register_autograd(_backward, setup_context=_setup_context)


def _lengths(x, weight1, weight2, dilation, stride) -> tuple[int, int]:
    length1 = x.shape[1] - (weight1.shape[2] - 1) * dilation
    return length1, (length1 - 1 - (weight2.shape[2] - 1) * dilation) // stride + 1


def _outputs(x, weight1, weight2, gain1, dilation, stride, precision) -> tuple[Tensor, ...]:
    n, channels = x.shape[0], len(weight1)
    length1, length2 = _lengths(x, weight1, weight2, dilation, stride)
    torch._check(length2 >= 1, lambda: f"block: {x.shape[1]} positions give no output")
    padded = implementation(x.device, precision).padded_channels(channels, precision)
    rows = dict(dtype=ROWS[precision], device=x.device)
    y, a2 = (torch.empty(n, length2, padded, **rows) for _ in range(2))
    statistics = torch.empty(4, channels if gain1 is not None else 0, device=x.device)
    # look-ups of codes are not kept: the backward pass looks them up again
    a1 = torch.empty(n, 0 if x.dtype == torch.uint8 else length1, padded, **rows)
    return y, a1, a2, *(row.clone() for row in statistics)


def _gradients(x, *parameters) -> list[Tensor]:
    missing = torch.empty(0, device=x.device)
    dx = missing if x.dtype == torch.uint8 else _fresh(x)
    return [dx, *(missing.clone() if p is None else _fresh(p) for p in parameters)]


def _fresh(x: Tensor) -> Tensor:
    """An empty tensor of the same shape, C-ordered, whatever the strides of ``x``."""
    return torch.empty(x.shape, dtype=x.dtype, device=x.device)


def check_block(x, tensors, dilation, stride, tap, precision) -> None:
    """Raise TcnfastError where arguments of ``block`` do not fit: kernels trust their callers."""
    codes = x.dtype == torch.uint8
    weight1, weight2 = tensors["weight1"], tensors["weight2"]
    if weight1.ndim != 3 or weight2.ndim != 3:
        raise TcnfastError("block: weights must be (C, C_in, k)")
    channels, n = len(weight1), len(x)
    run = implementation(x.device, precision, weight1.shape[2] if codes else 1)
    padded = run.padded_channels(channels, precision)
    rows = "(N, L) uint8 codes" if codes else f"(N, L, {padded}) {ROWS[precision]}"
    if codes and x.ndim != 2 or not codes and (x.ndim != 3 or x.shape[2] != padded):
        raise TcnfastError(f"block: x is {tuple(x.shape)}, not {rows}")
    if not codes and x.dtype != ROWS[precision]:
        raise TcnfastError(f"block: x is {x.dtype}, not {rows}")
    shapes = {
        "weight1": (channels, 4 if codes else channels, weight1.shape[2]),
        "weight2": (channels, channels, weight2.shape[2]),
        "code_residual": (reference.N_CODES, channels),
        "mask1": (n, channels),
        "mask2": (n, channels),
    } | dict.fromkeys(("gain1", "shift1", "gain2", "shift2"), (channels,))
    for name, shape in shapes.items():
        tensor = tensors[name]
        if tensor is None:
            continue
        if tuple(tensor.shape) != shape or tensor.dtype != torch.float32:
            raise TcnfastError(
                f"block: {name} is {tuple(tensor.shape)} {tensor.dtype}, not {shape} float32"
            )
        if tensor.device != x.device:
            raise TcnfastError(f"block: {name} is on {tensor.device}, not on {x.device}")
    if codes != (tensors["code_residual"] is not None):
        raise TcnfastError("block: codes, and they alone, need code_residual")
    if (tensors["gain1"] is None) != (tensors["gain2"] is None):
        raise TcnfastError("block: gain1 and gain2 are both there or neither")
    if dilation < 1 or stride not in (1, 2) or (stride == 2 and dilation > 1):
        raise TcnfastError(f"block: dilation {dilation}, stride {stride}: no grid has them")
    reach = (weight1.shape[2] + weight2.shape[2] - 2) * dilation
    if not 0 <= tap <= reach:
        raise TcnfastError(f"block: tap {tap} is not among the inputs of an output, 0 to {reach}")


def _shape(x, weight1, weight2, gain1, dilation, stride, tap, eps) -> dict:
    return dict(
        sequences=x.shape[0], length=x.shape[1], channels=len(weight1), taps1=weight1.shape[2],
        taps2=weight2.shape[2], dilation=dilation, stride=stride, tap=tap,
        codes=x.dtype == torch.uint8, batch_norm=gain1 is not None, eps=eps,
    )  # fmt: skip
