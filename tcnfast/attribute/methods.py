"""The methods of attribution that TCNs take, with their options."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..base.errors import TcnfastError
from .explained import Explained
from .ig_baselines import BASELINES
from .integrated_gradients import corrected_gradient, integrated_gradients_of
from .mutagenesis import Mutagenesis
from .networks import Networks

METHODS = ("ig", "ism", "gradient")
BATCH = {"ig": 8, "ism": 1, "gradient": 64}
# labels of the same windows at once: all by mutagenesis, whose cost is that of one; by integrated
# gradients so many that the forward pass hardly counts, and that a run that is stopped has some
TOGETHER = {"ig": 8, "ism": None, "gradient": 1}


@dataclass(frozen=True)
class AttributeOptions:
    """How logits are attributed. ``steps``, ``baseline``, ``shuffles`` and ``seed`` are of
    integrated gradients."""

    method: str = "ig"
    baseline: str = "zeros"
    steps: int = 50
    shuffles: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise TcnfastError(f"method {self.method!r}: must be one of {', '.join(METHODS)}")
        if self.baseline not in BASELINES:
            raise TcnfastError(f"baseline {self.baseline!r}: must be one of {', '.join(BASELINES)}")
        for name in ("steps", "shuffles"):
            if getattr(self, name) < 1:
                raise TcnfastError(f"{name} {getattr(self, name)}: must be at least 1")

    def words(self) -> str:
        """The method, as npz files have it."""
        if self.method != "ig":
            names = {"ism": "in-silico mutagenesis", "gradient": "gradient, simplex-corrected"}
            return names[self.method]
        draws = f" x {self.shuffles} (seed {self.seed})" if self.baseline == "shuffles" else ""
        return f"integrated gradients, {self.steps} steps from {self.baseline}{draws}"


class TCNExplainer:
    """The :class:`Explainer` of ``networks`` that ``options`` ask for."""

    by_base = True

    def __init__(self, networks: Networks, options: AttributeOptions) -> None:
        self.networks, self.options, self.words = networks, options, options.words()
        self.labels, self.receptive_field = networks.labels, networks.receptive_field
        self.device = networks.device
        self.why_slow = None
        if options.method != "ism" and networks.why_not:
            self.why_slow = f"gradients run in plain PyTorch, slower: {networks.why_not}"
        self.batch, self.together = BATCH[options.method], TOGETHER[options.method]
        if options.method == "ism":
            self.explain = Mutagenesis(networks).explain
        else:
            self.explain = self.gradient if options.method == "gradient" else self.path_gradients

    def path_gradients(self, codes: np.ndarray, labels: list[int]) -> list[Explained]:
        options = self.options
        return integrated_gradients_of(
            self.networks,
            codes,
            labels,
            baseline=options.baseline,
            steps=options.steps,
            shuffles=options.shuffles,
            seed=options.seed,
        )

    def gradient(self, codes: np.ndarray, labels: list[int]) -> list[Explained]:
        return [corrected_gradient(self.networks, codes, label) for label in labels]
