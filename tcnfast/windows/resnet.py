"""ResNets (He et al. 2016) that read pictures, and the weights others trained on ImageNet.

The network is MONAI's, whose tensors are called and shaped as torchvision's; the extra ``wavelet``
brings it.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from ..base.errors import TcnfastError
from ..base.extras import install
from .image_weights import fill, read_weights

# residual blocks of the four layers; what 50 layers have, torchvision's ImageNet weights fit
DEPTHS = {
    10: ("basic", (1, 1, 1, 1)),
    18: ("basic", (2, 2, 2, 2)),
    50: ("bottleneck", (3, 4, 6, 3)),
}
LAYERS = ("layer1", "layer2", "layer3", "layer4")
STEM = ("conv1", "bn1", "act", "maxpool")
# mean and standard deviation of red, green and blue over ImageNet, as torchvision's weights assume;
# in the article the mean of green is that of red, a slip
PICTURE_MEAN, PICTURE_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
ARTICLE_MEAN = (0.485, 0.485, 0.406)


def resnet(depth: int, width: int) -> nn.Module:
    """A ResNet of ``depth`` layers, ``width`` channels in the first of LAYERS and twice as many in
    each next one (four times as many come out of bottlenecks), without its classifier: images (N,
    3, H, W) -> (N, channels). Randomly initialised, channels last.

    Raises TcnfastError for an unknown depth, and where MONAI is not installed.
    """
    if depth not in DEPTHS:
        raise TcnfastError(f"depth {depth}: must be one of {', '.join(map(str, DEPTHS))}")
    if width < 1:
        raise TcnfastError(f"width {width}: must be at least 1 channel")
    try:
        from monai.networks.nets.resnet import ResNet
    except ImportError:
        raise TcnfastError(f"ResNets need MONAI: {install('wavelet')}") from None
    block, blocks = DEPTHS[depth]
    channels = [width * 2**i for i in range(len(blocks))]
    stem = dict(spatial_dims=2, n_input_channels=3, conv1_t_size=7, conv1_t_stride=2)
    rest = dict(feed_forward=False, bias_downsample=False)
    network = ResNet(block, list(blocks), channels, **stem, **rest)
    return network.to(memory_format=torch.channels_last)


def load_image_weights(network: nn.Module, path: str | Path) -> None:
    """Fill a :func:`resnet` with torchvision's weights, a .pth or .safetensors file, without their
    classifier. Code in a .pth file is not run. Raises TcnfastError that names the tensors that do
    not fit."""
    given = {name: x for name, x in read_weights(path).items() if not name.startswith("fc.")}
    names = {name: name for name in network.state_dict()}
    fill(network, names, given, path, "torchvision's ResNet of this depth")
