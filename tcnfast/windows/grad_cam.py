"""Grad-CAM (Selvaraju et al. 2017) of wavelet networks, from their pictures back to bases.

A layer's map is the sum of its channels, each weighted by the mean gradient of the output for it,
and what is above 0 of that. A column of a picture is a place of the window, its rows are scales:
the mean of a column, interpolated to bases, is what Grad-CAM says of the bases there. With 224
pixels the last layer has 7 columns, so that of 200 bp it tells places 29 bp apart, not bases.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..attribute.attribute_run import explain_sites
from ..attribute.attribution_folder import AttributionFolder
from ..attribute.explained import Explained
from ..base.errors import TcnfastError
from ..base.options import Run
from ..engines.backend import choose_device
from ..genome.codes import N, reverse_complement
from ..model.model_folder import ModelFolder
from . import GradCamOptions
from .resnet import LAYERS
from .wavelet_network import WaveletNetwork, inner_bounds
from .window_run import open_window_model


class GradCam:
    """Explains the outputs of ``model``; ``layers`` are names as "layer4.2" or "layer3", by default
    the last block of the last layer; of several, profiles are averaged.

    ``strand``: "both" averages both strands where the model does, each explained by itself; "+"
    takes the plus strand. A model made with ``faithful`` is explained as in the article: the output
    for *unbound* is explained, pictures are not standardised, every layer's map is scaled to 0 to
    1, and values below the median of the mean map are cut off. Batch norms always use their running
    averages.
    """

    why_slow, batch, together, one_pass = None, 32, None, False
    by_base = False  # it tells stretches from one another, not bases

    def __init__(
        self,
        model: nn.Module,
        layers: tuple[str, ...] = (),
        strand: str = "both",
        device: str = "auto",
    ) -> None:
        if not isinstance(model, WaveletNetwork):
            raise TcnfastError(
                "Grad-CAM explains the wavelet networks of tcnfast windows train, not this one; "
                "tcnfast attribute explains TCNs"
            )
        self.labels, self.receptive_field = list(model.labels), model.length
        self.device = choose_device(device)
        self.model = model.to(self.device).eval()
        self.model.trunk.eval()  # article's networks, too, which score by batch statistics
        self.both_strands = strand == "both" and model.both_strands
        self.words = f"Grad-CAM of {', '.join(layers) or 'the last layer'}"
        self.layers = layers or (f"{LAYERS[-1]}.{len(model.trunk.layer4) - 1}",)
        known = _layers_of(model.trunk)
        for name in self.layers:
            if name not in known:
                raise TcnfastError(f"layer {name!r}: must be one of {', '.join(known)}")

    def explain(self, codes: np.ndarray, labels: list[int]) -> list[Explained]:
        """uint8 codes (n, L) -> what is said of each of ``labels``, indices of the model's.

        Values stand at the base that is there, 0 at the three others, of which Grad-CAM knows
        nothing; N gets nothing.
        """
        if codes.dtype != np.uint8 or codes.ndim != 2 or codes.shape[1] != self.receptive_field:
            raise TcnfastError(
                f"windows {codes.shape} {codes.dtype}: must be uint8 codes "
                f"(n, {self.receptive_field}), as long as those the model was trained on"
            )
        profiles, logits = self._one_strand(codes, labels)
        if self.both_strands:
            minus, their_logits = self._one_strand(reverse_complement(codes), labels)
            profiles = (profiles + minus[:, :, ::-1]) / 2
            logits = (logits + their_logits) / 2
        there = np.arange(4)[:, None] == codes[:, None]  # (n, 4, L)
        gap = np.full(len(codes), np.nan, np.float32)
        values = [np.where(there, profile[:, None], np.float32(0)) for profile in profiles]
        return [Explained(x, logit, gap) for x, logit in zip(values, logits, strict=True)]

    def _one_strand(self, codes: np.ndarray, labels: list[int]) -> tuple[np.ndarray, np.ndarray]:
        """Profiles float32 (labels, n, L) and logits (labels, n)."""
        x = torch.from_numpy(np.ascontiguousarray(codes)).to(self.device)
        maps, logits = self._maps(x, labels)
        bounds = np.tile([0, codes.shape[1]], (len(codes), 1))
        if self.model.faithful:
            bounds = inner_bounds(x)
            maps = [[_as_in_the_article(found, self.model.size)] for found in maps]
        profiles = np.zeros((len(labels), *codes.shape), np.float32)
        for row, (start, end) in enumerate(bounds):
            for i, found in enumerate(maps):
                here = [_columns(layer[row : row + 1], int(end - start)) for layer in found]
                profiles[i, row, start:end] = torch.stack(here).mean(0)[0].cpu().numpy()
        profiles[:, codes == N] = 0
        return profiles, logits

    def _maps(self, codes: Tensor, labels: list[int]) -> tuple[list[list[Tensor]], np.ndarray]:
        """For each label the maps (n, h, w) of each layer; logits (labels, n)."""
        model, found = self.model, {}
        images = model.images(codes, standardise=not model.faithful)
        layers = {name: model.trunk.get_submodule(name) for name in self.layers}
        hooks = [x.register_forward_hook(_keep(found, name)) for name, x in layers.items()]
        try:
            with torch.enable_grad():
                outputs = model.outputs(images, through=True)
        finally:
            for hook in hooks:
                hook.remove()
        activations = [found[name] for name in self.layers]
        maps = []
        for i, label in enumerate(labels):
            # the article's first number of a label is that for unbound
            target = outputs[:, 2 * label if model.faithful else label].sum()
            more = i + 1 < len(labels)
            gradients = torch.autograd.grad(target, activations, retain_graph=more)
            pairs = zip(activations, gradients, strict=True)
            maps.append([class_map(a.detach(), gradient) for a, gradient in pairs])
        return maps, model.logits(outputs.detach())[:, labels].T.float().cpu().numpy()


def explain_by_grad_cam(
    genome: Sequence[str | Path], model: str, out: str, options: GradCamOptions, run: Run
) -> AttributionFolder:
    """What ``tcnfast windows attribute`` does."""
    return explain_sites(_explainer, model, genome, out, options, run, "windows attribute")


def _explainer(model: ModelFolder, options: GradCamOptions, run: Run) -> GradCam:
    return GradCam(open_window_model(model), options.layers, options.strand, run.device)


def _layers_of(trunk: nn.Module) -> list[str]:
    found = []
    for name in LAYERS:
        found += [name, *(f"{name}.{i}" for i in range(len(trunk.get_submodule(name))))]
    return found


def class_map(activations: Tensor, gradients: Tensor) -> Tensor:
    """Grad-CAM's map of a layer, float (n, C, h, w) both -> (n, h, w), none below 0."""
    return F.relu((activations * gradients.mean((2, 3), keepdim=True)).sum(1))


def _keep(found: dict[str, Tensor], name: str):
    def hook(_module: nn.Module, _inputs: tuple, output: Tensor) -> None:
        if not output.requires_grad:  # behind frozen layers alone
            output.requires_grad_()
        found[name] = output

    return hook


def _columns(maps: Tensor, length: int) -> Tensor:
    """Means of columns of (n, h, w), linearly interpolated to ``length`` places: (n, length)."""
    return F.interpolate(maps.mean(1)[:, None], size=length, mode="linear")[:, 0]


def _as_in_the_article(maps: list[Tensor], size: int) -> Tensor:
    """One map (n, size, size) of those of several layers."""
    grown = [F.interpolate(_unit(x)[:, None], (size, size), mode="bilinear") for x in maps]
    mean = _unit(torch.stack(grown).mean(0)[:, 0])
    middle = mean.flatten(1).median(1).values[:, None, None]
    return torch.where(mean < middle, 0.0, mean)


def _unit(maps: Tensor) -> Tensor:
    """Each of (n, h, w) from 0 to 1."""
    maps = maps - maps.amin((1, 2), keepdim=True)
    return maps / maps.amax((1, 2), keepdim=True).clamp_min(1e-7)
