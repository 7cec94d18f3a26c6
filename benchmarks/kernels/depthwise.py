"""Training an EfficientNet in bf16 on a processor: PyTorch's gradients of depthwise convolutions
against those of `tcnfast.windows.efficientnet.Depthwise`: `python -m benchmarks.kernels.depthwise`.

A step is forward and backward of 32 pictures of 224 pixels, random weights, one thread, seconds of
the processor: of the last layer alone, and of all. Both sides are one network, whose depthwise
convolutions are PyTorch's own or ours; their gradients must agree to bf16.
"""

from __future__ import annotations

import torch
from torch import nn

from benchmarks.harness import PROCESSOR, compare, parser, report
from tcnfast.windows.efficientnet import Depthwise, EfficientNetLite0
from tcnfast.windows.resnet import LAYERS

SIZE, PICTURES = 224, 32
TOLERANCE = 2e-2  # of the norm of the first trained layer's gradient


def step(network: nn.Module, forward, pictures: torch.Tensor, layers: tuple[str, ...]) -> object:
    """Forward and backward; returns the gradient of the first trained kernel."""
    Depthwise.forward = forward
    network.zero_grad(set_to_none=True)
    with torch.autocast("cpu", torch.bfloat16):
        with torch.set_grad_enabled(layers == LAYERS):
            h = network.stem(pictures)
            for name in LAYERS[:-1]:
                h = getattr(network, name)(h)
        features = network.avgpool(network.layer4(h))
    features.float().square().mean().backward()
    return next(getattr(network, layers[0]).parameters()).grad.clone()


def main() -> None:
    args = parser(__doc__, rounds=7).parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = EfficientNetLite0(SIZE).train()
    pictures = torch.randn(PICTURES, 3, SIZE, SIZE).to(memory_format=torch.channels_last)
    sides = {"PyTorch": nn.Conv2d.forward, "tcnfast": Depthwise.forward}
    for case, layers in (("last layer", LAYERS[-1:]), ("all layers", LAYERS)):
        runs = {
            name: lambda forward=forward, layers=layers: step(network, forward, pictures, layers)
            for name, forward in sides.items()
        }
        given, medians = compare(runs, args.rounds, PROCESSOR)
        theirs, ours = given["PyTorch"], given["tcnfast"]
        assert (theirs - ours).norm() < TOLERANCE * theirs.norm(), case
        report("depthwise", f"training step, bf16, {case}", medians, "PyTorch", args.dry)


if __name__ == "__main__":
    main()
