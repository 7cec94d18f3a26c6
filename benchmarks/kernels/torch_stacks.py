"""What device.py and train_step.py measure: our stack, blocks and training steps, and the same in
plain PyTorch, as Conv1d and as channels-last Conv2d, eager or compiled."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tcnfast.engines import backend as backends
from tcnfast.engines import training_pass, triton_engine, triton_layout
from tcnfast.engines.backend import DTYPES
from tcnfast.engines.grid import BlockGrid
from tcnfast.engines.plain_stack import Block as PlainBlock
from tcnfast.engines.plain_stack import FoldedStack
from tcnfast.engines.plan import Plan
from tcnfast.model.tcn import TCN, Block, TCNConfig

OURS = "tcnfast"
EAGER = ("eager Conv1d", "eager channels-last")
LESSER = {"bf16": torch.bfloat16, "fp16": torch.float16}


def layout_of(side: str) -> str:
    return side.split()[1]


def uncompiled(side: str) -> str:
    """The side that a compiled one was made of."""
    return f"eager {layout_of(side)}" if side.startswith("torch.compile") else side


def compiled(function: Callable, side: str) -> Callable:
    """``function`` as the side "torch.compile LAYOUT MODE" runs it, or as it is."""
    if not side.startswith("torch.compile"):
        return function
    mode = side.split()[-1]
    if mode == "max-autotune":
        # not its CUDA graphs, which copy inputs: launches are not in what is timed
        mode = "max-autotune-no-cudagraphs"
    return torch.compile(function, mode=mode, dynamic=False, fullgraph=True)


def random_model(config: TCNConfig) -> TCN:
    """A network of He's weights: as they start, smoothers grow without bound when norms are not
    those of a batch."""
    torch.manual_seed(0)
    model = TCN(config).eval()
    for module in model.modules():
        if isinstance(module, nn.Conv1d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    nn.init.normal_(model.head.weight, std=0.5)
    return model


def stack(side: str, model: TCN, stride: int, precision: str, device) -> Callable:
    """uint8 codes (N, T) on ``device`` to float32 logits (N, P, labels)."""
    if side == OURS:
        # on a GPU the kernels, nothing else
        backend = "triton" if device.type == "cuda" else "auto"
        return Plan(model, str(device), precision, stride, backend)
    grid = model.config.grid(stride)
    plain = FoldedStack(model.folded(), grid, layout_of(side), DTYPES[precision]).to(device)
    return compiled(plain, side)


def block(side: str, model: TCN, index: int, stride: int, precision: str, device) -> Callable:
    """Rows (N, L, C) of one folded block above the first, in the layout of the side (``rows_for``),
    to what the block makes of them."""
    geometry = model.config.grid(stride).blocks[index]
    weights = model.folded().to(device, torch.float32).blocks[index]
    if side != OURS:
        return compiled(plain_block(side, weights, geometry, precision), side)
    chip = triton_engine.Chip.of(device)
    layout = triton_layout.Layout(model.config.channels)
    kind = triton_engine.kind_of(geometry, layout, precision, chip)
    return kind(weights, geometry, layout, precision, chip)


def plain_block(side: str, weights, geometry: BlockGrid, precision: str) -> nn.Module:
    """A folded block in the layout of a side of PyTorch, where ``weights`` are."""
    layout, device = layout_of(side), weights.weight1.device
    plain = PlainBlock(weights, geometry, layout).to(device, DTYPES[precision])
    if layout == "channels-last":
        plain = plain.to(memory_format=torch.channels_last)
    return plain.eval().requires_grad_(False)


def of_codes(side: str, weights, geometry: BlockGrid, precision: str) -> Callable:
    """uint8 codes (N, T) to what the first block, of ``weights``, makes of them."""
    plain = plain_block(side, weights, geometry, precision)
    table = torch.eye(5, 4, dtype=DTYPES[precision], device=weights.weight1.device)

    def run(codes: Tensor) -> Tensor:
        x = table[codes.int()].transpose(1, 2)
        return plain(x.unsqueeze(2) if layout_of(side) == "channels-last" else x)

    return compiled(run, side)


def rows_for(side: str, rows: Tensor) -> Tensor:
    """(N, L, C) in the layout that a side reads."""
    if side == OURS:
        return rows.contiguous()
    if layout_of(side) == "Conv1d":
        return rows.transpose(1, 2).contiguous()
    return rows.transpose(1, 2).unsqueeze(2)


def rows_of(side: str, y: Tensor) -> Tensor:
    """What a block's side gave, as (N, L, C)."""
    if side.startswith(OURS):
        return y
    return (y.squeeze(2) if y.ndim == 4 else y).transpose(1, 2)


# training


def norm(module: nn.Module, x: Tensor) -> Tensor:
    return F.batch_norm(
        x, module.running_mean, module.running_var, module.weight, module.bias, training=True
    )


def conv1d_block(block: Block, x: Tensor, geometry: BlockGrid) -> Tensor:
    """A block in training as it is usually written: Conv1d and batch norm on (N, C, L)."""
    d, s = geometry.dilation, geometry.stride
    h = F.conv1d(x, block.conv1.weight, dilation=d)
    h = F.dropout1d(norm(block.norm1, h).relu(), block.drop1.p)
    h = F.conv1d(h, block.conv2.weight, stride=s, dilation=d)
    h = F.dropout1d(norm(block.norm2, h).relu(), block.drop2.p)
    start = block.tap // geometry.grid_in
    shortcut = x[..., start : start + (h.shape[-1] - 1) * s + 1 : s]
    if block.residual is not None:
        shortcut = F.conv1d(shortcut, block.residual.weight, block.residual.bias)
    return (h + shortcut).relu()


def conv1d_dense(model: TCN, codes: Tensor, stride: int, wanted: int) -> Tensor:
    """The stack of such blocks: logits (N, labels, P) of every ``wanted`` bases, of grids made for
    every ``stride``."""
    table = F.pad(torch.eye(4, device=codes.device), (0, 0, 0, 1))
    x = table[codes.int()].transpose(1, 2)
    for block, geometry in zip(model.blocks, model.config.grid(stride).blocks, strict=True):
        x = conv1d_block(block, x, geometry)
    x = x[..., :: wanted // stride]
    return model.head(x.transpose(1, 2)).transpose(1, 2)


def forward(side: str, model: TCN, stride: int, wanted: int, precision: str) -> Callable:
    """Codes to logits in training, under autocast where ``precision`` is less than fp32."""
    device = next(model.parameters()).device
    plain = model.unfused()

    def ours(codes):
        require_ours(model, codes)
        return model.dense(codes, stride)[..., :: wanted // stride]

    if side == OURS:
        run = ours
    elif layout_of(side) == "Conv1d":
        run = compiled(lambda codes: conv1d_dense(model, codes, stride, wanted), side)
    else:
        run = compiled(lambda codes: plain.dense(codes, stride)[..., :: wanted // stride], side)

    def forward(codes: Tensor) -> Tensor:
        with autocast(device, precision):
            return run(codes).float()

    return forward


def why_not_training(device, precision: str) -> str | None:
    """Why our operators cannot train here in ``precision``; None if they can."""
    return backends.why_not(backends.BLOCK, device, precision)


def require_ours(model: TCN, codes: Tensor) -> None:
    if training_pass.backend_of(model, codes) == "reference":
        raise RuntimeError("the model would train in plain PyTorch here")


def autocast(device, precision: str):
    if precision not in LESSER:
        return nullcontext()
    return torch.autocast(device.type, LESSER[precision])


def block_forward(side: str, block: Block, geometry: BlockGrid, precision: str) -> Callable:
    """Rows as ``rows_for`` gives them to those of a block in training."""
    device = next(block.parameters()).device
    if side == OURS:
        return lambda x: training_pass._block(block, x, geometry, precision)[0]
    if layout_of(side) == "Conv1d":
        run = compiled(lambda x: conv1d_block(block, x, geometry), side)
    else:
        run = compiled(lambda x: block(x, geometry), side)

    def forward(x: Tensor) -> Tensor:
        with autocast(device, precision):
            return run(x)

    return forward
