"""Hits of many motifs on a GPU: every placement of every motif, as one matrix product.

A matrix over one-hot bases is a convolution, and a convolution at every base is the product of its
windows with the matrices. What sites lack of the highest score are whole numbers far below 2^24, so
that their float32 sums are exact in any order, and hits are those of :mod:`seed_hits`, bit for
bit. Only the hits come back.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..base.errors import TcnfastError
from ..genome.codes import N
from .packed_hits import LACK_BITS, MAX_MOTIFS, MOTIF_SHIFT, START_SHIFT

SCORES = 2**26  # at once: 256 MiB, and as many flags
_WIDTHS = (8, 12, 16, 24)  # motifs are filled up to the next of these, or to the widest


class MotifProduct:
    """Matrices int64 (width, 4), each with the lowest score that is a hit, in units, on a device.

    Raises TcnfastError where a site could lack 2^24 units, which float32 does not count to.
    """

    def __init__(
        self, units: Sequence[np.ndarray], cutoffs: Sequence[int], device: torch.device
    ) -> None:
        if not 0 < len(units) <= MAX_MOTIFS:
            raise TcnfastError(f"{len(units)} motifs: one scan takes 1 to {MAX_MOTIFS}")
        self.device, widest = device, max(map(len, units))
        groups: dict[int, list[tuple[int, np.ndarray, int]]] = {}
        for motif, (matrix, cutoff) in enumerate(zip(units, cutoffs, strict=True)):
            may_lack = int(matrix.max(1).sum()) - int(cutoff)
            filled = next((w for w in _WIDTHS if len(matrix) <= w), widest)
            for strand in range(2):
                turned = matrix[::-1, ::-1] if strand else matrix
                lacks = turned.max(1, keepdims=True) - turned
                if lacks.max(1).sum() >= 1 << LACK_BITS:
                    raise TcnfastError(f"motif {motif}: scores of over {1 << LACK_BITS} units")
                groups.setdefault(filled, []).append((2 * motif + strand, lacks, may_lack))
        self.widest = max(groups)  # what windows are filled up to
        self.groups = [_Group(width, rows, device) for width, rows in groups.items()]

    @torch.inference_mode()
    def find_hits(self, codes: np.ndarray, starts: int) -> np.ndarray:
        """As :func:`seed_hits.find_hits`."""
        given = torch.from_numpy(codes).to(self.device)
        given = F.pad(given, (0, starts + self.widest - len(codes)), value=N)
        one_hot = F.one_hot(given.long(), N + 1)[:, :N].float().contiguous()
        free = _known_ahead(given)[:starts]
        found = [group.hits(one_hot, free) for group in self.groups]
        return np.sort(torch.cat(found).cpu().numpy().view(np.uint64))


class _Group:
    """Rows of about one width, filled with columns that lack nothing."""

    def __init__(
        self, width: int, rows: list[tuple[int, np.ndarray, int]], device: torch.device
    ) -> None:
        self.width = width
        weight = np.zeros((len(rows), width, 4), np.float32)
        for i, (_, lacks, _) in enumerate(rows):
            weight[i, : len(lacks)] = lacks
        self.weight = torch.from_numpy(weight).flatten(1).T.contiguous().to(device)
        columns = [[row, len(lacks), may_lack] for row, lacks, may_lack in rows]
        self.rows, self.widths, self.may_lack = torch.tensor(columns, device=device).unbind(1)

    def hits(self, one_hot: Tensor, free: Tensor) -> Tensor:
        """Packed hits int64 of the starts of ``free``, each with as many known bases from it on."""
        size, found = max(1, SCORES // len(self.rows)), []
        for first in range(0, len(free), size):
            here = free[first : first + size]
            windows = one_hot[first : first + len(here) + self.width - 1]
            windows = windows.unfold(0, self.width, 1).transpose(1, 2).flatten(1)
            lacks = _exact_product(windows, self.weight)
            good = (lacks <= self.may_lack) & (self.widths <= here[:, None])
            start, column = good.nonzero(as_tuple=True)
            row = self.rows[column]
            packed = (row >> 1) << MOTIF_SHIFT | (start + first) << START_SHIFT
            found.append(packed | (row & 1) << LACK_BITS | lacks[start, column].long())
        return torch.cat(found)


def _known_ahead(codes: Tensor) -> Tensor:
    """How many bases without N follow from each on: int64 (T,)."""
    places = torch.arange(len(codes), device=codes.device)
    stops = torch.where(codes == N, places, len(codes))
    return stops.flip(0).cummin(0).values.flip(0) - places


def _exact_product(a: Tensor, b: Tensor) -> Tensor:
    """a @ b in whole float32, whatever tensor cores others asked for."""
    if a.device.type != "cuda":
        return a @ b
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        return a @ b
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
