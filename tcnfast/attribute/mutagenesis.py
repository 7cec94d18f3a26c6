"""In-silico mutagenesis: what every substitution of a window does to logits, exactly."""

from __future__ import annotations

import numpy as np

from ..engines.backend import MUTAGENESIS, choose
from ..engines.cone import Cone
from .explained import Explained
from .networks import Networks


class Mutagenesis:
    """Networks made ready for windows of RF bases; runs on the processor, in float32."""

    def __init__(self, networks: Networks) -> None:
        self.networks = networks
        self.backend = choose(MUTAGENESIS, "auto", networks.device, "fp32").backend
        length = networks.receptive_field
        self._cones = [Cone(weights, grid, length) for weights, grid in networks.runs]

    def effects(self, codes: np.ndarray, labels: list[int]) -> tuple[np.ndarray, np.ndarray]:
        """Logits of uint8 windows (n, RF), float32 (n, labels), and what they gain where a base is
        another, float32 (n, labels, 4, RF): 0 for the base that is there, and all four at N."""
        windows = self.networks.codes(codes).numpy(force=True)
        logits = np.zeros((len(codes), len(labels)), np.float32)
        effects = np.zeros((len(codes), 4, codes.shape[1], len(labels)), np.float32)
        for i, window in enumerate(windows):
            base, place = np.nonzero(np.arange(4)[:, None] != window)
            first, gained = np.zeros(len(place), np.int64), 0
            for cone in self._cones:
                kept = cone.keep(window[None])
                logits[i] += kept.logits[0, 0, labels]
                gained += cone.moved(kept, first, place, base.astype(np.uint8), labels).logits[:, 0]
            effects[i, base, place] = gained / len(self._cones)
        return logits / len(self._cones), effects.transpose(0, 3, 1, 2)

    def explain(self, codes: np.ndarray, labels: list[int]) -> list[Explained]:
        """Attributions of uint8 windows (n, RF), for each label.

        Hypothetical: what a base gains over the mean of the four at its place, so that projected is
        what is lost, on the average, by putting any base there. At N nothing is projected.
        """
        logits, effects = self.effects(codes, labels)
        hypothetical = effects - effects.mean(2, keepdims=True)
        no_sum = np.full(len(codes), np.nan, np.float32)
        return [Explained(hypothetical[:, i], logits[:, i], no_sum) for i in range(len(labels))]
