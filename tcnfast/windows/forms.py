"""Forms of the TCN that score one window as a whole.

``TCN`` itself scores the centre of its receptive field: `model(codes)` fills or crops to it. The
forms here look from several places (attention), or give every label a network of its own (single).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..model.tcn import TCN, TCNConfig
from .baseline_network import set_rates
from .mapping import map_input


def tcn_blocks(length: int, kernel_size: int, first_kernel: int) -> int:
    """Fewest blocks whose receptive field holds a window of ``length`` bases."""
    blocks = 1
    while 1 + 2 * (kernel_size - 1) * (2**blocks - 1) + first_kernel - kernel_size < length:
        blocks += 1
    return blocks


def window_tcn(
    labels: list[str], length: int, mapping: str = "one-hot", *, blocks: int | None = None, **shape
) -> TCN:
    """A TCN that sees the whole window from its centre (``alignment="causal"``: from its end, as
    Bai's does); ``shape`` as TCNConfig has it."""
    shape = {"kernel_size": 3, "first_kernel": 15, **shape}
    blocks = blocks or tcn_blocks(length, shape["kernel_size"], shape["first_kernel"])
    model = TCN(TCNConfig(labels=labels, blocks=blocks, **shape))
    first = model.blocks[0]
    map_input([first.conv1, *([first.residual] if first.residual else [])], mapping)
    return model


class AttentionTCN(nn.Module):
    """A TCN with a receptive field of about half the window, its scores every ``stride`` bases
    weighted by an attention that is learned for each label and sums to one over places.

    Codes (N, L) -> logits (N, labels). Scores and attention are outputs of one TCN, so it runs on
    the engine as any other.
    """

    def __init__(
        self,
        labels: list[str],
        length: int,
        mapping: str = "one-hot",
        *,
        blocks: int | None = None,
        stride: int | None = None,
        **shape,
    ) -> None:
        super().__init__()
        self.labels = list(labels)
        blocks = blocks or tcn_blocks(length, 3, 15) - 1
        outputs = [*labels, *(f"attention to {label}" for label in labels)]
        self.tcn = window_tcn(outputs, length, mapping, blocks=blocks, **shape)
        self.stride = stride or 2 ** max(0, blocks - 2)

    @torch.no_grad()
    def set_label_rates(self, rates: Tensor) -> None:
        set_rates(self.tcn.head.bias[: len(self.labels)], rates)

    def forward(self, codes: Tensor) -> Tensor:
        return self.pool(self.tcn.dense(codes, self.stride).float())

    def pool(self, outputs: Tensor) -> Tensor:
        """(N, 2 labels, places) -> (N, labels)."""
        scores, attention = outputs.chunk(2, 1)
        return (scores * torch.softmax(attention, 2)).sum(2)


class SingleTaskTCNs(nn.Module):
    """A TCN for every label, none sharing anything: what a multi-label network stands in for.

    Codes (N, L) -> logits (N, labels). The loss is a mean over labels, so each learns from its own
    label alone; the norm to which gradients are clipped is the one thing they have in common.
    """

    def __init__(self, labels: list[str], length: int, mapping: str = "one-hot", **shape) -> None:
        super().__init__()
        self.labels = list(labels)
        self.tcns = nn.ModuleList(
            window_tcn([label], length, mapping, **shape) for label in self.labels
        )

    @torch.no_grad()
    def set_label_rates(self, rates: Tensor) -> None:
        for tcn, rate in zip(self.tcns, rates, strict=True):
            tcn.set_label_rates(rate[None])

    def forward(self, codes: Tensor) -> Tensor:
        return torch.cat([tcn(codes).float() for tcn in self.tcns], 1)
