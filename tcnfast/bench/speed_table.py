"""``tcnfast bench``: how fast the scan network runs here, against plain PyTorch."""

from __future__ import annotations

import logging
import textwrap
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from ..base.run_record import device_words
from ..base.talk import count
from ..engines import backend as backends
from ..engines import reference
from ..engines.grid import StackGrid
from ..engines.plain_stack import LAYOUTS, FoldedStack
from ..engines.plan import Plan
from ..model.load_model import load_model
from ..model.tcn import TCN
from . import both_strands
from .speed import CALLS, Clock, Timing, take_turns
from .symmetric_twin import symmetric_twin

log = logging.getLogger(__name__)

CHECKED = 256  # scores that are held against float64
WRONG = 0.05  # of the spread of the scores: beyond it a side computes something else
SECONDS = 30  # for all tables, about, beside what sides take at least
# scored bases of a call; on a processor what takes tens of milliseconds
BASES = {"dense": {"cuda": 2**22, "cpu": 2**14}, "pruned": {"cuda": 2**22, "cpu": 2**16}}
# lengths at which PyTorch is tried on a processor: long rows leave the cache
SEGMENTS = (2**13, 2**15)
COLUMNS = ("form", "side", "precision", "ms", "Mb/s", "ratio", "error")
WIDTH = 80  # of a line


class Side(NamedTuple):
    name: str
    baseline: bool  # ratios are against the fastest of these
    run: Callable[[Tensor], Tensor]  # codes (1, T) to logits (1, P, labels)
    expected: Tensor  # float64 logits of the first scores


class Group(NamedTuple):
    """Sides that are compared: what they score and in which precision."""

    form: str
    stride: int
    precision: str


@dataclass(frozen=True)
class SpeedTable:
    """Titles, each with its lines of COLUMNS; printed, the columns stand in line."""

    parts: dict[str, list[tuple[str, ...]]]

    def __str__(self) -> str:
        rows = [COLUMNS, *(line for lines in self.parts.values() for line in lines)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        text = []
        for title, lines in self.parts.items():
            head = textwrap.wrap(title, WIDTH, initial_indent="# ", subsequent_indent="# ")
            body = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in [COLUMNS, *lines]]
            text.append("\n".join(head + body))
        return "\n\n".join(text)


def measure(model: str, device: str, stride: int) -> SpeedTable:
    """See :func:`tcnfast.bench.bench`."""
    network = load_model(model).members[0]
    place = backends.choose_device(device)
    forms = {"dense": 1, "pruned": stride}
    groups = [Group(*form, p) for form in forms.items() for p in _precisions(place)]
    # cuDNN's own search, and fp32 that is fp32
    torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32 = True, False
    words = f"{network.config.channels} channels, {count(len(network.labels), 'label')}"
    title = f"{model}: {words}, one strand, pruned to every {stride} bases; {device_words(place)}"
    tables = {title: _sides}
    if why := _no_twin(network):
        log.info("both strands are not compared: %s", why)
    else:
        plain = network.folded()
        twin = plain if plain.symmetric else symmetric_twin(plain, network.config.grid(stride))
        pair = replace(plain, symmetric=False), twin
        tables[both_strands.WORDS] = lambda *given: _strands(*pair, *given)
    start, left = time.perf_counter(), len(tables) * len(groups)
    clock, parts = Clock(place), {}
    for title, sides_of in tables.items():
        parts[title] = lines = []
        for group in groups:
            budget = (SECONDS - (time.perf_counter() - start)) / left
            log.info("%s, %s", group.form, group.precision)
            lines += _measure(network, clock, group, sides_of, budget)
            left -= 1
    return SpeedTable(parts)


def _precisions(device: torch.device) -> list[str]:
    """fp32, and bf16 where the device multiplies it in hardware."""
    lesser = {backends.auto_precision(backend, device) for backend in backends.DEVICES}
    return ["fp32", *(lesser & {"bf16"})]


def _no_twin(model: TCN) -> str | None:
    """Why no symmetric network has this one's shape; None if one has."""
    if model.config.channels % 2:
        return f"{model.config.channels} channels are no pairs"
    return None if model.config.alignment == "centred" else "its alignment is not centred"


def _measure(model: TCN, clock: Clock, group: Group, sides_of, seconds) -> list[tuple[str, ...]]:
    """Lines of the table of one group."""
    device, bases = clock.device, BASES[group.form].get(clock.device.type, BASES[group.form]["cpu"])
    rest = model.receptive_field - group.stride
    codes = torch.randint(0, 4, (1, bases + rest), dtype=torch.uint8).to(device)
    sides, errors = {}, {}
    with torch.inference_mode():
        for side in sides_of(model, group, codes):
            sides[side.name] = side
            errors[side.name] = _error(side.run(codes)[0], side.expected)
        right = {name: side for name, side in sides.items() if errors[name] <= WRONG}
        runs = {name: (lambda side=side: side.run(codes)) for name, side in right.items()}
        calls = CALLS if clock.gpu else 1
        timings = take_turns(runs, clock, 0.6 * seconds, least=3, most=25, calls=calls)
    base = min((t.median for n, t in timings.items() if sides[n].baseline), default=None)
    return [_line(group, name, bases, timings.get(name), base, errors[name]) for name in sides]


def _sides(model: TCN, group: Group, codes: Tensor) -> list[Side]:
    """One strand: every backend that can run, and eager PyTorch."""
    device, precision, stride = codes.device, group.precision, group.stride
    grid, weights = model.config.grid(stride), model.folded()
    expected = reference.stack(_first(codes, grid), weights.to("cpu", torch.float64), grid)[0]
    spec = backends.Spec(device, precision, (grid,))
    sides = []
    for way in backends.SCAN.implementations:
        if way.suits(device) and way.why_not(spec) is None:
            plan = Plan(model, str(device), precision, stride, way.backend)
            sides.append(Side(f"tcnfast {way.backend}", False, plan, expected))
            for stack in plan.sparsity:
                listed = [f"{s.block}.{s.convolution} ({s.nonzero:.2f})" for s in stack if s.listed]
                if listed:
                    words = (
                        "%s %s leaves out inputs that are 0 in convolutions %s (share of others)"
                    )
                    log.info(words, way.backend, precision, ", ".join(listed))
    for layout in LAYOUTS:
        stack = FoldedStack(weights, grid, layout, backends.DTYPES[precision]).to(device)
        run = _in_segments(stack, model.receptive_field - stride, codes)
        sides.append(Side(f"PyTorch {layout}", True, run, expected))
    return sides


def _strands(plain, symmetric, model: TCN, group: Group, codes: Tensor) -> list[Side]:
    """Both strands, on the backend that "auto" takes."""
    grid, needs = model.config.grid(group.stride), {"channels": model.config.channels}
    backend, spec, _ = backends.choose(
        backends.SCAN, "auto", codes.device, group.precision, grids=(grid,), **needs
    )
    return [
        Side(
            name,
            name == both_strands.PLAIN,
            way.prepare(backend, grid, spec),
            way.exact(_first(codes, grid), grid)[0],
        )
        for name, way in both_strands.ways(plain, symmetric, grid, backend).items()
    ]


def _first(codes: Tensor, grid: StackGrid) -> Tensor:
    """The codes of the scores that are checked."""
    return codes[:, : grid.receptive_field + (CHECKED - 1) * grid.stride].cpu()


def _in_segments(stack: FoldedStack, overlap: int, codes: Tensor) -> Callable[[Tensor], Tensor]:
    """``stack``, on a processor by the segments that make it fastest."""
    if codes.device.type != "cpu":
        return stack

    fitting = [segment for segment in SEGMENTS if segment + overlap <= codes.shape[1]]

    def run(codes: Tensor, segment: int) -> Tensor:
        pieces = codes.unfold(1, segment + overlap, segment).unbind(1)
        return torch.cat([stack(piece) for piece in pieces], dim=1)

    def seconds(segment: int) -> float:
        some = codes[:, : max(fitting) + overlap]
        run(some, segment)
        start = time.perf_counter()
        run(some, segment)
        return time.perf_counter() - start

    best = min(fitting, key=seconds)
    return lambda codes: run(codes, best)


def _error(logits: Tensor, expected: Tensor) -> float:
    """The largest error as a share of the spread; infinite for NaN."""
    off = (logits[: len(expected)].cpu().double() - expected).abs().max().item()
    spread = (expected.max() - expected.min()).item()
    return off / spread if off == off else float("inf")


def _line(group: Group, name, bases, timing: Timing | None, base, error) -> tuple[str, ...]:
    head = group.form, name, group.precision
    if timing is None:
        return *head, "wrong", "", "", f"{error:.0e}"
    ratio = f"{base / timing.median:.2f}" if base else ""
    speed = f"{bases / timing.median / 1e6:.3g}"
    return *head, f"{timing.median * 1e3:.3g}", speed, ratio, f"{error:.0e}"
