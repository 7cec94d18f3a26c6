"""The networks that read wavelet pictures, and where their ImageNet weights come from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from ..base.errors import TcnfastError
from . import efficientnet, resnet

RANDOM, PYTORCH, IMAGENET = "random", "pytorch", "imagenet"


@dataclass(frozen=True)
class ImageNetwork:
    """``build(size, depth, width)`` makes one: images (N, 3, size, size) -> (N, in_planes), whose
    parts are ``stem``, the layers of :data:`tcnfast.windows.resnet.LAYERS` and avgpool.

    ``load_file(network, path)`` fills it. ``mean`` and ``std`` of red, green and blue are those
    that its weights were trained with; ``article_mean`` has the article's slip in green, which is
    of a ResNet's alone. ``installed`` gives the file of an installed package.
    """

    name: str
    build: Callable[[int, int | None, int | None], nn.Module]
    load_file: Callable
    stem: tuple[str, ...]
    mean: tuple[float, ...]
    article_mean: tuple[float, ...]
    std: tuple[float, ...]
    installed: Callable | None = None

    def chosen(self, weights: str | None) -> str:
        """What ``weights`` stands for: RANDOM, PYTORCH, IMAGENET or a file. Raises TcnfastError for
        IMAGENET where no package has them."""
        if weights is None:
            return RANDOM if self.installed is None else IMAGENET
        if weights == IMAGENET and self.installed is None:
            raise TcnfastError(
                f"weights {IMAGENET}: no package has those of {self.name}; give torchvision's file"
            )
        return weights

    def load(self, network: nn.Module, weights: str) -> None:
        """Fill ``network`` from IMAGENET or a file."""
        self.load_file(network, self.installed() if weights == IMAGENET else weights)


def _resnet(size: int, depth: int | None, width: int | None) -> nn.Module:
    return resnet.resnet(50 if depth is None else depth, 64 if width is None else width)


def _efficientnet(size: int, depth: int | None, width: int | None) -> nn.Module:
    for name, value in (("depth", depth), ("width", width)):
        if value is not None:
            raise TcnfastError(f"{name} {value}: goes with the backbone resnet alone")
    return efficientnet.EfficientNetLite0(size)


BACKBONES = {
    found.name: found
    for found in (
        ImageNetwork(
            "resnet",
            _resnet,
            resnet.load_image_weights,
            resnet.STEM,
            resnet.PICTURE_MEAN,
            resnet.ARTICLE_MEAN,
            resnet.PICTURE_STD,
        ),
        ImageNetwork(
            "efficientnet-lite0",
            _efficientnet,
            efficientnet.load_efficientnet_weights,
            efficientnet.STEM,
            efficientnet.PICTURE_MEAN,
            efficientnet.PICTURE_MEAN,
            efficientnet.PICTURE_STD,
            efficientnet.imagenet_file,
        ),
    )
}


def image_network(name: str) -> ImageNetwork:
    """The network of BACKBONES; TcnfastError for an unknown name."""
    if name not in BACKBONES:
        raise TcnfastError(f"backbone {name!r}: must be one of {', '.join(BACKBONES)}")
    return BACKBONES[name]
