"""A residual block in training as a PyTorch operator: shapes, fake and autograd, over the C++
engine (``cpu_blocks``) and the Triton kernels (``triton_blocks``).

``block`` takes codes (the first block) or rows and gives rows: ``(N, L, C')`` activations, channels
last and padded with zeros to the ``C'`` that matrix instructions take, of a dtype of ``ROWS``.
Batch norms use the statistics of the batch, which come back for the running ones. Dropout is a
scale per sequence and channel, drawn by the caller. The gradients are those of ``model.Block``:
tests/engines/test_ops.py and test_triton_blocks.py compare them, element by element.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from types import ModuleType

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..base.errors import TcnfastError
from . import cpu_blocks, cpu_engine, reference, triton_blocks
from .backend import BLOCK, choose
from .block_call import BlockCall, BlockGradients, BlockOutputs, schema_of_call
from .grid import BlockGrid
from .reference import DTYPES as ROWS

_ARGUMENTS = schema_of_call()
_IMPLEMENTATIONS = {"triton": triton_blocks, "cpu": cpu_blocks}


def implementation(
    device: torch.device,
    precision: str,
    first_kernel: int = 1,
    backend: str = "auto",
    channels: int = 1,
) -> ModuleType:
    """What runs a block of ``channels`` on ``device`` in ``precision``, the one that reads codes
    with a first kernel of ``first_kernel`` taps. Raises TcnfastError where nothing can."""
    needs = dict(first_kernel=first_kernel, channels=channels)
    chosen = choose(BLOCK, backend, device, precision, **needs)
    return _IMPLEMENTATIONS[chosen.backend]


def _chosen(call: BlockCall) -> ModuleType:
    """What runs the block."""
    if call.weight1.ndim != 3 or call.weight2.ndim != 3:
        raise TcnfastError("block: weights must be (C, C_in, k)")
    taps = call.taps1 if call.codes else 1
    return implementation(call.x.device, call.precision, taps, call.backend, call.channels)


def _padded(run: ModuleType, call: BlockCall) -> int:
    """Channels of its rows."""
    return run.padded_channels(call.channels, call.precision, call.symmetric)


def plain_arguments(
    weights: reference.BlockWeights, grid: BlockGrid, x: Tensor, precision: str
) -> tuple:
    """The arguments of ``block`` for folded weights: no norms, no dropout."""
    call = BlockCall(
        x=x,
        weight1=weights.weight1,
        weight2=weights.weight2,
        gain1=None,
        shift1=weights.bias1,
        gain2=None,
        shift2=weights.bias2,
        mask1=None,
        mask2=None,
        code_residual=None,
        dilation=grid.dilation,
        stride=grid.stride,
        tap=weights.tap // grid.grid_in,
        eps=0.0,
        precision=precision,
    )
    if call.codes:
        residual = cpu_engine.code_residual(weights.residual).to(x.device)
        call = replace(call, code_residual=residual)
    return tuple(vars(call).values())


def block(*arguments, **named) -> BlockOutputs:
    """One residual block in training: the fields of ``BlockCall`` -> those of ``BlockOutputs``,
    differentiable in ``y``.

    Raises ValueError for a code over 4 in host memory (one on a GPU counts as N) and TcnfastError
    for arguments that do not fit.
    """
    call = BlockCall(*arguments, **named)
    arguments = vars(call).values()
    if torch.compiler.is_compiling():
        return BlockOutputs(*operator(*arguments))
    return BlockOutputs(*_Block.apply(*arguments))


def _forward(call: BlockCall) -> tuple[ModuleType, tuple[Tensor, ...]]:
    """What has run the block, and what it gave."""
    run = _chosen(call)
    check_block(call, _padded(run, call))
    outputs = outputs_of(call, run)
    run.forward(call, outputs)
    return run, tuple(outputs)


@torch.library.custom_op(
    "tcnfast::block",
    mutates_args=(),
    schema=f"({_ARGUMENTS}) -> ({', '.join(['Tensor'] * len(BlockOutputs._fields))})",
)
def operator(*arguments) -> tuple[Tensor, ...]:
    """``block`` as PyTorch's compilers see it."""
    return _forward(BlockCall(*arguments))[1]


@operator.register_fake
def _(*arguments):
    call = BlockCall(*arguments)
    return tuple(outputs_of(call, _chosen(call)))


@torch.library.custom_op(
    "tcnfast::block_backward",
    mutates_args=(),
    schema=f"(Tensor dy, Tensor[] saved, {_ARGUMENTS}) -> Tensor[]",
)
def block_backward(dy: Tensor, saved: list[Tensor], *arguments) -> list[Tensor]:
    """Gradients of x, weight1, weight2, gain1, shift1, gain2, shift2, code_residual.

    ``saved``: what ``block`` returned; then the arguments that it had. Where there is nothing to
    differentiate (codes, a missing gain) the gradient is an empty tensor.
    """
    return _gradients(_chosen(BlockCall(*arguments)), dy, saved, *arguments)


def _gradients(run: ModuleType, dy: Tensor, saved: list[Tensor], *arguments) -> list[Tensor]:
    call = BlockCall(*arguments)
    gradients = empty_gradients(call)
    wanted = BlockGradients(*(gradient if gradient.numel() else None for gradient in gradients))
    run.backward(dy, call, BlockOutputs(*saved), wanted)
    return gradients


@block_backward.register_fake
def _(dy, saved, *arguments):
    return empty_gradients(BlockCall(*arguments))


@torch.library.custom_op(
    "tcnfast::block_input_gradient",
    mutates_args=(),
    schema=f"(Tensor dy, Tensor[] saved, {_ARGUMENTS}) -> Tensor",
)
def block_input_gradient(dy: Tensor, saved: list[Tensor], *arguments) -> Tensor:
    """Gradient of the input of a block, and nothing else: rows like ``x``, or for codes float32
    (N, L, 4), the gradient of their one-hot form. Arguments as those of ``block_backward``."""
    call = BlockCall(*arguments)
    gradient = _input_gradient(call.x)
    wanted = {"one_hot" if call.codes else "dx": gradient if gradient.numel() else None}
    _chosen(call).backward(dy, call, BlockOutputs(*saved), BlockGradients(**wanted))
    return gradient


@block_input_gradient.register_fake
def _(dy, saved, *arguments):
    return _input_gradient(BlockCall(*arguments).x)


def _input_gradient(x: Tensor) -> Tensor:
    codes = x.dtype == torch.uint8
    return torch.empty(*x.shape, 4, device=x.device) if codes else _fresh(x)


N_TENSORS = 10  # of the arguments, which come first


def _setup_context(ctx, inputs, output) -> None:
    ctx.save_for_backward(*inputs[:N_TENSORS], *output)
    ctx.settings = inputs[N_TENSORS:]
    ctx.mark_non_differentiable(*output[1:])
    ctx.set_materialize_grads(False)


def _backward(ctx, dy, *_, run=torch.ops.tcnfast.block_backward):
    if dy is None:
        return (None,) * (N_TENSORS + len(ctx.settings))
    tensors = ctx.saved_tensors
    gradients = run(dy, list(tensors[N_TENSORS:]), *tensors[:N_TENSORS], *ctx.settings)
    *of_parameters, of_residual = (g if g.numel() else None for g in gradients)
    return *of_parameters, None, None, of_residual, *(None,) * len(ctx.settings)


operator.register_autograd(_backward, setup_context=_setup_context)


class _Block(torch.autograd.Function):
    """The same without PyTorch's dispatcher, which would take as long as a small block does."""

    @staticmethod
    def forward(ctx, *arguments):
        ctx.run, outputs = _forward(BlockCall(*arguments))
        _setup_context(ctx, arguments, outputs)
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx, *gradients):
        return _backward(ctx, *gradients, run=partial(_gradients, ctx.run))


def outputs_of(call: BlockCall, run: ModuleType) -> BlockOutputs:
    """Empty ones for ``run``, one of ``_IMPLEMENTATIONS``."""
    length2, padded = call.length2, _padded(run, call)
    torch._check(length2 >= 1, lambda: f"block: {call.length} positions give no output")
    rows = dict(dtype=ROWS[call.precision], device=call.x.device)
    y, a2 = (torch.empty(call.sequences, length2, padded, **rows) for _ in range(2))
    size = call.channels if call.batch_norm else 0
    statistics = (torch.empty(size, device=call.x.device) for _ in range(4))
    # look-ups of codes are not kept: the backward pass looks them up again
    a1 = torch.empty(call.sequences, 0 if call.codes else call.length1, padded, **rows)
    if call.codes and (windows := run.windows(call)):
        a1 = torch.empty(windows, dtype=torch.int64, device=call.x.device)
    norms, packed = run.kept(call)
    norms, packed = torch.empty(norms, device=call.x.device), torch.empty(packed, **rows)
    return BlockOutputs(y, a1, a2, *statistics, norms, packed)


def empty_gradients(call: BlockCall) -> list[Tensor]:
    """What ``block_backward`` fills; of size 0 where there is nothing to differentiate."""
    missing = torch.empty(0, device=call.x.device)
    norms = call.gain1, call.shift1, call.gain2, call.shift2
    parameters = call.weight1, call.weight2, *norms, call.code_residual
    dx = missing if call.codes else _fresh(call.x)
    return [dx, *(torch.empty_like(missing) if p is None else _fresh(p) for p in parameters)]


def _fresh(x: Tensor) -> Tensor:
    """An empty tensor of the same shape, C-ordered, whatever the strides of ``x``."""
    return torch.empty(x.shape, dtype=x.dtype, device=x.device)


def check_block(call: BlockCall, padded: int) -> None:
    """Raise TcnfastError where arguments of ``block`` do not fit: kernels trust their callers."""
    _check_input(call, padded)
    shapes = _shapes(call)
    for name, tensor in call.tensors().items():
        if tensor is None:
            continue
        if tuple(tensor.shape) != shapes[name] or tensor.dtype != torch.float32:
            raise TcnfastError(
                f"block: {name} is {tuple(tensor.shape)} {tensor.dtype}, not {shapes[name]} float32"
            )
        if tensor.device != call.x.device:
            raise TcnfastError(f"block: {name} is on {tensor.device}, not on {call.x.device}")
    if call.symmetric and call.channels % 2:
        raise TcnfastError(f"block: {call.channels} channels are no pairs")
    if call.codes != (call.code_residual is not None):
        raise TcnfastError("block: codes, and they alone, need code_residual")
    if (call.gain1 is None) != (call.gain2 is None):
        raise TcnfastError("block: gain1 and gain2 are both there or neither")
    dilation, stride = call.dilation, call.stride
    if dilation < 1 or stride not in (1, 2) or (stride == 2 and dilation > 1):
        raise TcnfastError(f"block: dilation {dilation}, stride {stride}: no grid has them")
    reach = (call.taps1 + call.taps2 - 2) * dilation
    if not 0 <= call.tap <= reach:
        raise TcnfastError(
            f"block: tap {call.tap} is not among the inputs of an output, 0 to {reach}"
        )


def _check_input(call: BlockCall, padded: int) -> None:
    x, dtype = call.x, ROWS[call.precision]
    rows = "(N, L) uint8 codes" if call.codes else f"(N, L, {padded}) {dtype}"
    if call.codes and x.ndim != 2 or not call.codes and (x.ndim != 3 or x.shape[2] != padded):
        raise TcnfastError(f"block: x is {tuple(x.shape)}, not {rows}")
    if not call.codes and x.dtype != dtype:
        raise TcnfastError(f"block: x is {x.dtype}, not {rows}")


def _shapes(call: BlockCall) -> dict[str, tuple[int, ...]]:
    channels, n = call.channels, call.sequences
    outputs = channels // 2 if call.halves else channels
    vectors = dict.fromkeys(("gain1", "shift1", "gain2", "shift2"), (outputs,))
    return vectors | {
        "weight1": (outputs, 4 if call.codes else channels, call.taps1),
        "weight2": (outputs, channels, call.taps2),
        "code_residual": (reference.N_CODES, channels),
        "mask1": (n, channels),
        "mask2": (n, channels),
    }
