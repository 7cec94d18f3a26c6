"""The halved form of a symmetric stack, in plain PyTorch: half of the products of the direct one.

Of a pair of channels (c, C-1-c) let ``u`` be the activation of c and ``v`` that of its partner,
``s = u + v`` and ``d = u - v``. A kernel W (C, C_in, k) is its own flip along all axes, so its
first half of outputs says all. With ``W[c, i, t] = A_t`` and ``W[c, C_in-1-i, t] = B_t`` (both
(h, h_in), h = C/2), ``P = (A + B) / 2``, ``Q = (A - B) / 2`` and ``t' = k-1-t``,

    u = sum_t  P_t  s[t] + Q_t  d[t]          v = sum_t  P_t' s[t] - Q_t' d[t]

and half of their sum and half of their difference are symmetric or antisymmetric in the taps:

    S = (u + v) / 2 = A0 s[m] + sum_{t<t'} A1 (s[t] + s[t']) + B1 (d[t'] - d[t])
    D = (u - v) / 2 = C0 d[m] + sum_{t<t'} C1 (d[t] + d[t']) + D1 (s[t'] - s[t])

    A0 = P_m   A1 = (P_t + P_t') / 2   B1 = (Q_t' - Q_t) / 2
    C0 = Q_m   C1 = (Q_t + Q_t') / 2   D1 = (P_t' - P_t) / 2

with a middle tap m where k is odd. So k h_in inputs make h outputs, twice: ``k C C_in / 2``
products a position. Then ``u = S + D``, ``v = S - D``, and bias, ReLU and residual act on both as
ever. Under the reverse complement u and v change places and the taps turn round: every input of S
is then the same number and every input of D its negative, to the last bit.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from . import pairs, reference
from .grid import StackGrid


class HalvedKernel(NamedTuple):
    """Matrices (h, k, h_in) from k inputs of every pair to S and to D. The k inputs are the middle
    tap, where there is one, and then of each two mirrored taps t = 0, 1, ... the sum and the
    difference: A0, A1, B1, A1, B1, ... for S and C0, C1, D1, C1, D1, ... for D."""

    sums: Tensor
    differences: Tensor


def halve(weight: Tensor) -> HalvedKernel:
    """A symmetric kernel (C, C_in, k) in the halved form, in its own dtype."""
    own = pairs.first_half(weight)
    here, partner = own.chunk(2, 1)
    partner = partner.flip(1)
    p, q = (here + partner) / 2, (here - partner) / 2
    middle = weight.shape[2] // 2
    sums, differences = [], []
    if weight.shape[2] % 2:
        sums.append(p[..., middle])
        differences.append(q[..., middle])
    for t in range(middle):
        (p1, p2), (q1, q2) = ((x[..., t], x[..., -1 - t]) for x in (p, q))
        sums += [(p1 + p2) / 2, (q2 - q1) / 2]
        differences += [(q1 + q2) / 2, (p2 - p1) / 2]
    return HalvedKernel(torch.stack(sums, 1), torch.stack(differences, 1))


def tap_sums(maps: Tensor, taps: int, dilation: int = 1, stride: int = 1) -> tuple[Tensor, Tensor]:
    """Of (N, C, 1, L) the inputs of S and of D, both (N, k, C/2, P), in the order of
    :class:`HalvedKernel`. Rows of less than float32 are added up in float32, and rounded once."""
    dtype = maps.dtype
    u, v = maps.squeeze(2).to(_wide(dtype)).chunk(2, 1)
    v = v.flip(1)
    s, d = u + v, u - v
    length = (maps.shape[-1] - 1 - (taps - 1) * dilation) // stride + 1

    def at(x: Tensor, tap: int) -> Tensor:
        first = tap * dilation
        return x[..., first : first + (length - 1) * stride + 1 : stride]

    middle, sums, differences = taps // 2, [], []
    if taps % 2:
        sums.append(at(s, middle))
        differences.append(at(d, middle))
    for t in range(middle):
        s1, s2, d1, d2 = (at(x, tap) for x in (s, d) for tap in (t, taps - 1 - t))
        sums += [s1 + s2, d2 - d1]
        differences += [d1 + d2, s2 - s1]
    return torch.stack(sums, 1).to(dtype), torch.stack(differences, 1).to(dtype)


def conv(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, dilation: int = 1, stride: int = 1
) -> Tensor:
    """``reference.conv`` of a symmetric kernel, by half of the products; accumulated in float32 or
    wider and rounded at the end."""
    wide = _wide(x.dtype)
    kernel = halve(weight.to(wide))
    inputs = tap_sums(x, weight.shape[2], dilation, stride)
    s, d = (
        torch.einsum("oki,nkip->nop", matrix.to(x.dtype).to(wide), rows.to(wide))
        for matrix, rows in zip(kernel, inputs, strict=True)
    )
    y = torch.cat((s + d, (s - d).flip(1)), 1)
    if bias is not None:
        y = y + bias.to(wide)[:, None]
    return y.to(x.dtype).unsqueeze(2)


def stack(codes: Tensor, weights: reference.StackWeights, grid: StackGrid) -> Tensor:
    """``reference.stack`` of symmetric weights in the halved form but for its first convolution,
    which engines look up in tables."""
    dtype, first = weights.head_weight.dtype, weights.blocks[0].weight1

    def convolve(x: Tensor, weight: Tensor, *more) -> Tensor:
        return (reference.conv if weight is first else conv)(x, weight, *more)

    x = reference.one_hot(codes, dtype)
    for block, geometry in zip(weights.blocks, grid.blocks, strict=True):
        x = reference.block(x, block, geometry, convolve)
    here, partner = x[..., :: grid.sample].squeeze(2).chunk(2, 1)
    features = (here + partner.flip(1)).transpose(1, 2)
    head = weights.head_weight.chunk(2, 1)[0]
    logits = F.linear(features, head, weights.head_bias)
    return logits if dtype == torch.float64 else logits.float()


def _wide(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)
