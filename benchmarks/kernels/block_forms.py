"""Which form of a block is faster on the GPU that is here: tiles in registers, or through shared
memory (kernels/README.md)? `python -m benchmarks.kernels.block_forms`

Blocks of the default model and of a symmetric one, of the shapes that the model of time has in
kernels/README.md. Both forms must give the same rows to rounding; they take turns, medians of the
device's own times, the L2 cache flushed before each call. ``IN_REGISTERS`` of
tcnfast/engines/triton_engine.py is what to set by it. `--out FILE` keeps the rows. With
TRITON_INTERPRET=1, where only one form runs, it goes the way with toys.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.kernels import torch_stacks
from tcnfast.base.errors import TcnfastError
from tcnfast.bench.speed import Clock, take_turns
from tcnfast.engines import triton_engine
from tcnfast.engines.reference import DTYPES
from tcnfast.engines.triton_engine import BlockInRegisters, Chip, FusedBlock
from tcnfast.engines.triton_layout import layout_of
from tcnfast.engines.triton_wgmma import why_not_in_registers
from tcnfast.model.tcn import TCNConfig

SHARED, REGISTERS = "through shared memory", "in registers"
# stride of the scores, block, positions that it reads
SHAPES = {
    "block, dense, dilation 8": (1, 3, 2**21),
    "block, dense, dilation 128": (1, 7, 2**21),
    "block, stride 32, second": (32, 1, 2**22),
    "block, stride 32, sixth": (32, 5, 2**18),
}
SECONDS = 2.0  # of a case
CLOSE = dict(rtol=2e-2, atol=2e-2)  # of rows of 16 bits whose sums have another order


class Forms:
    """A block of SHAPES on the device, in every form that runs there."""

    def __init__(self, name: str, symmetric: bool, device: torch.device, precision: str) -> None:
        stride, index, length = SHAPES[name]
        toy = triton_engine.interpreted()
        sizes = dict(channels=16 if toy else 64, first_kernel=15)
        sizes |= {"symmetric": True} if symmetric else {}
        config = TCNConfig(labels=["a"], **sizes)
        geometry = config.grid(stride).blocks[index]
        weights = torch_stacks.random_model(config).folded().to(device, torch.float32)
        layout, chip = layout_of(config.channels, symmetric), Chip.of(device)
        if toy:
            length = geometry.span // geometry.grid_in + 40
        shape, dtype = (1, length, layout.padded), DTYPES[precision]
        self.x = torch.randn(shape, device=device).relu_().to(dtype)
        taps = geometry.kernel_sizes[1]
        self.why_not = why_not_in_registers(taps, layout, precision, chip.wgmma)
        if toy:
            self.why_not = "Triton's interpreter does not know them"
        kinds = {SHARED: FusedBlock} | ({} if self.why_not else {REGISTERS: BlockInRegisters})
        self.forms = {
            form: kind(weights.blocks[index], geometry, layout, precision, chip)
            for form, kind in kinds.items()
        }

    def runs(self) -> dict[str, Callable[[], torch.Tensor]]:
        """Raises TcnfastError where forms give other rows."""
        runs = {form: lambda block=block: block(self.x) for form, block in self.forms.items()}
        rows = {form: run() for form, run in runs.items()}
        for form, found in rows.items():
            if not torch.allclose(found.float(), rows[SHARED].float(), **CLOSE):
                raise TcnfastError(f"tiles {form} give other rows than {SHARED}")
        return runs


def compare(name: str, symmetric: bool, device: torch.device, precision: str) -> list[dict]:
    """Rows of one case, printed as they come."""
    forms = Forms(name, symmetric, device, precision)
    what = f"{name}, {'symmetric' if symmetric else 'plain'}, {precision}"
    if forms.why_not:
        print(f"not run: {what}: tiles in registers: {forms.why_not}")
    toy = triton_engine.interpreted()
    seconds, least = (0.0, 1) if toy else (SECONDS, 7)
    timings = take_turns(forms.runs(), Clock(device), seconds, least=least, calls=1)
    medians = {form: timing.median for form, timing in timings.items()}
    best = min(medians, key=medians.get)
    words = ", ".join(f"{form} {median * 1e6:.1f} us" for form, median in medians.items())
    print(f"{what}: {words}; fastest: {best}", flush=True)
    return [
        {"case": what, "form": form, "us": f"{median * 1e6:.1f}", "fastest": form == best}
        for form, median in medians.items()
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("?")[0])
    parser.add_argument("--out", type=Path, metavar="FILE", help="a csv of what was timed")
    toy = triton_engine.interpreted()
    parser.add_argument("--precision", default="fp16" if toy else "bf16")
    args = parser.parse_args()
    device = torch.device("cpu" if toy else "cuda")
    reason = None if toy or torch.cuda.is_available() else "no NVIDIA GPU is here"
    reason = reason or triton_engine.why_not_here(device, args.precision)
    if reason:
        raise TcnfastError(f"block_forms: {reason}")
    found, wrong = [], []
    for name in SHAPES:
        for symmetric in (False, True):
            try:
                found += compare(name, symmetric, device, args.precision)
            except Exception as error:  # of Triton, or numbers that are wrong: the others go on
                wrong.append(name)
                print(f"failed: {name}: {type(error).__name__}: {' '.join(str(error).split())}")
            if args.out and found:
                with open(args.out, "w", newline="") as file:
                    writer = csv.DictWriter(file, found[0], lineterminator="\n")
                    writer.writeheader()
                    writer.writerows(found)
    return 1 if wrong else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except TcnfastError as error:
        sys.exit(str(error))
