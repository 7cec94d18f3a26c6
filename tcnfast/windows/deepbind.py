"""DeepBind (Alipanahi et al. 2015): motif detectors, their maximum and mean, one hidden layer."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from ..base.errors import TcnfastError
from .baseline_network import Detectors, WindowNetwork, dense


class DeepBind(WindowNetwork):
    """Codes (N, L) -> logits (N, labels). Published: 16 detectors of width 24, 32 hidden units for
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
