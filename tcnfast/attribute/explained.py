"""The result of a method of attribution, and the form of such a method."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import torch


class Explained(NamedTuple):
    """Windows of one label: ``hypothetical`` float32 (n, 4, L), ``logit`` float32 (n,), ``gap``
    float32 (n,): the part of the logit's gain over the baseline that is missing from the sum of the
    attributions; NaN for a method whose attributions have no such sum."""

    hypothetical: np.ndarray
    logit: np.ndarray
    gap: np.ndarray


class Explainer(Protocol):
    """A method of attribution and the model that it explains.

    ``words``: the method and its settings, as results name them. ``labels``: of the model.
    ``receptive_field``: bases of a window. ``why_slow``: why it runs slower than it could, or None.
    ``one_pass``: whether both strands of the model are the same, so that one pass explains both.
    ``batch``: windows explained at once, about what the cache holds. ``together``: labels explained
    at once; None for all. ``by_base``: whether it tells each base from its neighbours, so that
    seqlets can be called.
    """

    words: str
    labels: list[str]
    receptive_field: int
    device: torch.device
    why_slow: str | None
    one_pass: bool
    batch: int
    together: int | None
    by_base: bool

    def explain(self, codes: np.ndarray, labels: list[int]) -> list[Explained]:
        """uint8 windows (n, receptive_field) -> one result for each of ``labels``, indices."""
