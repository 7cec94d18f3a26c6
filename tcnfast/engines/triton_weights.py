"""Weights of a block in training as the Triton kernels multiply by them, and their gradients back.

The forward pass packs once, both ways, and the backward pass of the same call finds what was packed
among the outputs that autograd keeps for it. Nothing is looked up by address or version, so that
nothing can be stale: what changes a weight in place between the two makes autograd raise.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, NamedTuple

from torch import Tensor

if TYPE_CHECKING:
    from .triton_forward import Call

LETTERS_LEAST = 16  # of a one-hot tile
PROGRAM = 4096  # numbers of a matrix that a program packs
ELEMENTS, PARTS = 64, 64  # of a matrix that a program sums, and parts that it takes at a time
_OPTIONS = {"num_warps": 4, "enable_fp_fusion": False}


class Packed(NamedTuple):
    """Views of ``BlockOutputs.packed``: matrices (matrices, in, out) of both convolutions, of codes
    (letters, C'); and (matrices, out, in) for the way back, of codes none for the first."""

    taps1: Tensor
    taps2: Tensor
    back1: Tensor
    back2: Tensor


def directly_back(call: Call) -> bool:
    """Whether the way back through the second convolution is by whole matrices: of a halved block
    where it is strided and k is even, for mirrored taps meet inputs of different phases."""
    return not call.halved or (call.stride > 1 and call.taps2 % 2 == 0)


def letters(taps: int) -> int:
    """Rows of a one-hot tile of so many taps, a power of two."""
    return max(LETTERS_LEAST, 1 << (4 * taps - 1).bit_length())


def _shapes(call: Call) -> Packed:
    c = call.padded
    taps1, taps2 = (_matrices(call, k) for k in (call.taps1, call.taps2))
    back1, back2 = taps1, taps2
    if directly_back(call):
        back2 = -(-call.taps2 // call.stride) * call.stride, c, c
    if call.codes:
        taps1, back1 = (letters(call.taps1), c), (0, c, c)
    return Packed(taps1, taps2, back1, back2)


def _matrices(call: Call, taps: int) -> tuple[int, int, int]:
    c = call.padded
    return (2 * taps, c // 2, c // 2) if call.halved else (taps, c, c)


def packed_size(call: Call) -> int:
    """Numbers of ``BlockOutputs.packed``."""
    return sum(map(prod, _shapes(call)))


def views(call: Call, packed: Tensor) -> Packed:
    """What lies in ``packed``."""
    shapes = _shapes(call)
    parts = packed.split([prod(shape) for shape in shapes])
    return Packed(*(part.view(shape) for part, shape in zip(parts, shapes, strict=True)))


def pack(call: Call, packed: Tensor) -> Packed:
    """Fill ``packed``, a tensor of ``packed_size`` numbers, and say what lies in it."""
    found = views(call, packed)
    if call.codes:
        found.taps1.copy_(call.layout.letters(call.whole(call.weight1)))
    matrices = packed[found.taps1.numel() :] if call.codes else packed
    counts = [0 if call.codes else len(found.taps1), len(found.taps2), len(found.back1)]
    if not call.halved:
        _pack_whole(call, matrices, counts, len(found.back2))
    elif directly_back(call):
        _pack_halved(call, matrices, counts, 0)
        _pack_whole(call, found.back2, [0, 0, 0], len(found.back2))
    else:
        _pack_halved(call, matrices, counts, len(found.back2))
    return found


def _pack_whole(call: Call, packed: Tensor, counts: list[int], back2: int) -> None:
    from ..kernels.weights import pack_whole

    c = call.padded
    rows = min(c, max(1, PROGRAM // c))
    pack_whole[(sum(counts) + back2, c // rows)](
        **_packed_from(call, packed, counts), C=c, R=rows, HALVES=call.together, **_OPTIONS
    )


def _pack_halved(call: Call, packed: Tensor, counts: list[int], back2: int) -> None:
    from ..kernels.weights import pack_halved

    h = call.padded // 2
    rows = min(h, max(1, PROGRAM // h))
    pack_halved[(sum(counts) + back2, h // rows)](
        **_packed_from(call, packed, counts), H=h, R=rows, **_OPTIONS
    )


def _packed_from(call: Call, packed: Tensor, counts: list[int]) -> dict:
    names = dict(zip(("F1", "F2", "B1"), counts, strict=True))
    weights = dict(weight1=call.weight1, weight2=call.weight2, K1=call.taps1, K2=call.taps2)
    return weights | names | dict(packed=packed, channels=call.channels)


def sum_parts(call: Call, partial: Tensor, gradient: Tensor) -> None:
    """Fill ``gradient`` of a weight, or of its first half, from the sums of parts that its kernel
    gave: whole (parts, k, C', C'), or of a halved block (parts, 2 k, C' / 2, C' / 2)."""
    from ..kernels.weights import sum_halved, sum_whole

    taps, size = gradient.shape[2], partial.shape[2]
    told = dict(
        partial=partial,
        out=gradient,
        parts=len(partial),
        channels=call.channels,
        E=ELEMENTS,
        P=PARTS,
        WHOLE=not call.halves,
        **_OPTIONS,
    )
    blocks = size * size // ELEMENTS
    if call.halved:
        sum_halved[((taps + 1) // 2, blocks)](K=taps, H=size, **told)
    else:
        halves = call.together
        sum_whole[(taps, blocks // halves)](k=taps, C=size, HALVES=halves, **told)
