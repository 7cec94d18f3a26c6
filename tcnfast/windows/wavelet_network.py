"""DNA as wavelet pictures for a network of ImageNet (Ruggeri 2025, "Deciphering Transcription
Factor Binding Sites with Wavelet Transforms and Deep Learning"): the article's, and one without its
flaws.
"""

from __future__ import annotations

import logging

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from ..base.errors import TcnfastError
from ..genome.codes import N
from .baseline_network import set_rates
from .image_networks import PYTORCH, RANDOM, image_network
from .mapping import NUMBERS, base_values
from .resnet import LAYERS
from .scalogram import colour_levels, own_ranges, pictures, standardised
from .wavelets import MIN_LENGTH, VOICES, modulus, scales
from .window_set import WindowSet

log = logging.getLogger(__name__)

AT_ONCE = 32  # pictures scored at once; the article's batch
# in layers without batch statistics; of a processor's caches, fewer is twice as fast
_IN_LAYERS = {"cpu": 8}
TRAINABLE = ("head", "layer4", "all")
_MIN_SIZE = 64  # pixels: 2 x 2 places are left in the last layer
_START_WINDOWS = 256  # that a start looks at
_RANGE_SHARE = 0.999  # of their moduli, that the range of colours holds


class WaveletNetwork(nn.Module):
    """Codes (N, L) -> logits (N, labels): signal, |CWT|, colours, picture, network of ImageNet.

    ``mapping`` gives each base a number: one of mapping.NUMBERS, and "one-hot", the default of
    other networks, stands for "integer". ``wavelet``: "morse" or "morlet", ``voices`` an octave.
    ``backbone``: "resnet", of which ``depth`` and ``width`` are :func:`tcnfast.windows.resnet.
    resnet`'s (50 and 64, if not said), or "efficientnet-lite0"; ``size`` of pictures in pixels.
    ``trainable``: "layer4", which leaves the layers before the last as they start, "all", or
    "head", the classifier alone (:class:`tcnfast.windows.frozen_network.FrozenWaveletNetwork`).
    ``weights``, read at the start of training: a file, "imagenet", those of the installed package
    (of efficientnet-lite0), "random": drawn as those who train the network draw them (He et al.
    2015), batch norms with the averages of training windows, so that each layer passes on numbers
    of variance 1; or "pytorch": as PyTorch draws convolutions, batch norms with averages 0 and
    variances 1, so that numbers get smaller from layer to layer. If not said, "imagenet" of
    efficientnet-lite0 and "random" of a ResNet.

    By default a signal has mean 0 and variance 1 over ACGT, N is 0, and the colours span a range
    learned from training windows, so that amplitude is kept. ``faithful`` does as the article did,
    point by point in docs/baselines.md: windows stretched to one width, numbers that are not
    standardised, a range of colours for each picture, the slip in the mean of green, batch
    statistics at all times, two numbers a label, one strand. Pictures do not pass through
    matplotlib and a file, which is all that differs.
    """

    def __init__(
        self,
        labels: list[str],
        length: int,
        mapping: str = "one-hot",
        *,
        wavelet: str = "morse",
        voices: int = VOICES,
        backbone: str = "resnet",
        depth: int | None = None,
        width: int | None = None,
        size: int = 224,
        trainable: str = "layer4",
        weights: str | None = None,
        faithful: bool = False,
    ) -> None:
        super().__init__()
        scales(length, wavelet, voices)  # raises what is wrong with them
        if trainable not in TRAINABLE:
            raise TcnfastError(f"trainable {trainable!r}: must be one of {', '.join(TRAINABLE)}")
        if size < _MIN_SIZE:
            raise TcnfastError(f"size {size}: must be at least {_MIN_SIZE} pixels")
        self.labels, self.length, self.size = list(labels), length, size
        self.wavelet, self.voices, self.backbone = wavelet, voices, image_network(backbone)
        self.weights = self.backbone.chosen(weights)
        self.faithful, self.both_strands = faithful, not faithful
        self.batch_statistics = faithful and trainable != "head"
        self.frozen = {"head": LAYERS, "layer4": LAYERS[:-1], "all": ()}[trainable]
        self.register_buffer("values", _base_numbers(mapping, faithful))
        self.register_buffer("colour_range", torch.tensor([0.0, 1.0]))
        self.trunk = self.backbone.build(size, depth, width)
        self.head = nn.Linear(self.trunk.in_planes, len(self.labels) * (2 if faithful else 1))
        if not faithful:
            nn.init.normal_(self.head.weight, std=0.01)
            nn.init.zeros_(self.head.bias)
        if self.frozen:
            for part in self._frozen_parts():
                part.requires_grad_(False)

    @torch.no_grad()
    def set_label_rates(self, rates: Tensor) -> None:
        """Bias at the log-odds of ``rates`` (labels,); left alone where ``faithful``."""
        if not self.faithful:
            set_rates(self.head.bias, rates)

    @torch.no_grad()
    def start(self, train: WindowSet, seed: int) -> None:
        """Read ``weights``; learn the range of colours; of "random" weights the averages of
        batch norms too, so that what frozen ones pass on is normalised."""
        rng = np.random.default_rng([seed, 4])
        rows = np.sort(rng.permutation(len(train))[:_START_WINDOWS])
        codes = torch.from_numpy(train.codes[rows]).to(self.values.device)
        if not self.faithful:
            found = self.moduli(codes).flatten().cpu().numpy()
            high = max(float(np.quantile(found, _RANGE_SHARE)), 1e-6)
            self.colour_range.copy_(torch.tensor([0.0, high]))
        if self.weights not in (RANDOM, PYTORCH):
            self.backbone.load(self.trunk, self.weights)
            log.info("wavelet: starts at the weights of %s", self.weights)
            return
        frozen = "; layers before the last stay random unless trainable is all"
        words = "wavelet: starts at random weights%s"
        log.warning(words, frozen if self.frozen else "")
        if self.weights == PYTORCH:
            for part in self.trunk.modules():
                if isinstance(part, nn.Conv2d):
                    part.reset_parameters()
        elif not self.batch_statistics:
            update_bn((self.images(part) for part in codes.split(AT_ONCE)), self.trunk)
            self.train(self.training)  # frozen layers again as they were

    def train(self, mode: bool = True) -> WaveletNetwork:
        super().train(mode)
        if self.batch_statistics:
            self.trunk.train()
        elif self.frozen:
            for part in self._frozen_parts():
                part.eval()
        return self

    def forward(self, codes: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            return self.logits(self.outputs(self.images(codes)))
        parts = codes.split(AT_ONCE)
        return torch.cat([self.logits(self.outputs(self.images(part))) for part in parts])

    @torch.no_grad()
    def images(self, codes: Tensor, standardise: bool = True) -> Tensor:
        """uint8 codes (N, L) -> float32 (N, 3, size, size), channels last, of mean 0 and variance 1
        over ImageNet or, without ``standardise``, from 0 to 1."""
        with torch.autocast(codes.device.type, enabled=False):
            drawn = self._draw_stretched(codes) if self.faithful else self._draw(codes)
            if not standardise:
                return drawn.float() / 255
            mean = self.backbone.article_mean if self.faithful else self.backbone.mean
            return standardised(drawn, mean, self.backbone.std)

    def outputs(self, images: Tensor, through: bool = False) -> Tensor:
        """float32 images -> what the last layer gives: (N, labels), or (N, 2 labels) where
        ``faithful``, unbound and bound of each label. ``through``: keep the gradients of frozen
        layers too."""
        return self.head(self.features(images, through))

    def features(self, images: Tensor, through: bool = False) -> Tensor:
        """float32 images -> means over places of the last layer's channels, (N, channels)."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and (through or not self.frozen)):
            h = self._in_parts(images, (*self.backbone.stem, *LAYERS[:-1]))
        return self.trunk.avgpool(self.trunk.layer4(h)).flatten(1)

    def logits(self, outputs: Tensor) -> Tensor:
        """(N, labels) of :meth:`outputs`."""
        if not self.faithful:
            return outputs
        unbound, bound = outputs.view(len(outputs), len(self.labels), 2).unbind(2)
        return bound - unbound

    def _in_parts(self, images: Tensor, names: tuple[str, ...]) -> Tensor:
        """Images through layers; a few at a time where no batch statistics are taken, because what
        lies between layers is large."""
        layers = nn.Sequential(*(getattr(self.trunk, name) for name in names))
        first = getattr(self.trunk, self.backbone.stem[0])
        batch_statistics = any(part.training for part in (first, self.trunk.layer3))
        at_once = _IN_LAYERS.get(images.device.type, AT_ONCE)
        if batch_statistics or torch.is_grad_enabled() or len(images) <= at_once:
            return layers(images)
        return torch.cat([layers(part) for part in images.split(at_once)])

    def _frozen_parts(self) -> list[nn.Module]:
        return [getattr(self.trunk, name) for name in (*self.backbone.stem, *self.frozen)]

    def moduli(self, codes: Tensor) -> Tensor:
        return modulus(self.values[codes.int()], self.wavelet, self.voices)

    def _draw(self, codes: Tensor) -> Tensor:
        """uint8 (N, 3, size, size)."""
        low, high = self.colour_range.view(2, 1, 1, 1)
        # their moduli are some 50,000 numbers a window: a few windows at a time
        parts = codes.split(AT_ONCE)
        drawn = [pictures(colour_levels(self.moduli(x), low, high), self.size) for x in parts]
        return torch.cat(drawn)

    def _draw_stretched(self, codes: Tensor) -> Tensor:
        """The same, of what lies between the outer N of each window, each in its own colours."""
        bounds = inner_bounds(codes)
        shape = (len(codes), 3, self.size, self.size)
        out = torch.empty(shape, dtype=torch.uint8, device=codes.device)
        out = out.to(memory_format=torch.channels_last)
        lengths = (bounds[:, 1] - bounds[:, 0]).tolist()
        for length in sorted(set(lengths)):
            rows = [row for row, found in enumerate(lengths) if found == length]
            here = torch.stack([codes[row, slice(*bounds[row])] for row in rows])
            moduli = self.moduli(here)
            out[rows] = pictures(colour_levels(moduli, *own_ranges(moduli)), self.size)
        return out


def _base_numbers(mapping: str, faithful: bool) -> Tensor:
    """What A, C, G, T and N stand for: float32 (5,)."""
    name = "integer" if mapping == "one-hot" else mapping
    values = base_values(name)[:, 0]  # refuses an unknown name
    if faithful:
        values = torch.tensor(NUMBERS[name])
    return torch.cat([values, torch.zeros(1)])


def inner_bounds(codes: Tensor) -> np.ndarray:
    """First base and end of what lies between the outer N of each of uint8 codes (N, L): int64
    (N, 2). Raises TcnfastError for N inside, and for what is too short for a scalogram."""
    known = (codes != N).cpu().numpy()
    first = known.argmax(1)
    end = np.where(known.any(1), known.shape[1] - known[:, ::-1].argmax(1), first)
    for row, (start, stop) in enumerate(zip(first, end, strict=True)):
        if stop - start < MIN_LENGTH:
            raise TcnfastError(
                f"window {row} of a batch holds {stop - start} bases between N; a scalogram takes "
                f"{MIN_LENGTH}"
            )
        if not known[row, start:stop].all():
            raise TcnfastError(
                f"window {row} of a batch holds N among its bases, which the article's pipeline "
                f"refuses; leave it out, or train without faithful"
            )
    return np.stack([first, end], 1)
