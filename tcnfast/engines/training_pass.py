"""A forward pass in training on the C++ engine or the Triton kernels: the same weights and norms,
and on the C++ engine random draws, as its plain modules, which run everywhere else. Symmetric
networks run in the halved form where the backend has it, else as they are."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import cpu_engine, ops, pairs
from .backend import TRAINING, choose
from .grid import BlockGrid, StackGrid
from .ranks import ALONE, Ranks, ranks_named


def precision_now(device: torch.device) -> str:
    """What PyTorch's own convolutions would run in on ``device``: autocast's, else float32, whose
    products are tf32 on a GPU where PyTorch allows it."""
    if torch.amp.is_autocast_available(device.type) and torch.is_autocast_enabled(device.type):
        lesser = {torch.bfloat16: "bf16", torch.float16: "fp16"}
        return lesser.get(torch.get_autocast_dtype(device.type), "fp32")
    return "tf32" if device.type == "cuda" and torch.backends.cudnn.allow_tf32 else "fp32"


def backend_of(model: nn.Module, x: Tensor) -> str:
    """The backend of a forward pass of ``x``, "reference" for plain modules: these run whatever is
    no training pass of codes, and where ``model.engine`` says so.

    Raises TcnfastError where TCNFAST_BACKEND names one that cannot run.
    """
    if not (model.training and model.engine and x.dtype == torch.uint8 and len(x) > 0):
        return "reference"
    channels, _, first_kernel = model.blocks[0].conv1.weight.shape
    precision = precision_now(x.device)
    plain_only, shared = _plain_only(model), model.ranks != ALONE.name
    return _chosen(x.device, precision, channels, first_kernel, plain_only, shared)


def _plain_only(model: nn.Module) -> str | None:
    """Why only plain modules can train the model as it is now."""
    modules = list(model.modules())
    if not all(module.training for module in modules):
        return "a part of the network is not in training"
    if any(_has_hooks(module) for module in modules):
        return "the network has hooks, which only plain modules call"
    if not all(parameter.dtype == torch.float32 for parameter in model.parameters()):
        return "the network's parameters are not float32"
    return None


def _chosen(
    device: torch.device,
    precision: str,
    channels: int,
    first_kernel: int,
    plain_only: str | None,
    shared: bool,
) -> str:
    needs = dict(channels=channels, first_kernel=first_kernel, plain_only=plain_only, shared=shared)
    return choose(TRAINING, "auto", device, precision, **needs).backend


# what torch.compiler.assume_constant_result does, at half the price of importing PyTorch
_chosen._dynamo_marked_constant = True


def _has_hooks(module: nn.Module) -> bool:
    return bool(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
    )


def dense(model: nn.Module, codes: Tensor, grid: StackGrid, backend: str) -> Tensor:
    """uint8 codes (N, L) -> logits (N, labels, P), differentiable; running statistics move on.
    ``backend``: what ``backend_of`` said. Where ``model.ranks`` names processes that share the
    batch, the codes are those of this one; norms and draws are of all."""
    precision, ranks = precision_now(codes.device), ranks_named(model.ranks)
    draw = drawn_at_once if backend == "triton" else drawn_one_by_one
    masks = draw(model, ranks.count * len(codes), codes.device)
    if ranks.count > 1:  # each draws for all, so that their generators stay alike
        masks = [mask if mask is None else mask[ranks.rows].contiguous() for mask in masks]
    x, statistics = codes, []
    for i, (block, geometry) in enumerate(zip(model.blocks, grid.blocks, strict=True)):
        x, of_block = _block(block, x, geometry, precision, ranks, *masks[2 * i : 2 * i + 2])
        statistics += of_block
    _move_on(statistics)
    features = x[:, :: grid.sample]
    if model.config.symmetric:  # both channels of a pair have one weight
        h = model.config.channels // 2
        here, partner = (half[..., :h] for half in features.chunk(2, -1))
        logits = F.linear(here + partner, model.head.weight[:, :h], model.head.bias)
    else:
        logits = model.head(features[..., : model.config.channels])
    return logits.transpose(1, 2)


class Statistics(NamedTuple):
    """The mean and the variance of every channel that a norm has seen in ``count`` values."""

    norm: nn.BatchNorm2d
    mean: Tensor
    var: Tensor
    count: int


def _block(
    block: nn.Module,
    x: Tensor,
    grid: BlockGrid,
    precision: str,
    ranks: Ranks,
    mask1: Tensor | None,
    mask2: Tensor | None,
) -> tuple[Tensor, list[Statistics]]:
    conv1, conv2, norm1, norm2 = block.conv1, block.conv2, block.norm1, block.norm2
    batch_norm = isinstance(norm1, nn.BatchNorm2d)
    # pairs of channels share parameters and masks; norms are over their positions together, and
    # over those of all processes
    together = (2 if block.symmetric else 1) * ranks.count
    if batch_norm:
        length1 = x.shape[1] - (conv1.kernel_size[0] - 1) * grid.dilation
        length2 = (length1 - 1 - (conv2.kernel_size[0] - 1) * grid.dilation) // grid.stride + 1
        if len(x) * length2 * together == 1:  # as nn.BatchNorm2d has it
            raise ValueError("Expected more than 1 value per channel when training")
    y, _, _, mean1, var1, mean2, var2, *_ = ops.block(
        x=x,
        weight1=_parameter(block, conv1, "weight"),
        weight2=_parameter(block, conv2, "weight"),
        gain1=norm1.weight if batch_norm else None,
        shift1=norm1.bias if batch_norm else _parameter(block, conv1, "bias"),
        gain2=norm2.weight if batch_norm else None,
        shift2=norm2.bias if batch_norm else _parameter(block, conv2, "bias"),
        mask1=mask1,
        mask2=mask2,
        code_residual=_code_residual(block).to(x.device) if x.dtype == torch.uint8 else None,
        dilation=grid.dilation,
        stride=grid.stride,
        tap=block.tap // grid.grid_in,
        eps=norm1.eps if batch_norm else 0.0,
        precision=precision,
        symmetric=block.symmetric,
        ranks=ranks.name,
    )
    if not batch_norm:
        return y, []
    return y, [
        Statistics(norm1, mean1, var1, len(x) * length1 * together),
        Statistics(norm2, mean2, var2, len(x) * length2 * together),
    ]


def _parameter(block: nn.Module, conv: nn.Module, name: str) -> Tensor:
    """A parameter of a convolution; of a symmetric network the half that it is made of."""
    if not block.symmetric:
        return getattr(conv, name)
    steps = conv.parametrizations[name]
    return steps.original if len(steps) == 1 else pairs.first_half(getattr(conv, name))


def _dropouts(model: nn.Module) -> list[nn.Module]:
    return [drop for block in model.blocks for drop in (block.drop1, block.drop2)]


def drawn_one_by_one(model: nn.Module, sequences: int, device: torch.device) -> list[Tensor | None]:
    """What each nn.Dropout2d would multiply by, (N, C): the same draws of the same generator."""
    size = sequences, _drawn(model)
    masks = [_mask(drop.p, size, device) for drop in _dropouts(model)]
    if not model.config.symmetric:
        return masks
    return [mask if mask is None else pairs.whole(mask, 1) for mask in masks]


def drawn_at_once(model: nn.Module, sequences: int, device: torch.device) -> list[Tensor | None]:
    """The same by one draw for all: of the same distribution, but other numbers than plain modules
    draw. On a GPU each draw is two launches more."""
    drops = _dropouts(model)
    if len({drop.p for drop in drops}) != 1:
        return drawn_one_by_one(model, sequences, device)
    masks = _mask(drops[0].p, (len(drops), sequences, _drawn(model)), device)
    if masks is None:
        return [None] * len(drops)
    return list((pairs.whole(masks, 2) if model.config.symmetric else masks).unbind())


def _drawn(model: nn.Module) -> int:
    """Channels that a dropout draws for: of pairs one."""
    return model.config.channels // (2 if model.config.symmetric else 1)


def _mask(p: float, sizes: tuple[int, ...], device: torch.device) -> Tensor | None:
    if p == 0:
        return None
    return torch.empty(sizes, device=device).bernoulli_(1 - p).div_(1 - p)


def _code_residual(block: nn.Module) -> Tensor:
    residual = block.residual
    return cpu_engine.code_residual(residual and (residual.weight.squeeze(-1), residual.bias))


@torch.no_grad()
def _move_on(statistics: list[Statistics]) -> None:
    """Running statistics as nn.BatchNorm2d moves them: the variance unbiased. What is of every
    channel is equal over a pair where a norm has one for both."""
    if not statistics:
        return
    norms = [of.norm for of in statistics]
    torch._foreach_add_([norm.num_batches_tracked for norm in norms], 1)
    shares = [
        1 / norm.num_batches_tracked.item() if norm.momentum is None else norm.momentum
        for norm in norms
    ]
    means = [of.mean[: of.norm.num_features] for of in statistics]
    variances = [of.var[: of.norm.num_features] for of in statistics]
    unbiased = torch._foreach_mul(variances, [of.count / (of.count - 1) for of in statistics])
    torch._foreach_lerp_([norm.running_mean for norm in norms], means, shares)
    torch._foreach_lerp_([norm.running_var for norm in norms], unbiased, shares)
