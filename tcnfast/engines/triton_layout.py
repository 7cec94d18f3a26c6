"""How the channels of a network lie in the rows of the Triton kernels, and how weights are packed
for them: in natural order, or, of a symmetric network, in pair order, with weights of the halved
convolution (kernels/README.md)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from . import pairs

# how a product is taken. fp32: as three of tf32, exact to a bit or two of float32; by float32's own
# arithmetic registers overflow a hundredfold and compilation takes half a minute
INPUTS = {"tf32": "tf32", "fp32": "tf32x3"}
FUSION = {"enable_fp_fusion": True}  # Triton 3.9 warns where nobody says


def padded_channels(channels: int) -> int:
    """Channels of a row: matrix instructions take powers of two, from 16 on."""
    return max(16, 1 << (channels - 1).bit_length())


def columns(channels: int) -> list[int]:
    """The channel of each column of a tile in registers, kernels/wgmma_tiles.py: of thread q of a
    row's four, columns 2 q, 2 q + 1 of every eight."""
    run = min(8, channels // 4)  # channels that a thread loads at once
    runs, pairs_of = range(channels // (4 * run)), range(run // 2)
    return [
        4 * run * part + run * q + 2 * pair + e
        for part in runs
        for pair in pairs_of
        for q in range(4)
        for e in range(2)
    ]


def fragment_order(letters: int) -> Tensor:
    """(letters,): the rows 4 m + b of ``Layout.letters`` in the order of a one-hot tile's columns.
    Of 16 columns a thread of a matrix instruction holds 2 q, 2 q + 1, 2 q + 8 and 2 q + 9: here
    they are the four bases of one tap."""
    column = torch.arange(letters)
    tap = column // 16 * 4 + column % 8 // 2
    return 4 * tap + column % 2 + column // 8 % 2 * 2


@dataclass(frozen=True)
class Layout:
    """Rows of ``channels`` in natural order, padded with zeros to ``padded``."""

    channels: int
    symmetric = False

    @property
    def padded(self) -> int:
        return padded_channels(self.channels)

    @property
    def sizes(self) -> dict[str, int]:
        """What kernels are told."""
        return {"C": self.padded}

    def pad(self, tensor: Tensor) -> Tensor:
        """(..., C) -> (..., C')."""
        missing = self.padded - tensor.shape[-1]
        return (F.pad(tensor, (0, missing)) if missing else tensor).contiguous()

    def unpad(self, tensor: Tensor) -> Tensor:
        """(..., C') -> (..., C), in natural order."""
        return tensor[..., : self.channels]

    def matrices(self, weight: Tensor) -> Tensor:
        """(C, C_in, k) -> (k, C_in', C'): one a tap."""
        return self.pad(self.pad(weight.permute(2, 0, 1)).transpose(1, 2))

    def taps(self, weight: Tensor) -> Tensor:
        """(C, C_in, k) -> what a convolution of rows multiplies by, (k, C_in', C')."""
        return self.matrices(weight)

    def letters(self, weight: Tensor) -> Tensor:
        """(C, 4, k) of a convolution of one-hot DNA -> (letters, C'): row 4 m + b is tap m, base b;
        zeros up to a power of two of letters."""
        rows = self.pad(weight.permute(2, 1, 0).flatten(0, 1))
        letters = max(16, 1 << (len(rows) - 1).bit_length())
        return F.pad(rows, (0, 0, 0, letters - len(rows)))

    def whole(self, table: Tensor) -> Tensor:
        """A table (R, C') as the kernel of a whole first block takes it."""
        return table

    def head(self, weight: Tensor) -> Tensor:
        """(labels, C) -> what the head multiplies by, transposed."""
        return self.pad(weight).T


@dataclass(frozen=True)
class PairLayout(Layout):
    """Rows of pairs: half of the channels, padded with zeros, then their partners alike."""

    symmetric = True

    @property
    def padded(self) -> int:
        return 2 * padded_channels(self.channels // 2)

    @property
    def sizes(self) -> dict[str, int]:
        return {"H": self.padded // 2}

    def pad(self, tensor: Tensor) -> Tensor:
        return pairs.to_rows(tensor, self.padded).contiguous()

    def unpad(self, tensor: Tensor) -> Tensor:
        return pairs.from_rows(tensor, self.channels)

    def taps(self, weight: Tensor) -> Tensor:
        """(2 k, C_in' / 2, C' / 2), see ``halved``."""
        taps = halved(weight)
        extra = self.padded // 2 - taps.shape[2]
        return F.pad(taps, (0, extra, 0, extra))

    def whole(self, table: Tensor) -> Tensor:
        return torch.stack(table.chunk(2, 1))

    def head(self, weight: Tensor) -> Tensor:
        return self.pad(weight)[:, : self.padded // 2].T


def layout_of(channels: int, symmetric: bool) -> Layout:
    return PairLayout(channels) if symmetric else Layout(channels)


def halved(weight: Tensor) -> Tensor:
    """(C, C_in, k), its own flip -> (2 k, C_in / 2, C / 2): k matrices that give half the sum of a
    pair of outputs, then k that give half their difference.

    Of each k the middle tap comes first, if there is one. Then come two for each pair of mirrored
    taps: one meets the sum of tiles of the same kind (sums of pairs for a sum), one the difference
    of tiles of the other kind.
    """
    here, partner = pairs.first_half(weight).permute(2, 1, 0).chunk(2, 1)
    partner = partner.flip(1)
    on_sums, on_differences = (here + partner) / 2, (here - partner) / 2
    return torch.stack([*_kind(on_sums, on_differences), *_kind(on_differences, on_sums)])


def _kind(same: Tensor, other: Tensor) -> list[Tensor]:
    taps = len(same)
    found = [same[taps // 2]] if taps % 2 else []
    for near in range(taps // 2):
        far = taps - 1 - near
        found += [(same[near] + same[far]) / 2, (other[far] - other[near]) / 2]
    return found
