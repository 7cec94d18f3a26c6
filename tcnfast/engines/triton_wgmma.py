"""Blocks of a stack whose tiles stay in registers, on chips with wgmma (kernels/wgmma_tiles.py)."""

from __future__ import annotations

from .triton_layout import Layout, columns

PRECISIONS = ("bf16", "fp16")  # operands in registers are of 16 bits
MOST = 3 * 64  # taps times channels whose tiles the registers hold
LEAST_STEPS = 16  # outputs of a row at least: two programs a multiprocessor, and no barrier


def why_not_in_registers(taps: int, layout: Layout, precision: str, wgmma: bool) -> str | None:
    """Why a block above the first cannot run with its tiles in registers; None if it can."""
    if not wgmma:
        return "the chip has no wgmma"
    if layout.symmetric:
        return "its rows are of pairs"
    if precision not in PRECISIONS:
        return f"operands in registers are {' or '.join(PRECISIONS)}, not {precision}"
    if taps * layout.padded > MOST:
        return f"tiles of {taps} taps of {layout.padded} channels overflow the registers"
    return None


class InRegisters:
    """A fused block with its weights in the order of columns."""

    least_steps = LEAST_STEPS

    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        order = columns(self.layout.padded)
        self.weight1 = self.weight1[:, order].contiguous()
        self.weight2 = self.weight2[:, :, order].contiguous()
        self.bias2 = self.bias2[order].contiguous()

    @property
    def kernel(self):
        from ..kernels.wgmma_block import wgmma_block

        return wgmma_block

    def arguments(self, y, length: int) -> dict:
        told = super().arguments(y, length)
        return {name: value for name, value in told.items() if name not in ("INPUTS", "RELOAD")}
