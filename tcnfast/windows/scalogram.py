"""DNA as pictures: wavelet moduli in colours, as networks trained on ImageNet take them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..base.errors import TcnfastError
from .turbo import TURBO


def own_ranges(moduli: Tensor) -> tuple[Tensor, Tensor]:
    """Lowest and highest value of each of (N, scales, L): two of (N, 1, 1). Where they are equal
    the lowest colour stands, as in matplotlib."""
    return moduli.amin((1, 2), keepdim=True), moduli.amax((1, 2), keepdim=True)


def colour_levels(moduli: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Which of 256 colours each modulus has: uint8, of the same shape. What lies beyond the range
    has the colour of its end."""
    step = torch.where(high > low, 256 / (high - low).clamp_min(1e-30), 0.0)
    return ((moduli - low) * step).clamp_(0, 255).to(torch.uint8)


def pictures(levels: Tensor, size: int) -> Tensor:
    """uint8 levels (N, scales, L) in "turbo", resized bilinearly with antialiasing as torchvision
    does: uint8 (N, 3, size, size), channels last. The smallest scale is at the top."""
    if levels.dtype != torch.uint8 or levels.dim() != 3:
        raise TcnfastError(f"levels {tuple(levels.shape)} {levels.dtype}: must be uint8 (N, S, L)")
    table = torch.frombuffer(bytearray(TURBO), dtype=torch.uint8).view(256, 3).to(levels.device)
    colours = table.index_select(0, levels.flatten().int()).view(*levels.shape, 3)
    colours = colours.permute(0, 3, 1, 2)
    if levels.device.type != "cpu":  # only processors resize 8-bit pictures
        colours = colours.float()
    resized = F.interpolate(colours, (size, size), mode="bilinear", antialias=True)
    return resized if resized.dtype == torch.uint8 else resized.round_().to(torch.uint8)


def standardised(images: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """uint8 pictures -> float32, 0 to 1, less ``mean`` and over ``std`` of each colour."""
    shift = torch.tensor(mean, device=images.device).view(1, -1, 1, 1)
    scale = torch.tensor(std, device=images.device).view(1, -1, 1, 1)
    return (images.float() / 255 - shift) / scale
