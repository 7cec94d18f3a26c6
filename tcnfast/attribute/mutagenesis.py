"""In-silico mutagenesis: what every substitution of a window does to logits, exactly."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ..engines import reference
from ..engines.backend import MUTAGENESIS, choose
from ..engines.cpu_engine import Substitutions
from ..engines.grid import StackGrid
from .explained import Explained
from .networks import Networks

AT_ONCE = 256  # windows that plain PyTorch scores together


class Scorer(Protocol):
    """What scores changes of a window; see :meth:`Substitutions.changes`."""

    def changes(
        self, codes: np.ndarray, offsets: np.ndarray, places: np.ndarray, bases: np.ndarray
    ) -> tuple[Tensor, Tensor]: ...


class WholeWindows:
    """The same in plain PyTorch, on the processor: each changed window is scored whole."""

    def __init__(self, weights: reference.StackWeights, grid: StackGrid) -> None:
        self._weights, self._grid = weights.to("cpu", torch.float32), grid

    @torch.no_grad()
    def changes(
        self, codes: np.ndarray, offsets: np.ndarray, places: np.ndarray, bases: np.ndarray
    ) -> tuple[Tensor, Tensor]:
        windows = np.tile(codes, (len(offsets), 1))  # the last one stays as it is
        windows[np.repeat(np.arange(len(offsets) - 1), np.diff(offsets)), places] = bases
        parts = torch.from_numpy(windows).split(AT_ONCE)
        logits = torch.cat([reference.stack(x, self._weights, self._grid)[:, 0] for x in parts])
        same = torch.from_numpy((windows[:-1] == codes).all(1, keepdims=True))
        return logits[-1], (logits[:-1] - logits[-1]).masked_fill(same, 0)


class Mutagenesis:
    """Networks made ready for windows of RF bases; runs on the processor, in float32."""

    def __init__(self, networks: Networks) -> None:
        self.networks = networks
        self.backend = choose(MUTAGENESIS, "auto", networks.device, "fp32").backend
        kind = Substitutions if self.backend == "cpu" else WholeWindows
        self._scorers: list[tuple[Scorer, int]] = [
            (kind(run.weights, run.grid), run.count) for run in networks.runs
        ]

    def effects(self, codes: np.ndarray, labels: list[int]) -> tuple[np.ndarray, np.ndarray]:
        """Logits of uint8 windows (n, RF), float32 (n, labels), and what they gain where a base is
        another, float32 (n, labels, 4, RF): 0 for the base that is there, and all four at N."""
        windows = self.networks.codes(codes).numpy(force=True)
        logits = np.zeros((len(codes), len(labels)), np.float32)
        effects = np.zeros((len(codes), 4, codes.shape[1], len(labels)), np.float32)
        for i, window in enumerate(windows):
            place, base = np.nonzero(np.arange(4) != window[:, None])
            offsets, gained = np.arange(len(place) + 1), 0
            for scorer, count in self._scorers:
                before, gains = scorer.changes(window, offsets, place, base.astype(np.uint8))
                logits[i] += count * before.numpy()[labels]
                gained += count * gains.numpy()[:, labels]
            effects[i, base, place] = gained / self.networks.total
        return logits / self.networks.total, effects.transpose(0, 3, 1, 2)

    def explain(self, codes: np.ndarray, labels: list[int]) -> list[Explained]:
        """Attributions of uint8 windows (n, RF), for each label.

        The hypothetical attribution of a base is its logit minus the mean logit of the four bases
        at that place. The projected one is that of the base that is there: what replacing it by a
        random base loses on average. It is 0 at N.
        """
        logits, effects = self.effects(codes, labels)
        hypothetical = effects - effects.mean(2, keepdims=True)
        no_sum = np.full(len(codes), np.nan, np.float32)
        return [Explained(hypothetical[:, i], logits[:, i], no_sum) for i in range(len(labels))]
