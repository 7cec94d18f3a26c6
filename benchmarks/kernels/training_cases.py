"""The cases of device.py that train: a block's step and a whole one, made ready and checked.

A ReLU may flip, so gradients are not compared element by element, which tests/ do: the norm of all
gradients' error may be twice what PyTorch in the same precision is wrong by, against float64.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from benchmarks.harness import Work
from benchmarks.kernels import torch_stacks
from benchmarks.kernels.cases import BlockForward, Case, matrix_units, random_codes, size
from tcnfast.engines.backend import DTYPES
from tcnfast.genome.label_values import BOUND
from tcnfast.train.losses import masked_bce


class BlockStep(BlockForward):
    """The same block in training with batch norm and dropout, forward and backward."""

    part = "block step"

    @property
    def note(self) -> str:
        return "a kernel for each convolution and gradient" if self.on_kernels else ""

    @property
    def why_not(self) -> str | None:
        return torch_stacks.why_not_training(self.setting.device, self.setting.precision)

    def work(self) -> Work:
        forward, geometry = super().work(), self.geometry
        middle = self.length - (geometry.kernel_sizes[1] - 1) * geometry.dilation
        return block_step_work(
            forward.operations, self.length, middle, self.outputs(), self.channels, self.dtype
        )

    def prepare(self, side: str) -> Callable[[], object]:
        setting, few = self.setting, min(self.length, 4096)
        self.check(torch_stacks.uncompiled(side), self.rows[:, :few])
        block = self.block(dropout=0.1).to(setting.device)
        run = torch_stacks.block_forward(side, block, self.geometry, setting.precision)
        x = torch_stacks.rows_for(side, self.rows).detach().requires_grad_()
        dy = torch.randn_like(run(x))

        def step() -> None:
            x.grad = None
            block.zero_grad(set_to_none=True)
            run(x).backward(dy)

        return step

    def block(self, dropout: float) -> torch.nn.Module:
        config = self.setting.config(self.channels, self.kernel_size, dropout)
        return torch_stacks.random_model(config).train().blocks[self.setting.index]

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
        run = torch_stacks.block_forward(side, block, self.geometry, precision)
        x = torch_stacks.rows_for(side, rows).detach().requires_grad_()
        y = torch_stacks.rows_of(side, run(x))
        generator = torch.Generator().manual_seed(1)
        dy = torch.randn(y.shape, generator=generator).to(y.device, y.dtype)
        y.backward(dy)
        found = [p.grad for p in block.parameters()]
        return [*found, torch_stacks.rows_of(side, x.grad)]


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
        return torch_stacks.why_not_training(self.setting.device, self.setting.precision)

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
        found = self.gradients(torch_stacks.uncompiled(side), few, device, precision)
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
        model = torch_stacks.random_model(self.config).train().to(device)
        codes = self.codes(self.setting.tiles).to(device)
        logits = torch_stacks.forward(
            side, model, self.stride, self.setting.stride, self.setting.precision
        )
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
        model = torch_stacks.random_model(config).train().to(device)
        if precision == "fp64":
            model = model.double()
        logits = torch_stacks.forward(side, model, self.stride, self.setting.stride, precision)
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
