"""The networks behind a logit: every member of a model on every strand that is averaged."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from ..base.errors import TcnfastError
from ..base.options import setting
from ..engines import reference
from ..engines.backend import GRADIENTS, Choice, choose, choose_device
from ..engines.path import Path
from ..engines.strands import Counted, one_pass, stacks_of
from ..model.ensemble import Ensemble
from ..model.tcn import TCN

STRANDS = ("+", "both")


class Networks:
    """The networks whose mean is the logit of a window of RF bases; attributions are means too.

    ``strand``: "both" averages the logits of both strands, as a scan does; "+" takes the plus
    strand. The minus strand is a mirrored network on the same window, so that every attribution
    stands on the plus strand of the genome. Strands of a symmetric network are the same, and it
    runs once; ``symmetric``: whether all members are such. ``runs``: folded float32 weights on the
    grids of one score a window, and how often each counts in a mean. ``gradients``: the backend
    that computes gradients: ``paths`` on a processor ("cpu"), the operators in ``precision``
    ("triton"), or plain PyTorch (``precision`` None), slower.
    """

    def __init__(self, model: TCN | Ensemble, strand: str = "both", device: str = "auto") -> None:
        if strand not in STRANDS:
            raise TcnfastError(f"{setting('strand')} {strand!r}: must be one of + and both")
        self.labels = list(model.labels)
        self.receptive_field = model.receptive_field
        self.device = choose_device(device)
        grids = [member.config.grid(2**member.config.blocks) for member in model.members]
        folded = (member.folded().to(self.device, torch.float32) for member in model.members)
        self.runs: list[Counted] = stacks_of(zip(folded, grids, strict=True), strand)
        self.symmetric = one_pass(self.runs)
        self.total = sum(run.count for run in self.runs)

    @cached_property
    def gradients(self) -> Choice:
        """What computes gradients. Raises TcnfastError where a backend named cannot."""
        grids = tuple(run.grid for run in self.runs)
        return choose(GRADIENTS, "auto", self.device, "fp32", grids=grids)

    @property
    def why_not(self) -> str | None:
        """Why gradients run slower than they could; None where they do not."""
        return "; ".join(self.gradients.passed_over) or None

    @cached_property
    def precision(self) -> str | None:
        """That of the operators; None where plain PyTorch runs."""
        return None if self.gradients.backend == "reference" else "fp32"

    @cached_property
    def paths(self) -> list[Path] | None:
        """One for each of ``runs``; None where another backend computes gradients."""
        if self.gradients.backend != "cpu":
            return None
        return [Path(run.weights, run.grid, self.receptive_field) for run in self.runs]

    def codes(self, codes: np.ndarray) -> Tensor:
        """uint8 (n, RF) on the device; raises TcnfastError for other windows."""
        if codes.dtype != np.uint8 or codes.ndim != 2 or codes.shape[1] != self.receptive_field:
            raise TcnfastError(
                f"windows {codes.shape} {codes.dtype}: must be uint8 codes "
                f"(n, {self.receptive_field}), as long as the receptive field"
            )
        return torch.from_numpy(np.ascontiguousarray(codes)).to(self.device)

    @torch.no_grad()
    def logits(self, x: Tensor) -> Tensor:
        """float32 (n, 4, RF), of any values -> float32 logits (n, labels)."""
        total = 0
        for weights, grid, count in self.runs:
            h = reference.channels_last(x)
            for block, geometry in zip(weights.blocks, grid.blocks, strict=True):
                h = reference.block(h, block, geometry)
            logits = h[:, :, 0, 0] @ weights.head_weight.T + weights.head_bias
            total = total + count * logits
        return total / self.total


def one_hot(codes: Tensor) -> Tensor:
    """uint8 (n, L) -> float32 (n, 4, L); N is all zeros."""
    return reference.one_hot(codes, torch.float32).squeeze(2).contiguous()
