"""How letters become numbers: what a network reads in place of codes.

``one-hot``: four channels. ``integer``: A, C, G, T as 1, 2, 3, 4. ``eiip``: the electron-ion
interaction potentials of the bases (Nair and Sreenadhan 2006, Bioinformation 1:197-202). The last
two are one channel, brought to mean 0 and variance 1 over ACGT; N is 0, their mean. One-hot has N
all zeros.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ..base.errors import TcnfastError

NUMBERS = {
    "integer": (1.0, 2.0, 3.0, 4.0),
    "eiip": (0.1260, 0.1340, 0.0806, 0.1335),
}
MAPPINGS = ("one-hot", *NUMBERS)


def base_values(mapping: str) -> Tensor:
    """Values of A, C, G, T: float32 (4, channels). Raises TcnfastError for an unknown name."""
    if mapping == "one-hot":
        return torch.eye(4)
    if mapping not in NUMBERS:
        raise TcnfastError(f"mapping {mapping!r}: must be one of {', '.join(MAPPINGS)}")
    values = torch.tensor(NUMBERS[mapping])
    return ((values - values.mean()) / values.std(correction=0))[:, None]


class InputMapping(nn.Module):
    """uint8 codes (N, L) -> float (N, channels, L); ``channels`` is 4 or 1."""

    def __init__(self, mapping: str = "one-hot") -> None:
        super().__init__()
        values = base_values(mapping)
        self.channels = values.shape[1]
        self.register_buffer("table", torch.cat([values, torch.zeros(1, self.channels)]))

    def forward(self, codes: Tensor) -> Tensor:
        return self.table[codes.int()].transpose(1, 2)


class OneChannel(nn.Module):
    """Parametrisation of a convolution over one-hot DNA that makes it one over a single channel:
    weight (C, 1, k) -> (C, 4, k), each base with its value."""

    def __init__(self, mapping: str) -> None:
        super().__init__()
        self.register_buffer("values", base_values(mapping))

    def forward(self, weight: Tensor) -> Tensor:
        return weight * self.values

    def right_inverse(self, weight: Tensor) -> Tensor:
        """A start of the same variance at every output as that of the four channels."""
        return weight[:, :1].clone()


def map_input(convs: list[nn.Conv1d], mapping: str) -> None:
    """Make convolutions over one-hot DNA read ``mapping`` in place of it, in their own form: the
    network still takes codes and runs wherever it ran."""
    base_values(mapping)
    if mapping == "one-hot":
        return
    for conv in convs:
        parametrize.register_parametrization(conv, "weight", OneChannel(mapping))
