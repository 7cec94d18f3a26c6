"""Blocks of a stack whose tiles stay in registers, on chips with wgmma (kernels/wgmma_tiles.py)."""

from __future__ import annotations

from .triton_layout import Layout, columns

PRECISIONS = ("bf16", "fp16")  # operands in registers are of 16 bits
# taps times channels, or pairs of them, whose tiles the registers hold
MOST, MOST_PAIRS = 3 * 64, 7 * 16
LEAST_STEPS = 16  # outputs of a row at least: two programs a multiprocessor, and no barrier


def why_not_in_registers(taps: int, layout: Layout, precision: str, wgmma: bool) -> str | None:
    """Why a block above the first cannot run with its tiles in registers; None if it can."""
    if not wgmma:
        return "the chip has no wgmma"
    if precision not in PRECISIONS:
        return f"operands in registers are {' or '.join(PRECISIONS)}, not {precision}"
    halves, most = (2, MOST_PAIRS) if layout.symmetric else (1, MOST)
    if taps * layout.padded // halves > most:
        return f"tiles of {taps} taps of {layout.padded} channels overflow the registers"
    return None


class InRegisters:
    """A fused block with its weights in the order of columns."""

    least_steps = LEAST_STEPS

    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        order = columns(self.weight1.shape[1])  # of all channels, or of half of them
        self.weight1 = self.weight1[:, order].contiguous()
        self.weight2 = self.weight2[:, :, order].contiguous()
        self.bias2 = self.bias2[order].contiguous()

    @property
    def kernel(self):
        from ..kernels.wgmma_block import wgmma_block
        from ..kernels.wgmma_halved_block import wgmma_halved_block

        return wgmma_halved_block if self.layout.symmetric else wgmma_block

    def arguments(self, y, length: int) -> dict:
        told = super().arguments(y, length)
        return {name: value for name, value in told.items() if name not in ("INPUTS", "RELOAD")}
