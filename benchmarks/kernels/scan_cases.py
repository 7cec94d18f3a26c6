"""The cases of device.py of which a scan is made beside its blocks: the first block, from codes to
rows, and hits of both strands, from codes to places and logits.

Hits are found twice: by the head's kernels, without logits in memory, and by PyTorch in logits that
are stored, as a scan has them (tcnfast/scan/device_scores.py). Both must be the bits of the plan's
logits that the host compares with the cutoffs, and those logits pass as the stack's do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from benchmarks.harness import Work
from benchmarks.kernels.cases import (
    EAGER,
    OURS,
    BlockForward,
    Stack,
    of_codes,
    random_codes,
    random_model,
)
from tcnfast.engines import reference, triton_engine, triton_first, triton_layout
from tcnfast.engines.grid import BlockGrid
from tcnfast.engines.hit_finder import HitFinder
from tcnfast.engines.plan import Plan
from tcnfast.scan.device_scores import Counts, Logits
from tcnfast.scan.pieces import Wanted, Window

IN_PARTS, STORED = f"{OURS}, three kernels", f"{OURS}, logits stored"
LABELS = 119  # of the bundled network
HITS = 2**-9  # of all logits
LABEL_BIN = 200  # bases
GAP = 8  # of so many steps one is unknown, all of them together


class FirstBlockForward(BlockForward):
    """The first residual block, norms folded: codes to rows, by one kernel and by three."""

    part = "first block"

    def __post_init__(self) -> None:
        self.model = random_model(self.config)
        self.codes = random_codes(1, self.length)
        self.on_device = self.codes.to(self.setting.device)

    @property
    def sides(self) -> tuple[str, ...]:
        return (OURS, *EAGER) if self.too_large else (OURS, IN_PARTS, *EAGER)

    @property
    def geometry(self) -> BlockGrid:
        return self.config.grid(self.stride).blocks[0]

    @property
    def too_large(self) -> str | None:
        """Why it is not one kernel."""
        chip, layout = self.chip, triton_layout.Layout(self.channels)
        return triton_engine.why_not_first(self.geometry, layout, self.setting.precision, chip)

    @property
    def chip(self) -> triton_engine.Chip:
        return triton_engine.Chip.of(self.setting.device)

    @property
    def note(self) -> str:
        reason = self.on_kernels and self.too_large
        return f"three kernels: {reason}" if reason else ""

    def work(self) -> Work:
        """Of the second convolution; the first is look-ups."""
        c, outputs = self.channels, self.outputs()
        operations = 2 * self.geometry.kernel_sizes[1] * c * c * outputs
        return Work(operations, self.length + outputs * c * self.dtype.itemsize)

    def call(self, side: str) -> Callable[[], Tensor]:
        setting, geometry = self.setting, self.geometry
        weights = self.model.folded().to(setting.device, torch.float32).blocks[0]
        if not side.startswith(OURS):
            run = of_codes(side, weights, geometry, setting.precision)
            return lambda: run(self.on_device)
        whole = side == OURS and not self.too_large
        kind = triton_engine.FirstBlock if whole else triton_first.FirstInParts
        layout = triton_layout.Layout(self.channels)
        block = kind(weights, geometry, layout, setting.precision, self.chip)
        return lambda: block(self.on_device)

    def expected(self, first: int, last: int, dtype: torch.dtype) -> Tensor:
        weights = self.model.folded().to("cpu", dtype).blocks[0]
        maps = reference.one_hot(self.codes[:, first:last], dtype)
        return reference.block(maps, weights, self.geometry)[0, :, 0].T


class Scorer:
    """As ``tcnfast.scan`` has it, of one plan."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.plans, self.scores = plan, [plan], plan


class Hits(Stack):
    """A scan of both strands: codes to places and logits of hits."""

    part = "hits"

    def __post_init__(self) -> None:
        if not triton_engine.interpreted():
            self.setting = replace(self.setting, labels=LABELS)
        super().__post_init__()
        unknown = torch.zeros(1, self.length // self.stride, dtype=torch.bool)
        unknown[:, : unknown.shape[1] // GAP] = True
        self.unknown = unknown.to(self.setting.device)
        setting = self.setting
        backend = "triton" if setting.device.type == "cuda" else "auto"
        options = dict(precision=setting.precision, stride=self.stride, backend=backend)
        self.plan = Plan(self.model, str(setting.device), strand="both", **options)

    @property
    def sides(self) -> tuple[str, ...]:
        return OURS, STORED

    @property
    def why_not(self) -> str | None:
        return HitFinder.why_not([self.plan])

    def work(self) -> Work:
        """Twice that of a strand; of logits hits alone are written."""
        one, logits = super().work(), self.unknown.numel() * self.setting.labels
        written = (4 + 8) * HITS * logits
        return Work(2 * one.operations, 2 * (one.bytes - 4 * logits) + written)

    def prepare(self, side: str) -> Callable[[], object]:
        logits = self.plan(self.on_device)[0]
        self.check(logits)
        few = logits[: 2**16].sort(0).values  # ties: cutoffs are logits
        cutoffs = few[-max(1, round(HITS * len(few)))].cpu().numpy()
        nothing = np.empty(0)
        kind = Counts if side == OURS else Logits
        window = Window(self.stride, self.config.receptive_field, LABEL_BIN)
        scores = kind(Scorer(self.plan), Wanted(cutoffs, nothing, nothing), window)

        @torch.inference_mode()
        def run() -> list[Tensor]:
            steps = self.unknown.shape[1]
            scored = scores.score(self.on_device, self.unknown, steps)
            return scores.found(scored, 0, steps)

        compare_hits(run(), logits, self.unknown[0], cutoffs)
        return run

    def expected(self, codes: Tensor, dtype: torch.dtype) -> Tensor:
        plus = self.model.folded().to("cpu", dtype)
        strands = plus, plus.mirrored(self.grid)
        return sum(reference.stack(codes, one, self.grid)[0] for one in strands) / 2


def compare_hits(found, logits: Tensor, unknown: Tensor, cutoffs: np.ndarray) -> None:
    """Places and logits on the device against what the host finds in ``logits`` (steps, labels):
    the same bits. Raises AssertionError."""
    places, values = (tensor.cpu().numpy() for tensor in found)
    every = logits.cpu().numpy().ravel()
    hit = (every.reshape(-1, len(cutoffs)) >= cutoffs) & ~unknown.cpu().numpy()[:, None]
    wanted = np.flatnonzero(hit)
    assert len(wanted), "no logit reaches its cutoff"
    assert np.array_equal(places, wanted), f"{len(places)} hits, the host finds {len(wanted)}"
    differ = np.flatnonzero(values.view(np.uint32) != every[wanted].view(np.uint32))
    assert not len(differ), (
        f"hit {differ[0]} has {values[differ[0]]}, not {every[wanted][differ[0]]}"
    )
