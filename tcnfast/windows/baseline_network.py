"""What the networks that score one window share: labels, input mapping, head, initialisation; and
the simplest of them, DeepBind.

Every one is called with uint8 codes (N, L), A 0, C 1, G 2, T 3, N 4, and gives logits (N, labels).
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..base.errors import TcnfastError
from .mapping import InputMapping


class WindowNetwork(nn.Module, ABC):
    """Base of the peers: ``features`` turns (N, channels, L) into (N, width) for a linear head."""

    def __init__(self, labels: list[str], mapping: str) -> None:
        super().__init__()
        self.labels = list(labels)
        self.input = InputMapping(mapping)

    def make_head(self, width: int) -> None:
        self.head = nn.Linear(width, len(self.labels))
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)

    @torch.no_grad()
    def set_label_rates(self, rates: Tensor) -> None:
        """Head bias at the log-odds of ``rates`` (labels,), the share of bound windows of each."""
        set_rates(self.head.bias, rates)

    @abstractmethod
    def features(self, x: Tensor) -> Tensor: ...

    def forward(self, codes: Tensor) -> Tensor:
        return self.head(self.features(self.input(codes)))


def set_rates(bias: Tensor, rates: Tensor) -> None:
    """Fill ``bias`` with the log-odds of ``rates``, both (labels,)."""
    bias.copy_(torch.as_tensor(rates, dtype=bias.dtype).clamp(1e-6, 1 - 1e-6).logit())


class Detectors(nn.Module):
    """A first convolution, batch norm and ReLU: ``filters`` motif detectors of width ``kernel``.

    The published forms have no norm; from some ten thousand windows they learn much less without
    one (docs/study.md), so ``norm`` is on unless it is asked off. The convolution is channels-last
    and of height 1, which trains three times as fast on a processor as Conv1d.
    """

    def __init__(self, inputs: int, filters: int, kernel: int, norm: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, filters, (1, kernel), bias=not norm)
        nn.init.kaiming_normal_(self.conv.weight, nonlinearity="relu")
        if not norm:
            nn.init.zeros_(self.conv.bias)
        self.norm = nn.BatchNorm2d(filters) if norm else nn.Identity()
        self.to(memory_format=torch.channels_last)

    def pooled(self, x: Tensor, width: int, stride: int) -> Tensor:
        """The maximum over ``width`` positions every ``stride``: (N, inputs, L) -> (N, filters,
        positions)."""
        # the maximum before norm and ReLU, which then have less to do
        return F.relu(self.norm(F.max_pool2d(self._detect(x), (1, width), (1, stride)))).squeeze(2)

    def summary(self, x: Tensor) -> Tensor:
        """Maximum and mean over all positions: (N, inputs, L) -> (N, 2 filters)."""
        h = F.relu(self.norm(self._detect(x)))
        return torch.cat([F.max_pool2d(h, h.shape[2:]).flatten(1), h.mean((2, 3))], 1)

    def _detect(self, x: Tensor) -> Tensor:
        return self.conv(x[:, :, None].contiguous(memory_format=torch.channels_last))


def dense(inputs: int, outputs: int) -> nn.Linear:
    """A hidden layer before a ReLU, by He."""
    layer = nn.Linear(inputs, outputs)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    nn.init.zeros_(layer.bias)
    return layer


class DeepBind(WindowNetwork):
    """DeepBind (Alipanahi et al. 2015): motif detectors, their maximum and mean, one hidden layer.

    Codes (N, L) -> logits (N, labels). Published: 16 detectors of width 24, 32 hidden units for
    one factor; the defaults here are wider, for many at once."""

    def __init__(
        self,
        labels: list[str],
        length: int,
        mapping: str = "one-hot",
        *,
        filters: int = 128,
        kernel: int = 24,
        hidden_layer: int = 128,
        dropout: float = 0.25,
        norm: bool = True,
    ) -> None:
        super().__init__(labels, mapping)
        if length < kernel:
            raise TcnfastError(f"DeepBind: windows of {length} bases are under {kernel}")
        self.detectors = Detectors(self.input.channels, filters, kernel, norm)
        self.hidden = dense(2 * filters, hidden_layer)
        self.drop = nn.Dropout(dropout)
        self.make_head(hidden_layer)

    def features(self, x: Tensor) -> Tensor:
        return self.drop(F.relu(self.hidden(self.drop(self.detectors.summary(x)))))
