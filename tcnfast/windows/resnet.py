"""ResNets (He et al. 2016) that read pictures, and the weights others trained on ImageNet.

The network is MONAI's, whose tensors are called and shaped as torchvision's; ``pip install
"tcnfast[wavelet]"`` brings it.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from ..base.errors import TcnfastError

# residual blocks of the four layers; what 50 layers have, torchvision's ImageNet weights fit
DEPTHS = {
    10: ("basic", (1, 1, 1, 1)),
    18: ("basic", (2, 2, 2, 2)),
    50: ("bottleneck", (3, 4, 6, 3)),
}
LAYERS = ("layer1", "layer2", "layer3", "layer4")
STEM = ("conv1", "bn1", "act", "maxpool")


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
        raise TcnfastError('ResNets need MONAI: pip install "tcnfast[wavelet]"') from None
    block, blocks = DEPTHS[depth]
    channels = [width * 2**i for i in range(len(blocks))]
    stem = dict(spatial_dims=2, n_input_channels=3, conv1_t_size=7, conv1_t_stride=2)
    rest = dict(feed_forward=False, bias_downsample=False)
    network = ResNet(block, list(blocks), channels, **stem, **rest)
    return network.to(memory_format=torch.channels_last)


def load_image_weights(network: nn.Module, path: str | Path) -> None:
    """Fill a :func:`resnet` from torchvision's weights, whose classifier is left out: a .pth file,
    of which no code is run, or .safetensors. Raises TcnfastError that names what does not fit."""
    given = {name: x for name, x in _read(Path(path)).items() if not name.startswith("fc.")}
    wanted = network.state_dict()
    # files of 2016 to 2018 lack these counts, which nothing reads
    for name, tensor in wanted.items():
        if name.endswith("num_batches_tracked"):
            given.setdefault(name, tensor)
    for name in (*wanted, *given):
        if name not in given or name not in wanted:
            where = "lacks" if name in wanted else "holds, beside what the network has,"
            raise TcnfastError(f"{path}: {where} {name}; give torchvision's ResNet of this depth")
        if given[name].shape != wanted[name].shape:
            raise TcnfastError(
                f"{path}: {name} is {tuple(given[name].shape)}, the network's "
                f"{tuple(wanted[name].shape)}; give torchvision's ResNet of this depth"
            )
        if not given[name].isfinite().all():
            raise TcnfastError(f"{path}: {name} holds numbers that are not finite")
    network.load_state_dict(given)


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise TcnfastError(f"weights {path}: no such file")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            found = load_file(path)
        else:
            found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch and pickle raise what they like for a file that is none
        words = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise TcnfastError(f"weights {path}: cannot be read ({words})") from None
    if not isinstance(found, dict) or not all(isinstance(x, Tensor) for x in found.values()):
        raise TcnfastError(f"weights {path}: holds no tensors by name")
    return found
