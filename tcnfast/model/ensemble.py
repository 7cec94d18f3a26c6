"""Several networks as one model: an ensemble, or the mean of their weights."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from ..base.errors import TcnfastError
from .model_folder import ModelFolder
from .tcn import TCN, Labelled
from .tcn_config import TCNConfig


@dataclass(frozen=True)
class EnsembleConfig:
    """Shapes of the members, which agree in what a caller of a model relies on."""

    members: tuple[TCNConfig, ...]

    @property
    def labels(self) -> list[str]:
        return self.members[0].labels

    @property
    def label_bin(self) -> int:
        return self.members[0].label_bin

    @property
    def receptive_field(self) -> int:
        return self.members[0].receptive_field


class Ensemble(Labelled):
    """The mean of its members' logits; goes wherever a trained TCN does.

    Inputs and outputs are those of :class:`tcnfast.model.tcn.TCN`. Members may differ in shape, but
    not in labels, receptive field or label bin. ``thresholds`` are the ensemble's own; those of its
    members do not hold for their mean.

    Args:
        members: networks, which are not copied; an ensemble among them counts as its members.

    Raises:
        TcnfastError: for members that cannot be averaged, and for none.
    """

    config: EnsembleConfig

    def __init__(self, members: Sequence[TCN | Ensemble]) -> None:
        super().__init__()
        networks = [network for model in members for network in model.members]
        check_members([f"member {number}" for number in range(1, len(networks) + 1)], networks)
        self.members = cast("list[TCN]", nn.ModuleList(networks))
        self.config = EnsembleConfig(tuple(network.config for network in networks))
        self.thresholds = self.calls = self.home = None

    def forward(self, x: Tensor | np.ndarray) -> Tensor:
        """Logits of the window around base ``L // 2``.

        Args:
            x: codes uint8 (N, L) or one-hot float (N, 4, L), a tensor or a numpy array.

        Returns:
            Tensor: logits (N, labels), the mean of the members'.
        """
        return sum(member(x) for member in self.members) / len(self.members)

    def dense(self, x: Tensor | np.ndarray, stride: int = 1) -> Tensor:
        """Logits of every ``stride``-th window that lies wholly in the sequence.

        Args:
            x: codes uint8 (N, L) or one-hot float (N, 4, L), a tensor or a numpy array.
            stride: spacing of the windows in bp, a power of two.

        Returns:
            Tensor: logits (N, labels, (L - RF) // stride + 1), the mean of the members'.
        """
        return sum(member.dense(x, stride) for member in self.members) / len(self.members)

    def save(self, folder: str | Path) -> None:
        """Write one model folder (model_folder.py) that holds all members.

        Args:
            folder: made where it is missing; files of a model that is there are replaced.

        Raises:
            TcnfastError: for weights that are not finite.
        """
        members = [asdict(config) for config in self.config.members]
        for config in members:
            del config["labels"]
        state = self.state_dict()
        about = self.thresholds, self.calls, self.home
        ModelFolder.write(folder, state, {"members": members}, self.labels, *about)


def check_members(names: Sequence[str], members: Sequence[TCN]) -> None:
    """Raise TcnfastError, which calls them by ``names``, where models cannot be averaged."""
    if not members:
        raise TcnfastError("an ensemble needs at least one member")
    first, wanted = names[0], members[0].config
    for name, member in zip(names[1:], members[1:], strict=True):
        config = member.config
        if config.labels != wanted.labels:
            raise TcnfastError(f"{name}: {_other_labels(config.labels, wanted.labels, first)}")
        for field, words in (("receptive_field", "receptive field"), ("label_bin", "label bin")):
            here, there = getattr(config, field), getattr(wanted, field)
            if here != there:
                raise TcnfastError(f"{name}: its {words} is {here} bp, that of {first} {there} bp")


def _other_labels(here: list[str], there: list[str], first: str) -> str:
    more = [label for label in here if label not in there]
    if more:
        return f"its label {more[0]!r} is not in {first}; averaged models have the same labels"
    fewer = [label for label in there if label not in here]
    if fewer:
        return f"lacks label {fewer[0]!r} of {first}; averaged models have the same labels"
    return f"its labels are those of {first} in another order"


@torch.no_grad()
def mean_weights(names: Sequence[str], models: Sequence[TCN]) -> TCN:
    """One network of the mean of the models' weights and buffers, in evaluation mode.

    It means something for models of one training run (epochs, a moving average), or of runs that
    set out from one; networks trained apart do the same with other channels, and their mean does
    nothing. The running statistics of batch norm are averaged too, which is not what the averaged
    network would have seen: see ``train.average_models``. Counters are the largest.

    Raises TcnfastError, with ``names``, where the shapes differ; dropout may, that of the first is
    kept.
    """
    check_members(names, models)
    wanted = asdict(models[0].config)
    for name, model in zip(names[1:], models[1:], strict=True):
        for field, value in asdict(model.config).items():
            if value != wanted[field] and field != "dropout":
                raise TcnfastError(
                    f"{name}: {field} is {value}, that of {names[0]} {wanted[field]}; weights are "
                    "averaged over one shape: average logits instead"
                )
    states = [model.state_dict() for model in models]
    mean = {}
    for key, tensor in states[0].items():
        stacked = torch.stack([state[key].to(tensor.device) for state in states])
        if tensor.is_floating_point():
            mean[key] = stacked.double().mean(0).to(tensor.dtype)
        else:
            mean[key] = stacked.amax(0)
    model = deepcopy(models[0])
    model.load_state_dict(mean)
    model.thresholds = model.calls = model.home = None
    return model.eval()
