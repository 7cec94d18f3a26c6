"""What kernels/device.py times: our stack and blocks and the same in plain PyTorch, as Conv1d and
as channels-last Conv2d, eager or compiled; for each case, sides made ready and checked, and the
needed work.

What is timed is held against the float64 reference by the rule of tests/numerics.py, at its first,
middle and last outputs. First blocks and hits are in kernels/scan_cases.py, steps of training in
kernels/training_cases.py.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.harness import Work
from tcnfast.engines import reference, triton_engine, triton_layout
from tcnfast.engines.backend import DTYPES
from tcnfast.engines.grid import BlockGrid
from tcnfast.engines.plain_stack import Block as PlainBlock
from tcnfast.engines.plain_stack import FoldedStack
from tcnfast.engines.plan import Plan
from tcnfast.model.tcn import TCN, TCNConfig

sys.path.append(str(Path(__file__).resolve().parents[2] / "tests"))
from numerics import MatrixUnits, assert_close  # noqa: E402

OURS = "tcnfast"
EAGER = ("eager Conv1d", "eager channels-last")
FORMS = ("dense", "pruned")


@dataclass(frozen=True)
class Setting:
    """Where and how large: see kernels/device.py."""

    device: torch.device
    precision: str
    stride: int = 32  # of pruned scores
    blocks: int = 8
    first: int = 15
    index: int = 3  # of the block that is timed by itself
    checked: int = 256  # outputs at each of three places
    labels: int = 8
    tiles: int = 64  # of a training step

    def config(self, channels: int, kernel_size: int, dropout: float = 0.1) -> TCNConfig:
        return TCNConfig(
            labels=[f"label{i}" for i in range(self.labels)],
            channels=channels,
            kernel_size=kernel_size,
            blocks=self.blocks,
            first_kernel=max(self.first, kernel_size),
            dropout=dropout,
        )


@dataclass
class Case:
    """``length``: bases that are scored, rows that a block reads, or bases of a step."""

    setting: Setting
    form: str
    length: int
    channels: int = 64
    kernel_size: int = 3
    part = ""

    def __post_init__(self) -> None:
        """Make what all sides share."""

    @property
    def words(self) -> str:
        return f"{self.part} C={self.channels} k={self.kernel_size} L={size(self.length)}"

    @property
    def stride(self) -> int:
        return self.setting.stride if self.form == "pruned" else 1

    @property
    def config(self) -> TCNConfig:
        return self.setting.config(self.channels, self.kernel_size)

    @property
    def geometry(self) -> BlockGrid:
        """Of the block that is timed by itself."""
        return self.config.grid(self.stride).blocks[self.setting.index]

    @property
    def sides(self) -> tuple[str, ...]:
        """What is compared, compiled PyTorch apart."""
        return OURS, *EAGER

    @property
    def why_not(self) -> str | None:
        """Why our side cannot run here; None if it can."""
        return None

    @property
    def on_kernels(self) -> bool:
        """Whether our side is the Triton kernels."""
        return triton_engine.why_not_here(self.setting.device, self.setting.precision) is None

    @property
    def note(self) -> str:
        """Where a block above the first does not run as one kernel, and why."""
        setting = self.setting
        if not self.on_kernels:
            return ""
        chip = triton_engine.Chip.of(setting.device)
        layout = triton_layout.Layout(self.channels)
        reason = triton_engine.why_not_fused(self.geometry, layout, setting.precision, chip)
        return f"two kernels a block: {reason}" if reason else ""

    def work(self) -> Work:
        raise NotImplementedError

    def prepare(self, side: str) -> Callable[[], object]:
        """What one call is, checked. Raises AssertionError where its numbers are wrong."""
        raise NotImplementedError


class Stack(Case):
    """A scan: codes to logits."""

    part = "stack"

    def __post_init__(self) -> None:
        self.model = random_model(self.config)
        self.grid = self.config.grid(self.stride)
        length = self.length + self.grid.receptive_field - self.stride
        self.codes = random_codes(1, length)
        self.on_device = self.codes.to(self.setting.device)

    def work(self) -> Work:
        scores = self.length // self.stride
        return Work.of_stack(self.grid, self.channels, self.setting.labels, scores)

    def prepare(self, side: str) -> Callable[[], object]:
        setting = self.setting
        run = stack(side, self.model, self.stride, setting.precision, setting.device)
        self.check(run(self.on_device)[0])
        return lambda: run(self.on_device)

    def check(self, logits: Tensor) -> None:
        setting, scores = self.setting, self.length // self.stride
        assert len(logits) == scores, f"{len(logits)} scores, not {scores}"
        count = min(setting.checked, scores)
        for start in places(scores, count):
            first = start * self.stride
            last = first + (count - 1) * self.stride + self.grid.receptive_field
            codes = self.codes[:, first:last]
            with matrix_units(setting):
                ref, pt = (
                    self.expected(codes, dtype)
                    for dtype in (torch.float64, DTYPES[setting.precision])
                )
            compare(logits[start : start + count], ref, pt, setting.precision)

    def expected(self, codes: Tensor, dtype: torch.dtype) -> Tensor:
        return reference.stack(codes, self.model.folded().to("cpu", dtype), self.grid)[0]


class BlockForward(Case):
    """One residual block above the first, norms folded: rows to rows."""

    part = "block"

    def __post_init__(self) -> None:
        self.model = random_model(self.config)
        shape = 1, self.length, self.channels
        # by parts: random numbers are float32 first
        self.rows = torch.empty(shape, dtype=self.dtype, device=self.setting.device)
        for part in self.rows.split(2**20, dim=1):
            part.copy_(torch.randn(part.shape, device=part.device).relu_())

    @property
    def dtype(self) -> torch.dtype:
        return DTYPES[self.setting.precision]

    @property
    def why_not(self) -> str | None:
        return triton_engine.why_not_here(self.setting.device, self.setting.precision)

    def outputs(self) -> int:
        geometry = self.geometry
        return (self.length - 1 - geometry.span // geometry.grid_in) // geometry.stride + 1

    def work(self) -> Work:
        geometry, c = self.geometry, self.channels
        k = geometry.kernel_sizes[1]
        middle = self.length - (k - 1) * geometry.dilation
        operations = 2 * k * c * c * (middle + self.outputs())
        return Work(operations, (self.length + self.outputs()) * c * self.dtype.itemsize)

    def call(self, side: str) -> Callable[[], Tensor]:
        setting = self.setting
        run = block(side, self.model, setting.index, self.stride, setting.precision, setting.device)
        x = rows_for(side, self.rows)
        return lambda: run(x)

    def prepare(self, side: str) -> Callable[[], object]:
        setting, geometry = self.setting, self.geometry
        run = self.call(side)
        y = rows_of(side, run())[0]
        assert len(y) == self.outputs(), f"{len(y)} outputs, not {self.outputs()}"
        count = min(setting.checked, len(y))
        for start in places(len(y), count):
            first = start * geometry.stride
            last = first + (count - 1) * geometry.stride + geometry.span // geometry.grid_in + 1
            with matrix_units(setting):
                ref, pt = (self.expected(first, last, t) for t in (torch.float64, self.dtype))
            compare(y[start : start + count], ref, pt, setting.precision)
        return run

    def expected(self, first: int, last: int, dtype: torch.dtype) -> Tensor:
        weights = self.model.folded().to("cpu", dtype).blocks[self.setting.index]
        maps = self.rows[:, first:last].cpu().to(dtype).transpose(1, 2).unsqueeze(2)
        y = reference.block(maps, weights, self.geometry)
        return y[0, :, 0].T


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


def random_codes(*shape: int) -> Tensor:
    """uint8 codes, one in twenty of them N."""
    generator = torch.Generator().manual_seed(0)
    codes = torch.randint(0, 80, shape, generator=generator, dtype=torch.uint8)
    return torch.where(codes < 76, codes % 4, 4).to(torch.uint8)


def places(total: int, count: int) -> list[int]:
    return sorted({0, (total - count) // 2, total - count})


def size(length: int) -> str:
    for unit, name in ((2**20, "M"), (2**10, "k")):
        if length % unit == 0:
            return f"{length // unit}{name}"
    return str(length)


def matrix_units(setting: Setting) -> AbstractContextManager:
    """Within it PyTorch's own try is as wrong as float32 on a GPU's matrix units."""
    wide = DTYPES[setting.precision] == torch.float32
    return (
        MatrixUnits(setting.precision) if wide and setting.device.type == "cuda" else nullcontext()
    )


def compare(out: Tensor, ref: Tensor, pt: Tensor, precision: str) -> None:
    assert_close(out, ref, pt.to(DTYPES[precision]))
