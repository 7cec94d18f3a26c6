"""How long a sequence a plan is given at once."""

from __future__ import annotations

from .plan import Plan

SEGMENT_LOGITS = 2**22  # at most in one segment on the host: 16 MiB


def segment_length(plan: Plan) -> int:
    """Bases of scores to compute at once: what suits the backend, within SEGMENT_LOGITS."""
    return min(plan.segment_bases, plan.stride * max(1, SEGMENT_LOGITS // len(plan.labels)))
