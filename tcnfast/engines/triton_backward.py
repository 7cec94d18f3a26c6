"""The backward pass of a block in training on the Triton kernels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from . import pairs, triton_walk
from .block_call import BlockGradients, BlockOutputs
from .ranks import ALONE
from .triton_forward import NO_NORM, PART, SUMMED, TILE, Call, Norm, convolve_first, grouped
from .triton_weights import Packed, directly_back, letters, sum_parts, views

PARTS = (
    256  # partial sums of the gradient of a weight, twice that at most: programs enough for a chip
)
PIECE = 1 << 24  # outputs of a sequence that are counted in 32 bits, at most
LETTERS = 16  # columns of the gradient of one-hot DNA, as matrix instructions take it


@dataclass(frozen=True)
class Back:
    """The gradient of what a convolution gave, ``p * dn + q * a + r``: ``dn`` the gradient of the
    normalised rows, ``a`` the rows before; p, q, r float32 (C',)."""

    dn: Tensor
    a: Tensor
    p: Tensor
    q: Tensor
    r: Tensor


def backward(dy: Tensor, call: Call, saved: BlockOutputs, gradients: BlockGradients) -> None:
    """Fill ``gradients``; ``saved``: what the forward pass gave."""
    a1, packed, windows = saved.a1, views(call, saved.packed), None
    if call.codes:
        a1, windows = call.rows(call.length1), saved.a1
        convolve_first(call, a1, packed.taps1, windows, statistics=False)
    norm1, norm2 = map(Norm, saved.norms)
    dn2, sums2, code_sums = _start(call, dy, saved, norm2)
    of_norm2 = gradients.dgain2, gradients.dshift2
    back2 = back_through_norm(call, dn2, saved.a2, sums2, call.length2, norm2, *of_norm2)
    trained = gradients.dweight2 is not None
    together = trained and call.in_registers  # gradients of inputs and weights in one pass
    if together:
        dn1, sums1 = _gradients_of_second(call, back2, packed, a1, norm1, gradients.dweight2)
    else:
        dn1, sums1 = _gradient_of_rows(call, back2, packed, a1, norm1)
    of_norm1 = gradients.dgain1, gradients.dshift1
    back1 = back_through_norm(call, dn1, a1, sums1, call.length1, norm1, *of_norm1)
    target = gradients.one_hot if call.codes else gradients.dx
    if trained and not together:
        _weight_gradients(call, norm1, back1, back2, gradients)
    if trained and call.codes:
        gradients.dweight1.copy_(_code_weight_gradient(call, windows, back1))
        by_code = call.layout.unpad(code_sums.sum(0))
        if call.symmetric:  # N, the last code, is its own complement
            by_code = (by_code + torch.cat((by_code[:4].flip(0), by_code[4:])).flip(1)) / 2
        gradients.dcode_residual.copy_(by_code)
    if together and not call.codes:
        _gradients_of_first(call, back1, packed, dy, saved.y, gradients)
    elif target is not None:
        _gradient_of_input(call, back1, packed, dy, saved.y, target)


def _gradients_of_second(
    call: Call, back2: Back, packed: Packed, a1, norm1: Norm, dweight2
) -> tuple[Tensor, Tensor]:
    """``_gradient_of_rows``, which also fills the gradient of the second weight."""
    dn1 = call.rows(call.length1)
    before = norm1.vectors() | call.dropout(call.mask1) | dict(NORMALISE=True)
    sums = triton_walk.gradients(
        call,
        vars(back2),
        packed.back2,
        a1,
        dn1,
        dweight2,
        call.stride,
        statistics=True,
        **before,
        **triton_walk.NO_RESIDUAL,
    )
    return dn1, sums


def _gradients_of_first(call: Call, back1: Back, packed: Packed, dy, y, gradients) -> None:
    """Of the first convolution of rows: those of its weight and of the rows."""
    dx = torch.empty_like(call.x) if gradients.dx is None else gradients.dx
    triton_walk.gradients(
        call,
        vars(back1),
        packed.back1,
        call.x,
        dx,
        gradients.dweight1,
        1,
        statistics=False,
        **triton_walk.NOT_ACTIVATED,
        **_behind(call, dy, y),
    )


def _behind(call: Call, dy, y) -> dict:
    """What kernels are told of the residual."""
    return dict(dy=dy, y=y, residual_outputs=call.length2, tap=call.tap, RESIDUAL=True)


def _backward_letters(weight: Tensor, call: Call) -> Tensor:
    """(C, 4, k) -> (k, C', LETTERS) of the rows' dtype."""
    taps = call.layout.pad(weight.permute(2, 1, 0)).transpose(1, 2)
    return pad(taps, (0, LETTERS - taps.shape[2])).to(call.dtype).contiguous()


def _start(call: Call, dy, saved: BlockOutputs, norm2: Norm):
    """The gradient of what the second norm gave, its sums, and those of the residual by code."""
    from ..kernels.pointwise import start_backward

    cut = Cut.of(call.sequences, call.length2)
    dn2, sums = call.rows(call.length2), call.sums(cut.parts)
    code_sums = torch.empty(cut.parts, 5, call.padded, device=dy.device) if call.codes else None
    start_backward[(cut.parts,)](
        dy=dy,
        y=saved.y,
        a=saved.a2,
        dn=dn2,
        **norm2.vectors(),
        **call.dropout(call.mask2),
        statistics=sums,
        codes=call.x if call.codes else None,
        code_sums=code_sums,
        length=call.length,
        outputs=call.length2,
        **cut._asdict(),
        tap=call.tap,
        stride=call.stride,
        HALVES=call.together,
        CODES=call.codes,
        # of codes seven sums lie in registers, not two
        **call.fixed | dict(M=TILE // 2 if call.codes else TILE, num_warps=8),
    )
    return dn2, sums, code_sums


def back_through_norm(call: Call, dn, a, sums, length: int, norm: Norm, dgain, dshift) -> Back:
    """The gradient of the rows before ``norm``; those of its gain and shift, or of the bias."""
    from ..kernels.reduce import group_sums, norm_gradients

    processes = call.processes if call.batch_norm else ALONE
    while len(sums) > (SUMMED if processes.count == 1 else 1):
        sums = grouped(call, group_sums, sums)
    if processes.count > 1:
        sums = processes.total(sums)
    out = torch.empty(3, call.padded, device=sums.device)
    norm_gradients[(1, call.columns)](
        statistics=sums,
        tiles=len(sums),
        total=processes.count * call.sequences * length,
        norm=norm.rows,
        gain_out=dgain,
        shift_out=dshift,
        out=out,
        WHOLE=not call.halves,
        **call.reduced,
    )
    if processes.count > 1 and dshift is not None:  # of all rows: each process has a share in it
        for gradient in (dgain, dshift):
            gradient /= processes.count
    p, q, r = out.unbind()
    return Back(dn, a, p, q, r)


def _gradient_of_rows(
    call: Call, back2: Back, packed: Packed, a1, norm1: Norm
) -> tuple[Tensor, Tensor]:
    """The gradient of what the first norm gave, and its sums."""
    places = -(-call.length1 // call.stride)
    dn1, sums = call.rows(call.length1), call.sums(call.tiles(places) * call.stride)
    rows = dict(before=a1, **norm1.vectors(), **call.dropout(call.mask1), ACTIVATED=True)
    if directly_back(call):
        _input_gradient(call, back2, packed.back2, dn1, call.stride, statistics=sums, **rows)
        return dn1, sums
    tiles = sums.chunk(call.stride)
    for phase in range(call.stride):
        more = rows | dict(statistics=tiles[phase], PHASE=phase)
        input_gradient_of_pairs(call, back2, packed.back2, dn1, call.stride, **more)
    return dn1, sums


def _gradient_of_input(call: Call, back1: Back, packed: Packed, dy, y, target: Tensor) -> None:
    """Gradient of the rows that the block read, or float32 (N, L, 4) of the codes' one-hot form."""
    behind = _behind(call, dy, y)
    if call.codes:
        table = call.code_residual
        # a letter's column less that of N, which has none
        residual = _backward_letters((table[:4] - table[4:]).T[:, :, None], call)[0]
        dx = torch.empty(*target.shape[:2], LETTERS, device=target.device)
        taps = _backward_letters(call.weight1, call)
        _input_gradient(call, back1, taps, dx, residual=residual, ONE_HOT=True, **behind)
        target.copy_(dx[..., :4])
    elif call.halved:
        input_gradient_of_pairs(call, back1, packed.back1, target, 1, PHASE=0, **behind)
    else:
        _input_gradient(call, back1, packed.back1, target, **behind)


# what the kernels are told where there is nothing before the convolution and no residual
_NOTHING = dict.fromkeys(
    ["before", "scale", "shift", "mean", "inverse", "masks", "statistics", "dy", "y"]
) | dict(residual_outputs=0, tap=0, channels=0, ACTIVATED=False, DROPOUT=False, RESIDUAL=False)


def _input_gradient(call: Call, back: Back, taps, dx, stride: int = 1, **more) -> None:
    """``dx`` of what a convolution of ``stride`` read; ``more``: arguments of the kernel."""
    from ..kernels.gradients import input_gradient

    more = {"residual": None, "ONE_HOT": False} | more
    places = -(-dx.shape[1] // stride)
    input_gradient[(call.tiles(places), stride)](
        **_read_by(call, back, dx, places),
        w=taps,
        K=len(taps),
        S=stride,
        CX=dx.shape[2],
        HALVES=call.together,
        **_NOTHING | more,
        **call.whole_products,
    )


def input_gradient_of_pairs(call: Call, back: Back, taps, dx, stride: int, **more) -> None:
    """One phase of the same by half of the products."""
    from ..kernels.halved_gradients import halved_input_gradient

    places = -(-dx.shape[1] // stride)
    halved_input_gradient[(call.tiles(places),)](
        **_read_by(call, back, dx, places),
        w=taps,
        K=len(taps) // 2,
        S=stride,
        **_NOTHING | more,
        **call.products,
    )


def _read_by(call: Call, back: Back, dx, places: int) -> dict:
    """What both kernels of input gradients are told alike."""
    return dict(
        **vars(back),
        dx=dx,
        outputs=back.dn.shape[1],
        length=dx.shape[1],
        places=places,
        total=call.sequences * places,
        dilation=call.dilation,
        BATCH_NORM=call.batch_norm,
        RESIDUAL_STRIDE=call.stride,
    )


def _weight_gradients(
    call: Call, norm1: Norm, back1: Back, back2: Back, gradients: BlockGradients
) -> None:
    """Of both weights, but not of one that codes meet."""
    rows = dict(stride=call.stride, NORMALISE=True, **norm1.affine(), **call.dropout(call.mask1))
    _weight_gradient(call, back1.a, back2, gradients.dweight2, **rows)
    if not call.codes:
        rows = dict(stride=1, NORMALISE=False, **NO_NORM, **call.dropout(None))
        _weight_gradient(call, call.x, back1, gradients.dweight1, **rows)


class Cut(NamedTuple):
    """How outputs (sequences, outputs) are cut for sums of parts: each sequence in ``cuts`` pieces
    of ``chunk`` outputs, whole tiles, and ``per_part`` pieces, of ``total``, in a part."""

    cuts: int
    chunk: int
    per_part: int
    total: int

    @classmethod
    def of(cls, sequences: int, outputs: int) -> Cut:
        """Up to twice PARTS parts, by the shape alone."""
        tiles = -(-outputs // TILE)
        wanted = max(-(-PARTS // sequences), -(-outputs // PIECE))
        chunk = -(-tiles // wanted) * TILE
        cuts = -(-outputs // chunk)
        total = sequences * cuts
        return cls(cuts, chunk, -(-total // (2 * PARTS)), total)

    @property
    def parts(self) -> int:
        return -(-self.total // self.per_part)


def _code_weight_gradient(call: Call, windows: Tensor, back1: Back) -> Tensor:
    """Float32 (C, 4, taps), or the half of it."""
    from ..kernels.gradients import code_weight_gradient

    rows = letters(call.taps1)
    cut = Cut.of(call.sequences, call.length1)
    partial = torch.empty(cut.parts, rows, call.padded, device=call.x.device)
    code_weight_gradient[(cut.parts, rows // min(PART, rows))](
        windows=windows,
        **vars(back1),
        partial=partial,
        outputs=call.length1,
        **cut._asdict(),
        LETTERS=rows,
        PART=min(PART, rows),
        BATCH_NORM=call.batch_norm,
        **call.code_products,
    )
    dw1 = call.layout.unpad(partial.sum(0)[: 4 * call.taps1])
    dw1 = dw1.unflatten(0, (call.taps1, 4)).permute(2, 1, 0)
    if not call.symmetric:
        return dw1
    twice = dw1 + dw1.flip(0, 1, 2)
    return pairs.first_half(twice) if call.halves else twice / 2


def _weight_gradient(call: Call, x, back: Back, gradient: Tensor, **more) -> None:
    """Fill ``gradient`` (C, C, taps)."""
    from ..kernels.gradients import weight_gradient
    from ..kernels.halved_gradients import halved_weight_gradient

    outputs, taps = back.dn.shape[1], gradient.shape[2]
    cut = Cut.of(call.sequences, outputs)
    matrices, size = (2 * taps, call.padded // 2) if call.halved else (taps, call.padded)
    partial = torch.empty(cut.parts, matrices, size, size, device=x.device)
    told = dict(
        x=x,
        **vars(back),
        partial=partial,
        length=x.shape[1],
        outputs=outputs,
        **cut._asdict(),
        dilation=call.dilation,
        K=taps,
        BATCH_NORM=call.batch_norm,
        **more,
        **call.products,
    )
    if not call.halved:
        weight_gradient[(cut.parts, taps)](**told)
    else:
        if taps % 2:
            halved_weight_gradient[(cut.parts, 1)](MIDDLE=True, **told)
        if taps > 1:
            # of whole tiles its four products and their terms overflow the registers
            halved_weight_gradient[(cut.parts, taps // 2)](MIDDLE=False, **told | {"M": TILE // 2})
    sum_parts(call, partial, gradient)
