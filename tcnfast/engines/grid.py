"""Grids of a dilated stack: where each convolution has to be evaluated, and what that costs.

Scores wanted every ``s`` bases do not need every position of every layer. Number the positions of
each layer from the first valid one, so that position ``t`` of a convolution with dilation ``d``
reads positions ``t, t + d, ..., t + (k-1) d`` of its input. Then, from the top of the stack down:

1. Block ``i`` (dilation ``d = 2^i``) must deliver its output on the multiples of some ``g``.
2. Its second convolution reads ``g j + d m``. These are multiples of ``e = gcd(g, d)``, so the
   first convolution need only be evaluated on the multiples of ``e``.
3. The first convolution then reads ``e j + d m``, multiples of ``gcd(e, d) = e`` again: ``e`` is
   the grid on which the block below has to deliver.
4. The residual of output ``g j`` is input ``g j + r``. Both forms of ``r`` in blocks above the
   first, ``(k-1) d`` (centred) and ``2 (k-1) d`` (causal), are multiples of ``d`` and hence of
   ``e``; the first block has ``e = 1``.

Renumbering the multiples of ``e`` as 0, 1, 2, ... turns dilation ``d`` into ``d / e``, and the
second convolution gets the stride ``g / e``. No weight changes and no wanted number changes: the
dilated stack, sampled, is a pyramid of ordinary convolutions. With powers of two gcd is min, so
``g / e`` is 1 or 2 below the top, and ``d / e`` is 1 wherever ``g >= d``.

A valid stretch of ``v`` positions holds ``(v - 1) // e + 1`` multiples of ``e``. A reach of
``(k-1) d``, a multiple of ``e``, takes off ``(k-1) d / e`` of them, and taking every ``g/e``-th of
``n`` leaves ``(n - 1) // (g/e) + 1``; so ``T`` bases give ``(T - RF) // s + 1`` scores, exactly as
many as sampling the dense output.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd

from ..base.errors import TcnfastError


@dataclass(frozen=True)
class BlockGrid:
    """One residual block on its grids; dilation and stride count positions of ``grid_in``."""

    block_dilation: int  # of the dense network, bases
    grid_in: int  # spacing of the block's input and of its first convolution's output, bases
    grid_out: int  # spacing of the block's output, bases
    kernel_sizes: tuple[int, int]

    @property
    def dilation(self) -> int:
        """Dilation of both convolutions as they run."""
        return self.block_dilation // self.grid_in

    @property
    def stride(self) -> int:
        """Stride of the second convolution as it runs; the first has stride 1."""
        return self.grid_out // self.grid_in

    @property
    def span(self) -> int:
        """Bases between the first and the last input that one output reads."""
        return (sum(self.kernel_sizes) - 2) * self.block_dilation

    def residual_tap(self, alignment: str) -> int:
        """Offset in bases, from the first input an output reads, of the input it adds."""
        return self.span // 2 if alignment == "centred" else self.span


@dataclass(frozen=True)
class StackGrid:
    """Every block of a stack evaluated for scores ``stride`` bases apart."""

    blocks: tuple[BlockGrid, ...]
    stride: int

    @property
    def sample(self) -> int:
        """Every how many of the stack's own outputs one is kept (above 1 only for wide strides)."""
        return self.stride // self.blocks[-1].grid_out

    @property
    def receptive_field(self) -> int:
        """Bases that one score depends on."""
        return 1 + sum(block.span for block in self.blocks)

    def n_scores(self, n_codes: int) -> int:
        """Number of scores that ``n_codes`` bases give: (T - RF) // stride + 1, or 0."""
        return max(0, (n_codes - self.receptive_field) // self.stride + 1)

    def wide_convolutions(self) -> float:
        """Channels-to-channels convolutions of kernel ``k`` per base, the first layer not counted.

        The first layer reads one-hot DNA and is a table look-up; every other convolution costs
        ``k C^2`` multiply-adds at each position of its output grid.
        """
        first, second = zip(
            *((1 / block.grid_in, 1 / block.grid_out) for block in self.blocks), strict=True
        )
        return sum(first[1:]) + sum(second)

    def macs_per_base(self, channels: int, n_labels: int) -> float:
        """Multiply-adds per base, the look-ups of the first layer left out."""
        kernel_size = self.blocks[0].kernel_sizes[1]
        return (
            self.wide_convolutions() * kernel_size * channels**2 + channels * n_labels / self.stride
        )


def check_stride(stride: int) -> None:
    if not isinstance(stride, int) or stride < 1 or stride & (stride - 1):
        raise TcnfastError(f"stride {stride!r}: must be a power of two (1, 2, 4, ..., 32, ...)")


def stack_grid(
    kernel_size: int, blocks: int, stride: int, first_kernel: int | None = None
) -> StackGrid:
    """Grids for ``blocks`` residual blocks of dilation 1, 2, 4, ... and scores every ``stride``.

    ``stride`` is a power of two. Above ``2^blocks`` nothing more can be pruned below the top: the
    stack runs at ``2^blocks`` and :attr:`StackGrid.sample` tells which outputs to keep.
    """
    check_stride(stride)
    grid_out = min(stride, 2**blocks)
    plan: list[BlockGrid] = []
    for index in reversed(range(blocks)):
        dilation = 2**index
        grid_in = gcd(grid_out, dilation)
        first = (first_kernel or kernel_size) if index == 0 else kernel_size
        plan.append(BlockGrid(dilation, grid_in, grid_out, (first, kernel_size)))
        grid_out = grid_in
    return StackGrid(tuple(reversed(plan)), stride)
