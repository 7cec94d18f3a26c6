"""The head of a stack on the Triton kernels, and hits found in it without storing logits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from .reference import DTYPES
from .triton_chip import version_of
from .triton_layout import FUSION, INPUTS

ROWS = 64  # positions of a tile
MOST_LABELS = 64  # of a tile
TILES = 2  # tiles of labels, a group: their weights stay in shared memory
# from here on Triton puts a fence between a tile that was copied ahead and the wgmma that reads it;
# 3.6 does not, as the executor of PTX shows: there no tile is copied ahead
FENCED = (3, 9)
WALKED = 16  # tiles of positions a program counts, so that loading weights takes little of it


class Head:
    """Features (N, L, C') to logits (N, outputs, labels) float32."""

    def __init__(self, weights, sample, layout, precision, chip) -> None:
        self.matrix = layout.head(weights.head_weight).to(DTYPES[precision])  # (C', labels)
        self.bias = weights.head_bias
        self.labels, self.sample = len(self.bias), sample
        self.pairs, self.inputs = layout.symmetric, INPUTS.get(precision, "ieee")
        self.tile = min(MOST_LABELS, max(16, 1 << (self.labels - 1).bit_length()))
        tiles = -(-self.labels // self.tile)
        # with two, the registers of count_hits overflow where there is no wgmma
        self.tiles = min(TILES if chip.wgmma else 1, tiles)
        self.groups = -(-tiles // self.tiles)
        self.wgmma = chip.wgmma

    def pack(self, columns) -> tuple[Tensor, Tensor]:
        """Weights (C', padded) and biases (padded,) of labels, padded to whole groups."""
        matrix, bias = self.matrix[:, columns], self.bias[columns]
        extra = 0, -len(bias) % (self.tile * self.tiles)
        return pad(matrix, extra).contiguous(), pad(bias, extra).contiguous()

    def same(self, other: Head) -> bool:
        """Whether it is the head of one network: of its other strand."""
        pairs = (self.matrix, other.matrix), (self.bias, other.bias)
        return all(a is b or torch.equal(a, b) for a, b in pairs)

    def like(self, other: Head) -> bool:
        """Whether one kernel takes both."""
        mine, its = (
            (h.matrix.shape, h.matrix.dtype, h.sample, h.pairs, h.inputs) for h in (self, other)
        )
        return mine == its

    def __call__(self, x: Tensor, outputs: int) -> Tensor:
        return Logits([self])([x], outputs)


class Logits:
    """Logits of one stack or of two together: the mean of theirs, or the larger (``maximum``).
    ``columns``: the labels that are wanted, by default all."""

    def __init__(self, heads: Sequence[Head], maximum: bool = False, columns=slice(None)) -> None:
        self.heads, self.maximum = heads, maximum
        self.labels = len(heads[0].bias[columns])
        self.packed = [head.pack(columns) for head in heads]

    def arguments(self, rows: Sequence[Tensor]) -> dict:
        """What all kernels of heads are told alike."""
        head, (weight, bias) = self.heads[0], self.packed[0]
        others = self.packed[-1]
        return dict(
            x0=rows[0],
            x1=rows[-1],
            w0=weight,
            w1=others[0],
            b0=bias,
            b1=others[1],
            length0=rows[0].shape[-2],
            length1=rows[-1].shape[-2],
            sample=head.sample,
            C=len(weight),
            LABELS=head.tile,
            M=ROWS,
            INPUTS=head.inputs,
            PAIRS=head.pairs,
            STACKS=len(rows),
            MAXIMUM=self.maximum,
            **FUSION,
        )

    def __call__(self, rows: Sequence[Tensor], outputs: int, unknown: Tensor | None = None):
        """Features (N, L, C') of each stack -> (N, outputs, labels) float32, NaN where ``unknown``
        uint8 (N, outputs)."""
        from ..kernels.head import head

        n, x = len(rows[0]), rows[0]
        y = torch.empty(n, outputs, self.labels, device=x.device)
        head[(-(-outputs // ROWS) * n, -(-self.labels // self.heads[0].tile))](
            y=y,
            unknown=unknown,
            outputs=outputs,
            labels=self.labels,
            padded=len(self.packed[0][1]),
            UNKNOWN=unknown is not None,
            num_warps=4,
            num_stages=1,
            **self.arguments(rows),
        )
        return y


@dataclass(frozen=True)
class Counted:
    """Sequences that were scored and whose hits were counted.

    ``rows``: features (N, L, C') of each stack; ``unknown`` uint8 (N, steps); ``counts`` uint8
    (N, steps, tiles of labels) and ``totals`` int32 (N, tiles of steps, groups), see kernels/head;
    ``tracks`` float32 (N, steps, tracked), NaN where unknown, or None.
    """

    rows: tuple[Tensor, ...]
    unknown: Tensor
    counts: Tensor
    totals: Tensor
    tracks: Tensor | None

    @property
    def steps(self) -> int:
        return self.unknown.shape[1]

    @property
    def tensors(self) -> list[Tensor]:
        found = [*self.rows, self.unknown, self.counts, self.totals, self.tracks]
        return [tensor for tensor in found if tensor is not None]


class HitHead:
    """Finds the logits that reach their labels' cutoffs, of one stack or of two together. They are
    the bits that ``Plan`` gives, and none is stored but those of labels with a track.

    ``cutoffs`` float32 (labels,), NaN for none; ``columns`` int64 (tracked,): labels with a track.
    Hits are counted, then written to where the sums of the counts say: in the order of their
    places, and there is room for all of them.
    """

    def __init__(
        self, heads: Sequence[Head], maximum: bool, cutoffs: np.ndarray, columns: np.ndarray
    ) -> None:
        self.head, self.logits = heads[0], Logits(heads, maximum)
        self.different = 1 + any(not heads[0].same(head) for head in heads)
        device = self.head.matrix.device
        padded = len(self.logits.packed[0][1])
        limits = np.full(padded, np.nan, np.float32)
        limits[: self.head.labels] = cutoffs
        self.cutoffs = torch.from_numpy(limits).to(device)
        self.tracks = None
        if len(columns):
            self.tracks = Logits(heads, maximum, torch.from_numpy(columns).to(device))

    def count(self, rows: Sequence[Tensor], unknown: Tensor) -> Counted:
        """``rows``: features (N, L, C') of each stack; ``unknown`` bool (N, steps)."""
        from ..kernels.head import count_hits

        unknown, outputs = unknown.view(torch.uint8), unknown.shape[1]
        counts, totals = self._empty(unknown)
        wgmma = self.head.wgmma
        ahead = not wgmma or version_of("triton") >= FENCED
        count_hits[(len(unknown) * -(-outputs // (ROWS * WALKED)) * self.head.groups,)](
            cutoffs=self.cutoffs,
            unknown=unknown,
            counts=counts,
            totals=totals,
            outputs=outputs,
            groups=self.head.groups,
            walked=WALKED,
            TILES=self.head.tiles,
            HEADS=self.different,
            num_warps=4,
            maxnreg=168 if wgmma and ahead else 255,  # so that three programs lie side by side
            num_stages=3 if ahead else 1,
            **self.logits.arguments(rows),
        )
        tracks = self.tracks and self.tracks(rows, outputs, unknown)
        return Counted(tuple(rows), unknown, counts, totals, tracks)

    def _empty(self, unknown: Tensor) -> tuple[Tensor, Tensor]:
        """Memory for counts and totals."""
        (n, steps), head, device = unknown.shape, self.head, unknown.device
        size = n, steps, head.groups * head.tiles
        counts = torch.empty(size, dtype=torch.uint8, device=device)
        tiles = -(-steps // ROWS)
        return counts, torch.empty(n, tiles, head.groups, dtype=torch.int32, device=device)

    def gap(self, unknown: Tensor) -> Counted:
        """Of sequences without a score."""
        unknown = unknown.view(torch.uint8)
        counts, totals = self._empty(unknown)
        shape, device = unknown.shape, unknown.device
        tracks = self.tracks and torch.full((*shape, self.tracks.labels), torch.nan, device=device)
        return Counted((), unknown, counts, totals.zero_(), tracks)

    def first(self, counted: Counted) -> Tensor | None:
        """Logits (N, labels) of the first step of each sequence; None where none was scored."""
        if not counted.rows:
            return None
        return self.logits([x[:, :1].contiguous() for x in counted.rows], 1)[:, 0]

    def write(self, counted: Counted, n: int, first: int, last: int) -> tuple[Tensor, Tensor]:
        """Hits of steps [first, last) of sequence ``n``, ``first`` a multiple of ROWS: places int64
        (hits,) in its flat (steps, labels), in order, and their logits float32 (hits,)."""
        from ..kernels.head import write_hits

        if first % ROWS:  # tiles are those of the counts, and so are logits, to the bit
            raise ValueError(f"hits from step {first} on: must be a multiple of {ROWS}")
        totals = counted.totals[n, first // ROWS : -(-last // ROWS)].sum(1)  # int64
        ends = totals.cumsum(0)
        active = totals.nonzero()[:, 0]  # waits for the counts
        total = ends[-1].item() if len(active) else 0
        places = torch.empty(total, dtype=torch.int64, device=totals.device)
        values = torch.empty(total, device=totals.device)
        if total:
            parts = counted.counts.shape[2]
            write_hits[(len(active) * parts,)](
                cutoffs=self.cutoffs,
                unknown=counted.unknown[n, first:last],
                counts=counted.counts[n, first:last],
                active=active,
                begins=ends - totals,
                places=places,
                values=values,
                outputs=last - first,
                parts=parts,
                labels=self.head.labels,
                first_place=first * self.head.labels,
                PARTS=max(2, 1 << (parts - 1).bit_length()),
                num_warps=8,  # of 4 the registers overflow
                maxnreg=128 if self.head.wgmma else 255,
                num_stages=1,
                **self.logits.arguments([x[n, first * self.head.sample :] for x in counted.rows]),
            )
        return places, values
