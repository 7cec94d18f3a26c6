"""Hits of plans found on their device, without logits in its memory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from . import reference
from .plan import Plan
from .triton_head import ROWS, Counted, HitHead

__all__ = ["ROWS", "HitFinder"]


class HitFinder:
    """The logits of plans that reach their labels' cutoffs: of one plan, or of the larger of two
    plans' logits. They are the bits that the plans give.

    ``cutoffs`` float32 (labels,), NaN for none; ``columns`` int64 (tracked,): labels with a track.
    """

    def __init__(self, plans: Sequence[Plan], cutoffs: np.ndarray, columns: np.ndarray) -> None:
        self._stacks = [stack for plan in plans for stack in plan.stacks]
        self.labels = len(cutoffs)
        heads = [stack.head for stack in self._stacks]
        self._head = HitHead(heads, len(plans) > 1, cutoffs, columns)

    @staticmethod
    def why_not(plans: Sequence[Plan]) -> str | None:
        """Why only the plans' logits can be had; None if hits can be found without."""
        if plans[0].backend != "triton":
            return f"backend {plans[0].backend} gives logits"
        stacks = [stack for plan in plans for stack in plan.stacks]
        if len(stacks) > 2:
            return f"hits are found of two stacks at most, not of {len(stacks)}"
        if not stacks[0].head.like(stacks[-1].head):
            return "the heads of its two stacks differ in shape"
        return None

    @torch.inference_mode()
    def score(self, codes: Tensor, unknown: Tensor) -> Counted:
        """uint8 codes (B, T) and unknown bool (B, steps), both on the device. Raises TcnfastError
        for a code over 4 in host memory."""
        reference.check_codes(codes, "plan input: ")
        with torch.cuda.device_of(codes):  # where Triton launches
            return self._head.count([stack.rows(codes) for stack in self._stacks], unknown)

    def gap(self, unknown: Tensor) -> Counted:
        """What ``score`` gives of sequences whose steps are all ``unknown``, at no cost."""
        return self._head.gap(unknown)

    @torch.inference_mode()
    def first(self, counted: Counted) -> Tensor | None:
        """Logits float32 (B, labels) of the first step of each sequence; None of a gap."""
        with torch.cuda.device_of(counted.counts):
            return self._head.first(counted)

    @torch.inference_mode()
    def write(self, counted: Counted, n: int, first: int, last: int) -> tuple[Tensor, Tensor]:
        """Hits of steps [first, last) of sequence ``n``, ``first`` a multiple of ROWS: places int64
        (hits,) in its flat (steps, labels), in order, and their logits float32 (hits,)."""
        with torch.cuda.device_of(counted.counts):
            return self._head.write(counted, n, first, last)
