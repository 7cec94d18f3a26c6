"""``tcnfast bench``: how fast the scan network runs here, against plain PyTorch."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ..base.run_record import device_words
from ..engines import backend as backends
from ..engines import reference
from ..engines.plain_stack import LAYOUTS, FoldedStack
from ..engines.plan import Plan
from ..model.load_model import load_model
from ..model.tcn import TCN
from .speed import Clock, Timing, take_turns

log = logging.getLogger(__name__)

CHECKED = 256  # scores that are held against float64
WRONG = 0.05  # of the spread of the scores: beyond it a side computes something else
SECONDS = 50  # for the whole table, about
# scored bases of a call; on a processor what takes tens of milliseconds
BASES = {"dense": {"cuda": 2**22, "cpu": 2**15}, "pruned": {"cuda": 2**22, "cpu": 2**18}}
# lengths at which PyTorch is tried on a processor: long rows leave the cache
SEGMENTS = (2**13, 2**15)
COLUMNS = ("form", "side", "precision", "ms", "Mb/s", "ratio", "error")


class Side(NamedTuple):
    name: str
    ours: bool
    run: Callable[[Tensor], Tensor]  # codes (1, T) to logits (1, P, labels)


@dataclass(frozen=True)
class SpeedTable:
    """A title and lines of COLUMNS; printed, the columns stand in line."""

    title: str
    lines: list[tuple[str, ...]]

    def __str__(self) -> str:
        rows = [COLUMNS, *self.lines]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        words = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
        return "\n".join([f"# {self.title}", *words])


def measure(model: str, device: str, stride: int) -> SpeedTable:
    """See :func:`tcnfast.bench.bench`."""
    network = load_model(model).members[0]
    place = backends.choose_device(device)
    forms = {"dense": 1, "pruned": stride}
    clock, precisions = Clock(place), _precisions(place)
    # cuDNN's own search, and fp32 that is fp32
    torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32 = True, False
    start, left = time.perf_counter(), len(forms) * len(precisions)
    lines = []
    for form, step in forms.items():
        for precision in precisions:
            budget = (SECONDS - (time.perf_counter() - start)) / left
            log.info("%s, %s", form, precision)
            lines += _measure(network, clock, form, step, precision, budget)
            left -= 1
    words = f"{network.config.channels} channels, {len(network.labels)} labels"
    title = f"{model}: {words}, pruned to every {stride} bases; {device_words(place)}"
    return SpeedTable(title, lines)


def _precisions(device: torch.device) -> list[str]:
    """fp32, and bf16 where the device multiplies it in hardware."""
    lesser = {backends.auto_precision(backend, device) for backend in backends.DEVICES}
    return ["fp32", *(lesser & {"bf16"})]


def _measure(model: TCN, clock: Clock, form, stride, precision, seconds) -> list[tuple[str, ...]]:
    """Lines of the table of one form and precision."""
    device, bases = clock.device, BASES[form].get(clock.device.type, BASES[form]["cpu"])
    rest = model.receptive_field - stride
    codes = torch.randint(0, 4, (1, bases + rest), dtype=torch.uint8).to(device)
    expected = _expected(model, codes, stride)
    sides, errors = {}, {}
    for side in _sides(model, device, stride, precision, codes):
        sides[side.name] = side
        errors[side.name] = _error(side.run(codes)[0], expected)
    right = {name: side for name, side in sides.items() if errors[name] <= WRONG}
    runs = {name: (lambda side=side: side.run(codes)) for name, side in right.items()}
    with torch.inference_mode():
        timings = take_turns(runs, clock, 0.6 * seconds, least=3, most=25)
    rival = min((t.median for n, t in timings.items() if not sides[n].ours), default=None)
    return [
        _line(form, name, precision, bases, timings.get(name), rival, errors[name])
        for name in sides
    ]


def _sides(model: TCN, device, stride: int, precision: str, codes: Tensor) -> list[Side]:
    sides = []
    grid = model.config.grid(stride)
    spec = backends.Spec(device, precision, (grid,))
    for way in backends.SCAN.implementations:
        if way.suits(device) and way.why_not(spec) is None:
            plan = Plan(model, str(device), precision, stride, way.backend)
            sides.append(Side(f"tcnfast {way.backend}", True, plan))
            for stack in plan.sparsity:
                listed = [f"{s.block}.{s.convolution} ({s.nonzero:.2f})" for s in stack if s.listed]
                words = ", ".join(listed) or "none"
                log.info("convolutions over the inputs that are not 0, and their share: %s", words)
    dtype, weights = backends.DTYPES[precision], model.folded()
    for layout in LAYOUTS:
        stack = FoldedStack(weights, grid, layout, dtype).to(device)
        run = _in_segments(stack, model.receptive_field - stride, codes)
        sides.append(Side(f"PyTorch {layout}", False, run))
    return sides


def _in_segments(stack: FoldedStack, overlap: int, codes: Tensor) -> Callable[[Tensor], Tensor]:
    """``stack``, on a processor by the segments that make it fastest."""
    if codes.device.type != "cpu":
        return stack

    def run(codes: Tensor, segment: int) -> Tensor:
        pieces = codes.unfold(1, segment + overlap, segment).unbind(1)
        return torch.cat([stack(piece) for piece in pieces], dim=1)

    def seconds(segment: int) -> float:
        some = codes[:, : max(SEGMENTS) + overlap]
        run(some, segment)
        start = time.perf_counter()
        run(some, segment)
        return time.perf_counter() - start

    best = min(SEGMENTS, key=seconds)
    return lambda codes: run(codes, best)


def _expected(model: TCN, codes: Tensor, stride: int) -> Tensor:
    """float64 logits of the first scores."""
    length = model.receptive_field + (CHECKED - 1) * stride
    weights = model.folded().to("cpu", torch.float64)
    return reference.stack(codes[:, :length].cpu(), weights, model.config.grid(stride))[0]


def _error(logits: Tensor, expected: Tensor) -> float:
    """The largest error as a share of the spread; infinite for NaN."""
    off = (logits[: len(expected)].cpu().double() - expected).abs().max().item()
    spread = (expected.max() - expected.min()).item()
    return off / spread if off == off else float("inf")


def _line(form, name, precision, bases, timing: Timing | None, rival, error) -> tuple[str, ...]:
    head = form, name, precision
    if timing is None:
        return *head, "wrong", "", "", f"{error:.0e}"
    ratio = f"{rival / timing.median:.2f}" if rival else ""
    speed = f"{bases / timing.median / 1e6:.3g}"
    return *head, f"{timing.median * 1e3:.3g}", speed, ratio, f"{error:.0e}"
