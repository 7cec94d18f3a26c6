"""DanQ (Quang and Xie 2016): motif detectors, pooling, a BiLSTM, a dense layer over all steps."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from ..base.errors import TcnfastError
from .baseline_network import Detectors, WindowNetwork, dense
from .rnn import initialise_recurrence

KERNEL, POOL = 26, 13


class DanQ(WindowNetwork):
    """Codes (N, length) -> logits (N, labels); the defaults are the published widths.

    Dropout of .2 after pooling and .5 after the BiLSTM, as published.
    """

    def __init__(
        self,
        labels: list[str],
        length: int,
        mapping: str = "one-hot",
        *,
        filters: int = 320,
        hidden: int = 320,
        hidden_layer: int = 925,
        dropout: tuple[float, float] = (0.2, 0.5),
        norm: bool = True,
    ) -> None:
        super().__init__(labels, mapping)
        steps = (length - KERNEL + 1) // POOL
        if steps < 1:
            raise TcnfastError(f"DanQ: windows of {length} bases are under {KERNEL + POOL - 1}")
        self.length = length
        self.detectors = Detectors(self.input.channels, filters, KERNEL, norm)
        self.recurrent = nn.LSTM(filters, hidden, batch_first=True, bidirectional=True)
        initialise_recurrence(self.recurrent)
        self.drops = nn.ModuleList(nn.Dropout(p) for p in dropout)
        self.hidden = dense(steps * 2 * hidden, hidden_layer)
        self.make_head(hidden_layer)

    def features(self, x: Tensor) -> Tensor:
        if x.shape[-1] != self.length:
            raise TcnfastError(f"this DanQ scores {self.length} bases, not {x.shape[-1]}")
        x = self.drops[0](self.detectors.pooled(x, POOL, POOL))
        states, _ = self.recurrent(x.transpose(1, 2))
        return F.relu(self.hidden(self.drops[1](states).flatten(1)))
