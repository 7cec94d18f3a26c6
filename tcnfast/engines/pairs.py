"""Pairs of channels of a symmetric network: the reverse complement exchanges c and C-1-c.

DNA has the same order, for A C G T are 0 1 2 3 and complement is ``3 - code``. So what reads or
writes such channels is its own flip along every axis that counts channels or taps, and half of it
says all. Rows of engines hold channels in *pair order*: 0..C/2-1, zeros, then C-1..C/2, zeros, so
that the partner of column c is column ``c + C'/2``.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def whole(half: Tensor, *axes: int) -> Tensor:
    """A tensor that is its own flip along ``axes``, by default all of them, from the first half of
    it along the first of these."""
    axes = axes or tuple(range(half.ndim))
    if half.is_meta:  # a shape alone; to flip or join one imports PyTorch's compiler
        shape = [2 * n if axis == axes[0] else n for axis, n in enumerate(half.shape)]
        return half.new_empty(shape)
    return torch.cat((half, half.flip(axes)), axes[0])


def first_half(tensor: Tensor, axis: int = 0) -> Tensor:
    """What :func:`whole` makes the tensor of."""
    return tensor.narrow(axis, 0, tensor.shape[axis] // 2)


def to_positions(maps: Tensor) -> Tensor:
    """(N, C, 1, L) -> (N, C/2, 2, L): of each pair one channel, twice the positions."""
    here, partner = maps.chunk(2, 1)
    return torch.cat((here, partner.flip(1)), 2)


def to_channels(maps: Tensor) -> Tensor:
    """(N, C/2, 2, L) -> (N, C, 1, L): what ``to_positions`` did, undone."""
    here, partner = maps.chunk(2, 2)
    return torch.cat((here, partner.flip(1)), 1)


def to_rows(natural: Tensor, padded: int) -> Tensor:
    """(..., C) in natural order -> (..., padded) in pair order."""
    here, partner = natural.chunk(2, -1)
    partner = partner.flip(-1)
    if missing := padded // 2 - here.shape[-1]:
        here, partner = (F.pad(half, (0, missing)) for half in (here, partner))
    return torch.cat((here, partner), -1)


def from_rows(rows: Tensor, channels: int) -> Tensor:
    """(..., C') in pair order -> (..., channels) in natural order."""
    here, partner = (half[..., : channels // 2] for half in rows.chunk(2, -1))
    return torch.cat((here, partner.flip(-1)), -1)
