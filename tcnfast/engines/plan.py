"""A model made ready to run: norms folded, strand mirrored, grids, backend and precision chosen."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..base.errors import TcnfastError
from ..model.ensemble import Ensemble
from ..model.tcn import TCN
from . import backend as backends

STRANDS = ("+", "-", "both")


class Plan:
    """``plan(codes)`` -> logits of every ``stride``-th window of the codes.

    ``strand``: "+" scores the codes, "-" their reverse complement (in the same order: position j
    is the window that starts at base ``j * stride``), "both" the mean of the two logits. The minus
    strand is a mirrored plan on the same codes, so it is exact for every length and stride. Of an
    ensemble every member is scored, all on one backend, and the mean of their logits taken.

    ``backend``, ``instructions`` (of the C++ engine, else None), ``precision`` and ``device`` tell
    what really runs, ``passed_over`` why backends that "auto" would rather have taken do not. A
    copy of the weights is taken: later training of the model does not reach the plan.

    ``precision``: "fp32", "bf16", "fp64", or "auto": bf16 where the device multiplies bf16 matrices
    in hardware, else fp32.
    """

    def __init__(
        self,
        model: TCN | Ensemble,
        device: str = "auto",
        precision: str = "auto",
        stride: int = 32,
        backend: str = "auto",
        strand: str = "+",
    ) -> None:
        if strand not in STRANDS:
            raise TcnfastError(f"strand {strand!r}: must be one of {', '.join(STRANDS)}")
        self.labels = list(model.labels)
        self.receptive_field = model.receptive_field
        self.stride, self.strand = stride, strand
        self.device = backends.choose_device(device)
        wanted = [
            backends.choose(backend, self.device, precision, member.config.grid(stride))
            for member in model.members
        ]
        # one for all members: where "auto" differs, the least preferred that one of them needs
        choice = max(wanted, key=lambda choice: backends.BACKENDS.index(choice.backend))
        chosen, spec, self.passed_over = choice
        self.backend, self.precision = chosen.name, spec.precision
        self.instructions = chosen.instructions  # the engine's instruction set
        self.segment_bases = chosen.segment_bases  # bases of scores that suit one call
        self._runs = [run for member in model.members for run in self._prepare(member)]

    def _prepare(self, member: TCN) -> list[backends.Run]:
        """A run of each wanted strand, on the plan's backend."""
        grid = member.config.grid(self.stride)
        chosen, spec, _ = backends.choose(self.backend, self.device, self.precision, grid)
        plus = member.folded()
        weights = {"+": [plus], "-": [plus.mirrored(grid)]}
        weights["both"] = weights["+"] + weights["-"]
        return [chosen.prepare(w, spec) for w in weights[self.strand]]

    @torch.inference_mode()
    def __call__(self, codes: np.ndarray | Tensor) -> Tensor:
        """uint8 codes (T,) or (B, T) -> float32 logits ((T - RF) // stride + 1, labels), batched
        alike, on ``self.device``. Raises TcnfastError where T is under the receptive field."""
        if isinstance(codes, np.ndarray):
            # tensors know neither read-only memory nor negative strides
            codes = torch.from_numpy(np.require(codes, requirements=["C", "W"]))
        if codes.dtype != torch.uint8 or codes.ndim not in (1, 2):
            raise TcnfastError(
                f"plan input {tuple(codes.shape)} {codes.dtype}: must be uint8 codes (T,) or (B, T)"
            )
        if codes.shape[-1] < self.receptive_field:
            raise TcnfastError(
                f"plan input of {codes.shape[-1]} bases is under the receptive field of "
                f"{self.receptive_field}; add context, or N (code 4)"
            )
        batch = codes.to(self.device).reshape(-1, codes.shape[-1])
        logits = self._runs[0](batch)
        for run in self._runs[1:]:
            logits = logits.add_(run(batch))
        logits = logits.div_(len(self._runs))
        return logits if codes.ndim == 2 else logits[0]
