"""Convolutions in training whose tiles stay in registers, on chips with wgmma: rows of a tile walk
along their sequence (kernels/wgmma_conv.py, kernels/wgmma_gradients.py). Of symmetric networks they
multiply by whole matrices: half of the products would save nothing that they wait for."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from .triton_chip import Chip, interpreted
from .triton_weights import sum_parts
from .triton_wgmma import PRECISIONS

if TYPE_CHECKING:
    from .triton_forward import Call

# whether training does so where it can: faster by the model of time, and right as the executor of
# PTX runs it
IN_REGISTERS = True
CHANNELS, LEAST_TAPS, MOST_TAPS = 64, 2, 3  # what the registers hold
ROWS = 64  # of a tile
# programs at least, so that sums depend on shapes alone: two and one for each multiprocessor of an
# H100, which is what the registers leave room for
CONVOLVING, GOING_BACK = 256, 128
_OPTIONS = {"enable_fp_fusion": False}


def why_not(call: Call) -> str | None:
    """Why the convolutions of rows of ``call`` cannot run so; None if they can."""
    if not IN_REGISTERS or interpreted() or not Chip.of(call.x.device).wgmma:
        return "the chip has no wgmma, or it is not asked for it"
    if call.precision not in PRECISIONS:
        return f"operands in registers are {' or '.join(PRECISIONS)}, not {call.precision}"
    if call.padded != CHANNELS:
        return f"rows have {CHANNELS} channels, not {call.padded}"
    for taps in (call.taps2,) if call.codes else (call.taps1, call.taps2):
        if not LEAST_TAPS <= taps <= MOST_TAPS:
            return f"kernels have {LEAST_TAPS} to {MOST_TAPS} taps, not {taps}"
    return None


class Walk(NamedTuple):
    """How ``places`` of each sequence are walked: by ``rows``, ``steps`` places each, ``dilation``
    of them a segment; ``programs`` have ROWS rows each, of one sequence."""

    rows: int
    steps: int
    programs: int

    @classmethod
    def of(cls, sequences: int, places: int, dilation: int, programs: int) -> Walk:
        """About so many ``programs``, or one a sequence."""
        wanted = -(-programs // sequences) * ROWS
        steps = -(-places // (dilation * max(1, wanted // dilation)))
        rows = -(-places // (dilation * steps)) * dilation
        return cls(rows, steps, sequences * -(-rows // ROWS))


class Tiles(NamedTuple):
    """Statistics of tiles of rows, (tiles, 2, C'), if there are any; ``counts`` (tiles,) float32:
    rows that each has, where they are not all TILE but the last."""

    statistics: Tensor | None
    counts: Tensor | None = None


def convolve(call: Call, x, taps, y, stride: int, statistics: bool, **more) -> Tiles:
    """``y`` of ``x`` by ``taps``; statistics of its tiles if asked for. ``more``: what is done to
    ``x`` before."""
    from ..kernels.wgmma_conv import wgmma_conv

    outputs = y.shape[1]
    walk = Walk.of(call.sequences, outputs, call.dilation, CONVOLVING)
    found = Tiles(None)
    if statistics:
        counts = torch.empty(walk.programs, device=y.device)
        found = Tiles(call.sums(walk.programs), counts)
    wgmma_conv[(walk.programs,)](
        x=x,
        y=y,
        w=taps,
        statistics=found.statistics,
        counts=found.counts,
        length=x.shape[1],
        outputs=outputs,
        S=stride,
        STATISTICS=statistics,
        num_warps=4,
        **_told(call, walk, len(taps)),
        **more,
    )
    return found


# what the kernel is told where there is nothing before the convolution, and where no residual
NOT_ACTIVATED = dict.fromkeys(["scale", "shift", "mean", "inverse", "masks"]) | dict(
    channels=0, NORMALISE=False, DROPOUT=False
)
NO_RESIDUAL = dict(dy=None, y=None, residual_outputs=0, tap=0, RESIDUAL=False)


def gradients(
    call: Call, back: dict, taps, x, dx, gradient, stride: int, statistics: bool, **more
) -> Tensor | None:
    """Fill ``dx`` and ``gradient`` of what a convolution of ``stride`` read and of its weight; sums
    of tiles of ``dx`` if asked for. ``back``: of what it gave; ``more``: what was done to ``x``
    before, and the residual."""
    from ..kernels.wgmma_gradients import wgmma_gradients

    count = gradient.shape[2]
    length = x.shape[1]
    walk = Walk.of(call.sequences, -(-length // stride), call.dilation, GOING_BACK)
    sums = call.sums(walk.programs) if statistics else None
    partial = torch.empty(walk.programs, count, CHANNELS, CHANNELS, device=x.device)
    wgmma_gradients[(walk.programs,)](
        **back,
        w=taps,
        dx=dx,
        x=x,
        statistics=sums,
        partial=partial,
        outputs=back["dn"].shape[1],
        length=length,
        S=stride,
        BATCH_NORM=call.batch_norm,
        RESIDUAL_STRIDE=call.stride,
        num_warps=8,
        **_told(call, walk, count),
        **more,
    )
    sum_parts(call, partial, gradient)
    return sums


def _told(call: Call, walk: Walk, taps: int) -> dict:
    """What both kernels are told alike."""
    sizes = dict(K=taps, C=CHANNELS, M=ROWS, HALVES=call.together)
    return sizes | dict(rows=walk.rows, steps=walk.steps, dilation=call.dilation) | _OPTIONS
