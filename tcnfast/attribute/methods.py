"""The methods of attribution that TCNs take."""

from __future__ import annotations

import numpy as np

from ..base.options import Run
from ..base.talk import count
from ..model.load_model import load_model
from ..model.model_folder import ModelFolder
from . import AttributeOptions
from .explained import Explained
from .integrated_gradients import corrected_gradient, integrated_gradients
from .mutagenesis import Mutagenesis
from .networks import Networks

BATCH = {"ig": 8, "ism": 1, "gradient": 64}
# labels of the same windows at once. Mutagenesis takes all for the price of one; for integrated
# gradients 8 make the forward pass cheap, and a stopped run has finished labels to go on from
TOGETHER = {"ig": 8, "ism": None, "gradient": 1}


class TCNExplainer:
    """The :class:`Explainer` of ``networks`` that ``options`` ask for."""

    by_base = True

    def __init__(self, networks: Networks, options: AttributeOptions) -> None:
        self.networks, self.options, method = networks, options, options.method
        self.labels, self.receptive_field = networks.labels, networks.receptive_field
        self.device, self.one_pass = networks.device, networks.symmetric
        self.batch, self.together = BATCH[method], TOGETHER[method]
        self.why_slow = None
        if method != "ism" and networks.why_not:
            self.why_slow = f"gradients run in plain PyTorch, slower: {networks.why_not}"
        if method == "ism":
            self.explain = Mutagenesis(networks).explain
            self.words = "in-silico mutagenesis"
        elif method == "gradient":
            self.explain = self.gradient
            self.words = "gradient, simplex-corrected"
        else:
            self.explain = self.path_gradients
            steps = count(options.steps, "step")
            self.words = f"integrated gradients, {steps} from {options.baseline}"
            if options.baseline == "shuffles":
                self.words += f" x {options.shuffles} (seed {options.seed})"

    def path_gradients(self, codes: np.ndarray, labels: list[int]) -> list[Explained]:
        names = ("baseline", "steps", "shuffles", "seed")
        how = {name: getattr(self.options, name) for name in names}
        return integrated_gradients(self.networks, codes, labels, **how)

    def gradient(self, codes: np.ndarray, labels: list[int]) -> list[Explained]:
        return [corrected_gradient(self.networks, codes, label) for label in labels]


def tcn_explainer(model: ModelFolder, options: AttributeOptions, run: Run) -> TCNExplainer:
    """What ``options`` ask of a TCN."""
    return TCNExplainer(Networks(load_model(model), options.strand, run.device), options)
