"""The cases of device.py that train: a block's step and a whole one, made ready and checked, and
training in plain PyTorch, which train_step.py compares with as well.

A ReLU may flip, so gradients are not compared element by element, which tests/ do: the norm of all
gradients' error may be twice what PyTorch in the same precision is wrong by, against float64.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.harness import Work
from benchmarks.kernels.cases import (
    OURS,
    BlockForward,
    Case,
    compiled,
    layout_of,
    matrix_units,
    random_codes,
    random_model,
    rows_for,
    rows_of,
    size,
    uncompiled,
)
from tcnfast.engines import backend as backends
from tcnfast.engines import training_pass
from tcnfast.engines.backend import DTYPES
from tcnfast.engines.grid import BlockGrid
from tcnfast.genome.label_values import BOUND
from tcnfast.model.tcn import TCN, Block
from tcnfast.train.losses import masked_bce

LESSER = {"bf16": torch.bfloat16, "fp16": torch.float16}


class BlockStep(BlockForward):
    """The same block in training with batch norm and dropout, forward and backward."""

    part = "block step"

    @property
    def note(self) -> str:
        return "a kernel for each convolution and gradient" if self.on_kernels else ""

    @property
    def why_not(self) -> str | None:
        return why_not_training(self.setting.device, self.setting.precision)

    def work(self) -> Work:
        forward, geometry = super().work(), self.geometry
        middle = self.length - (geometry.kernel_sizes[1] - 1) * geometry.dilation
        return block_step_work(
            forward.operations, self.length, middle, self.outputs(), self.channels, self.dtype
        )

    def prepare(self, side: str) -> Callable[[], object]:
        setting, few = self.setting, min(self.length, 4096)
        self.check(uncompiled(side), self.rows[:, :few])
        block = self.block(dropout=0.1).to(setting.device)
        run = block_forward(side, block, self.geometry, setting.precision)
        x = rows_for(side, self.rows).detach().requires_grad_()
        dy = torch.randn_like(run(x))

        def step() -> None:
            x.grad = None
            block.zero_grad(set_to_none=True)
            run(x).backward(dy)

        return step

    def block(self, dropout: float) -> torch.nn.Module:
        config = self.setting.config(self.channels, self.kernel_size, dropout)
        return random_model(config).train().blocks[self.setting.index]

    def check(self, side: str, rows: Tensor) -> None:
        found = self.gradients(side, rows, self.setting.precision)
        plain = "eager channels-last"
        rows = rows.cpu()
        ref = self.gradients(plain, rows.double(), "fp64")
        with matrix_units(self.setting):
            pt = self.gradients(plain, rows, self.setting.precision)
        compare_gradients(found, ref, pt, self.setting.precision)

    def gradients(self, side: str, rows: Tensor, precision: str) -> list[Tensor]:
        block = self.block(dropout=0.0).to(rows.device)
        if precision == "fp64":
            block = block.double()
        run = block_forward(side, block, self.geometry, precision)
        x = rows_for(side, rows).detach().requires_grad_()
        y = rows_of(side, run(x))
        generator = torch.Generator().manual_seed(1)
        dy = torch.randn(y.shape, generator=generator).to(y.device, y.dtype)
        y.backward(dy)
        found = [p.grad for p in block.parameters()]
        return [*found, rows_of(side, x.grad)]


@dataclass
class TrainingStep(Case):
    """Forward, masked BCE, backward and AdamW of a batch of tiles with scores every 32 bases;
    "dense" evaluates every base and keeps those scores."""

    part = "training step"

    @property
    def words(self) -> str:
        tile = size(self.length // self.setting.tiles)
        shape = f"C={self.channels} k={self.kernel_size}"
        return f"{self.part} {shape} {self.setting.tiles} tiles of {tile}"

    first: dict[str, tuple[float, float]] = field(default_factory=dict)  # loss, gradients' norm

    @property
    def note(self) -> str:
        return "a kernel for each convolution and gradient" if self.on_kernels else ""

    @property
    def why_not(self) -> str | None:
        return why_not_training(self.setting.device, self.setting.precision)

    def work(self) -> Work:
        """As that of all blocks' steps; the first layer's look-ups are not arithmetic."""
        dtype = DTYPES[self.setting.precision]
        per_tile = self.codes(1).shape[1]
        rows, operations, moved = per_tile, 0.0, 0.0
        for index, geometry in enumerate(self.config.grid(self.stride).blocks):
            k1, k = geometry.kernel_sizes
            middle = rows - (k1 - 1) * geometry.dilation
            outputs = (middle - 1 - (k - 1) * geometry.dilation) // geometry.stride + 1
            wide = (k1 * middle if index else 0) + k * outputs
            forward = 2 * wide * self.channels**2
            work = block_step_work(
                forward, rows if index else 0, middle if index else 0, outputs, self.channels, dtype
            )
            operations, moved = operations + work.operations, moved + work.bytes
            rows = outputs
        return Work(operations * self.setting.tiles, moved * self.setting.tiles)

    def codes(self, tiles: int, steps: int | None = None) -> Tensor:
        steps = steps or max(1, self.length // self.setting.tiles // self.setting.stride)
        rf = self.config.receptive_field
        return random_codes(tiles, rf + (steps - 1) * self.setting.stride)

    def prepare(self, side: str) -> Callable[[], object]:
        device, precision = self.setting.device, self.setting.precision
        few = self.codes(4, 8)
        found = self.gradients(uncompiled(side), few, device, precision)
        plain = "eager channels-last"
        ref = self.gradients(plain, few, torch.device("cpu"), "fp64")
        pt = self.gradients(plain, few, torch.device("cpu"), precision)
        compare_gradients(found, ref, pt, precision)
        step, loss, model = self.step(side)
        norm = torch.stack([p.grad.norm() for p in model.parameters()]).norm().item()
        self.first[side] = loss, norm
        for name, (other, theirs) in self.first.items():  # dropout was drawn anew
            agree = abs(loss / other - 1) < 0.05 and abs(norm / theirs - 1) < 0.2
            assert agree, f"loss {loss:.4g}, gradients {norm:.4g}; {name} {other:.4g}, {theirs:.4g}"
        return step

    def step(self, side: str):
        """A step, and the loss and the model of the first, which has been taken."""
        device = self.setting.device
        model = random_model(self.config).train().to(device)
        codes = self.codes(self.setting.tiles).to(device)
        logits = forward(side, model, self.stride, self.setting.stride, self.setting.precision)
        steps = (codes.shape[1] - model.receptive_field) // self.setting.stride + 1
        targets = random_targets(len(codes), steps, self.setting.labels).to(device)
        # small steps: weights hardly move
        optimiser = torch.optim.AdamW(model.parameters(), lr=1e-6, weight_decay=0.05, fused=True)

        def step() -> Tensor:
            loss = masked_bce(logits(codes), targets)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            return loss.detach()

        return step, step().item(), model

    def gradients(self, side: str, codes: Tensor, device, precision: str) -> list[Tensor]:
        config = self.setting.config(self.channels, self.kernel_size, dropout=0.0)
        model = random_model(config).train().to(device)
        if precision == "fp64":
            model = model.double()
        logits = forward(side, model, self.stride, self.setting.stride, precision)
        logits = logits(codes.to(device))
        targets = random_targets(len(codes), logits.shape[2], logits.shape[1]).to(device)
        masked_bce(logits, targets).backward()
        return [p.grad for p in model.parameters()]


def block_step_work(forward, rows, middle, outputs, channels, dtype) -> Work:
    """Three times the forward pass's operations. Batch norm needs what every convolution gave of
    the whole batch before it can be used, and alike on the way back: so it and its gradient are
    written and read once, and both read again on the way back."""
    moved = 3 * rows + 5 * middle + 7 * outputs  # x, a1, and a2 with y and dy
    return Work(3 * forward, moved * channels * dtype.itemsize)


def random_targets(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    return (torch.rand(shape, generator=generator) < 0.1).to(torch.uint8) * BOUND


def compare_gradients(found, ref, pt, precision: str) -> None:
    def flat(tensors):
        return torch.cat([t.detach().double().cpu().flatten() for t in tensors])

    truth = flat(ref)
    error, allowed = ((flat(g) - truth).norm() / truth.norm() for g in (found, pt))
    allowed = 2 * allowed + 4 * torch.finfo(DTYPES[precision]).eps
    assert error <= allowed, f"gradients are off by {error:.2g} of their norm, over {allowed:.2g}"


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
