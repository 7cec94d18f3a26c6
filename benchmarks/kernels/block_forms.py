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

from benchmarks.kernels.block_on_device import REGISTERS, BlockOnDevice, Shape
from tcnfast.base.errors import TcnfastError
from tcnfast.bench.speed import Clock, take_turns
from tcnfast.engines import triton_engine

SHAPES = {
    "block, dense, dilation 8": Shape(1, 3, 2**21),
    "block, dense, dilation 128": Shape(1, 7, 2**21),
    "block, stride 32, second": Shape(32, 1, 2**22),
    "block, stride 32, sixth": Shape(32, 5, 2**18),
}
SECONDS = 2.0  # of a case


def runs(block: BlockOnDevice) -> dict[str, Callable[[], torch.Tensor]]:
    """By form. Raises TcnfastError where forms give other rows."""
    found = {form: block.run(form) for form in block.forms}
    for form, run in found.items():
        if not block.is_right(run()):
            raise TcnfastError(f"tiles {form} give other rows than {block.forms[0]}")
    return found


def compare(name: str, symmetric: bool, device: torch.device, precision: str) -> list[dict]:
    """Rows of one case, printed as they come."""
    block = BlockOnDevice(SHAPES[name]._replace(symmetric=symmetric), device, precision)
    what = f"{name}, {'symmetric' if symmetric else 'plain'}, {precision}"
    if block.why_not:
        print(f"not run: {what}: tiles {REGISTERS}: {block.why_not}")
    toy = triton_engine.interpreted()
    seconds, least = (0.0, 1) if toy else (SECONDS, 7)
    timings = take_turns(runs(block), Clock(device), seconds, least=least, calls=1)
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
