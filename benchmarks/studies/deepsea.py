"""The usual convolutional network of the field, as a peer: DeepSEA (Zhou and Troyanskaya 2015).

1000 bp of DNA around a 200-bp bin, three convolutions of width 8, the first two pooled by 4, a
dense layer, a logit for every label. ``train.fit`` trains it as it trains a TCN, with
``make_plan=CNNPlan``. Plain PyTorch on any device.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tcnfast.base.errors import TcnfastError
from tcnfast.engines import backend as backends
from tcnfast.engines.plan import STRANDS
from tcnfast.genome.codes import reverse_complement
from tcnfast.model.tcn import network_input

WINDOW = 1000  # bases that a score depends on; even, so that the label bin is in the very middle
KERNEL, POOL = 8, 4
STEP = POOL * POOL  # bases between features of the third convolution
POSITIONS = 53  # features of a window: 1000 -> 993 -> 248 -> 241 -> 60 -> 53


@dataclass(frozen=True)
class CNNConfig:
    """Shape of a CNN; DeepSEA's by default. ``dropout``: after each of the three convolutions."""

    labels: list[str]
    widths: tuple[int, int, int] = (320, 480, 960)
    hidden: int = 925
    dropout: tuple[float, float, float] = (0.2, 0.2, 0.5)
    label_bin: int = 200

    @classmethod
    def small(cls, labels: list[str]) -> CNNConfig:
        """A fifth of DeepSEA's widths: a twentieth of its arithmetic, for training on a CPU."""
        return cls(labels, widths=(64, 96, 192), hidden=256)


class CNN(nn.Module):
    """A DeepSEA-style network; input and output as those of :class:`tcnfast.model.tcn.TCN`."""

    engine = False  # never on the C++ engine

    def __init__(self, config: CNNConfig) -> None:
        super().__init__()
        self.config = config
        widths = (4, *config.widths)
        self.convs = nn.ModuleList(
            nn.Conv2d(c_in, c_out, (1, KERNEL))
            for c_in, c_out in zip(widths, widths[1:], strict=False)
        )
        self.drops = nn.ModuleList(nn.Dropout(p) for p in config.dropout)
        self.hidden = nn.Linear(POSITIONS * config.widths[-1], config.hidden)
        self.head = nn.Linear(config.hidden, len(config.labels))
        for layer in (*self.convs, self.hidden):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)
        self.to(memory_format=torch.channels_last)

    @property
    def labels(self) -> list[str]:
        return self.config.labels

    @property
    def receptive_field(self) -> int:
        return WINDOW

    def unfused(self) -> CNN:
        """Itself: there is no other form."""
        return self

    @torch.no_grad()
    def set_label_rates(self, rates: Tensor) -> None:
        """Head bias at the log-odds of ``rates`` (labels,), the share of bound windows of each."""
        rates = torch.as_tensor(rates, dtype=self.head.bias.dtype).clamp(1e-6, 1 - 1e-6)
        self.head.bias.copy_(rates.logit())

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, labels) of windows (N, 1000) uint8 or (N, 4, 1000) float."""
        if x.shape[-1] != WINDOW:
            raise TcnfastError(f"a CNN scores windows of {WINDOW} bases, not {x.shape[-1]}")
        return self.dense(x, STEP)[..., 0]

    def dense(self, x: Tensor, stride: int) -> Tensor:
        """Logits (N, labels, (L - 1000) // stride + 1) of every ``stride``-th window, valid.

        Windows share their convolutions, which is exact because pooling, 16 bases in all, falls on
        the same bases in each: ``stride`` must be a multiple of 16.
        """
        if stride < 1 or stride % STEP:
            raise TcnfastError(f"stride {stride}: a CNN is scored at a multiple of {STEP} bases")
        if x.shape[-1] < WINDOW:
            raise TcnfastError(f"{x.shape[-1]} bases are under the window of {WINDOW}")
        scores = (x.shape[-1] - WINDOW) // stride + 1
        h = network_input(x[..., : WINDOW + (scores - 1) * stride], self.head.weight.dtype)
        for index, (conv, drop) in enumerate(zip(self.convs, self.drops, strict=True)):
            h = F.relu(conv(h))
            if index < 2:
                h = F.max_pool2d(h, (1, POOL))
            h = drop(h)
        windows = h.squeeze(2).unfold(2, POSITIONS, stride // STEP)  # (N, C, scores, POSITIONS)
        h = F.relu(self.hidden(windows.transpose(1, 2).flatten(2)))
        return self.head(h).transpose(1, 2)


class CNNPlan:
    """What :class:`tcnfast.engines.plan.Plan` is to a TCN: ``plan(codes)`` gives logits of every
    window.

    Unlike a Plan it holds the network itself, not a copy of its weights.
    """

    backend, instructions, passed_over = "reference", None, ()
    segment_bases = 2**16

    def __init__(
        self,
        model: CNN,
        device: str = "auto",
        precision: str = "auto",
        stride: int = 32,
        strand: str = "+",
    ) -> None:
        if strand not in STRANDS:
            raise TcnfastError(f"strand {strand!r}: must be one of {', '.join(STRANDS)}")
        self.model, self.stride, self.strand = model, stride, strand
        self.device = backends.choose_device(device)
        chosen = backends.choose(backends.OTHER_NETWORKS, "auto", self.device, precision)
        self.precision = chosen.spec.precision
        if self.precision not in ("fp32", "bf16"):
            raise TcnfastError(f"precision {precision!r}: a CNN takes auto, fp32 or bf16")
        model.to(self.device)

    @property
    def labels(self) -> list[str]:
        return self.model.labels

    @property
    def receptive_field(self) -> int:
        return self.model.receptive_field

    @torch.inference_mode()
    def __call__(self, codes: np.ndarray) -> Tensor:
        """uint8 codes (T,) -> float32 logits ((T - 1000) // stride + 1, labels)."""
        scores = (len(codes) - WINDOW) // self.stride + 1
        codes = codes[: WINDOW + (scores - 1) * self.stride]
        runs = []
        if self.strand != "-":
            runs.append(self._score(codes))
        if self.strand != "+":
            runs.append(self._score(reverse_complement(codes)).flip(0))
        return sum(runs) / len(runs)

    def _score(self, codes: np.ndarray) -> Tensor:
        x = torch.from_numpy(np.require(codes, requirements=["C", "W"]))[None].to(self.device)
        bf16 = self.precision == "bf16"
        self.model.eval()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=bf16):
            return self.model.dense(x, self.stride)[0].T.float()
