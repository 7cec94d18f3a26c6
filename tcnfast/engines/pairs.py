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
    zeros = 0, padded // 2 - here.shape[-1]
    return torch.cat((F.pad(here, zeros), F.pad(partner.flip(-1), zeros)), -1)


def from_rows(rows: Tensor, channels: int) -> Tensor:
    """(..., C') in pair order -> (..., channels) in natural order."""
    here, partner = (half[..., : channels // 2] for half in rows.chunk(2, -1))
    return torch.cat((here, partner.flip(-1)), -1)


def halved_conv(
    x: Tensor, weight: Tensor, bias: Tensor, dilation: int = 1, stride: int = 1
) -> Tensor:
    """``reference.conv`` of a symmetric layer with half of its products.

    x (N, C, 1, L), weight (C, C, k), bias (C,), in natural order -> (N, C, 1, L'). Of a pair's
    channels u and v the sum s and the difference d go through layers of their own; of mirrored taps
    (a, b) S takes s[a] + s[b] and d[b] - d[a], D takes d[a] + d[b] and s[b] - s[a]; u = S + D and
    v = S - D. Sums of inputs are rounded once, to the dtype of ``x``.
    """
    taps, half = weight.shape[2], weight.shape[0] // 2
    span = x.shape[-1] - (taps - 1) * dilation
    exact = torch.promote_types(x.dtype, torch.float32)
    u, v = (part.to(exact) for part in (first_half(x, 1), first_half(x.flip(1), 1)))
    s, d = (
        [whole_x[..., tap * dilation :][..., :span:stride] for tap in range(taps)]
        for whole_x in (u + v, u - v)
    )
    p, q = first_half(weight), first_half(weight.flip(1))
    p, q = (part[:, :half].to(exact) for part in (p + q, p - q))
    inputs, kernels = ([], []), ([], [])

    def take(side: int, rows: Tensor, kernel: Tensor) -> None:
        inputs[side].append(rows.to(x.dtype))
        kernels[side].append(kernel.to(x.dtype))

    if taps % 2:
        take(0, s[taps // 2], p[..., taps // 2] / 2)
        take(1, d[taps // 2], q[..., taps // 2] / 2)
    for a in range(taps // 2):
        b = taps - 1 - a
        take(0, s[a] + s[b], (p[..., a] + p[..., b]) / 4)
        take(0, d[b] - d[a], (q[..., b] - q[..., a]) / 4)
        take(1, d[a] + d[b], (q[..., a] + q[..., b]) / 4)
        take(1, s[b] - s[a], (p[..., b] - p[..., a]) / 4)
    biases = first_half(bias), None
    total, difference = (
        F.conv2d(torch.cat(rows, 1), torch.cat(parts, 1)[..., None, None], b)
        for rows, parts, b in zip(inputs, kernels, biases, strict=True)
    )
    return torch.cat((total + difference, (total - difference).flip(1)), 1)
