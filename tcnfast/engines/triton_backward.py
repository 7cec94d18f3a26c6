"""The backward pass of a block in training on the Triton kernels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from .block_call import BlockGradients, BlockOutputs
from .triton_forward import PART, TILE, Call, Norm, convolve_first, no_norm
from .triton_layout import gradient_of_halved

PARTS = 64  # partial sums of the gradient of a weight
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
    a1 = saved.a1
    if call.codes:
        a1 = call.rows(call.length1)
        convolve_first(call, a1, statistics=False)
    norm1 = _saved_norm(call, call.gain1, call.shift1, saved.mean1, saved.var1)
    norm2 = _saved_norm(call, call.gain2, call.shift2, saved.mean2, saved.var2)
    dn2, sums2, code_sums = _start(call, dy, saved, norm2)
    of_norm2 = gradients.dgain2, gradients.dshift2
    back2 = _back(call, dn2, saved.a2, sums2, call.length2, norm2, *of_norm2)
    dn1, sums1 = _gradient_of_rows(call, back2, a1, norm1)
    of_norm1 = gradients.dgain1, gradients.dshift1
    back1 = _back(call, dn1, a1, sums1, call.length1, norm1, *of_norm1)
    if gradients.dweight2 is not None:
        _weight_gradients(call, norm1, back1, back2, gradients)
        if call.codes:
            by_code = call.layout.unpad(code_sums.sum(0))
            if call.symmetric:  # N, the last code, is its own complement
                by_code = (by_code + torch.cat((by_code[:4].flip(0), by_code[4:])).flip(1)) / 2
            gradients.dcode_residual.copy_(by_code)
    target = gradients.one_hot if call.codes else gradients.dx
    if target is not None:
        _gradient_of_input(call, back1, dy, saved.y, target)


def _backward_taps(weight: Tensor, call: Call, stride: int = 1) -> Tensor:
    """(C, C_in, k) -> (k up to a multiple of ``stride``, C', C_in') of the rows' dtype."""
    taps = call.layout.matrices(weight).transpose(1, 2)
    return pad(taps, (0, 0, 0, 0, 0, -len(taps) % stride)).to(call.dtype).contiguous()


def _backward_letters(weight: Tensor, call: Call) -> Tensor:
    """(C, 4, k) -> (k, C', LETTERS) of the rows' dtype."""
    taps = call.layout.pad(weight.permute(2, 1, 0)).transpose(1, 2)
    return pad(taps, (0, LETTERS - taps.shape[2])).to(call.dtype).contiguous()


def _saved_norm(call: Call, gain, shift, mean, var) -> Norm:
    """The norm of the batch of the forward pass."""
    if not call.batch_norm:
        return no_norm(call, shift)
    inverse = (var + call.eps).rsqrt()
    scale = gain * inverse
    shift = shift - mean * scale
    return Norm(*(call.pad(vector) for vector in (scale, shift, mean, inverse)))


def _start(call: Call, dy, saved: BlockOutputs, norm2: Norm):
    """The gradient of what the second norm gave, its sums, and those of the residual by code."""
    from ..kernels.pointwise import start_backward

    tiles = call.tiles(call.length2)
    dn2, sums = call.rows(call.length2), call.sums(tiles)
    code_sums = torch.empty(tiles, 5, call.padded, device=dy.device) if call.codes else None
    start_backward[(tiles,)](
        dy=dy,
        y=saved.y,
        a=saved.a2,
        dn=dn2,
        **vars(norm2),
        masks=call.pad(call.mask2),
        statistics=sums,
        codes=call.x if call.codes else None,
        code_sums=code_sums,
        length=call.length,
        outputs=call.length2,
        total=call.sequences * call.length2,
        tap=call.tap,
        stride=call.stride,
        DROPOUT=call.mask2 is not None,
        CODES=call.codes,
        **call.fixed,
    )
    return dn2, sums, code_sums


def _back(call: Call, dn, a, sums, length: int, norm: Norm, dgain, dshift) -> Back:
    """The gradient of the rows before ``norm``; those of its gain and shift, or of the bias."""
    from ..kernels.reduce import norm_gradients

    out = torch.empty(5, call.padded, device=sums.device)
    norm_gradients[(1,)](
        statistics=sums,
        programs=len(sums),
        total=call.sequences * length,
        scale=norm.scale,
        mean=norm.mean,
        inverse=norm.inverse,
        out=out,
        **{name: value for name, value in call.sums_of.items() if name != "M"},
    )
    if dshift is not None:
        dshift.copy_(call.layout.unpad(out[1]))
    if dgain is not None:
        dgain.copy_(call.layout.unpad(out[0]))
    return Back(dn, a, p=out[2], q=out[3], r=out[4])


def _gradient_of_rows(call: Call, back2: Back, a1, norm1: Norm) -> tuple[Tensor, Tensor]:
    """The gradient of what the first norm gave, and its sums."""
    places = -(-call.length1 // call.stride)
    dn1, sums = call.rows(call.length1), call.sums(call.tiles(places) * call.stride)
    mask = call.pad(call.mask1)
    rows = dict(before=a1, **vars(norm1), masks=mask, ACTIVATED=True, DROPOUT=mask is not None)
    if call.symmetric and (call.stride == 1 or call.taps2 % 2):
        tiles = sums.chunk(call.stride)
        for phase in range(call.stride):
            more = rows | dict(statistics=tiles[phase], PHASE=phase)
            _halved_input_gradient(call, back2, call.weight2, dn1, call.stride, **more)
    else:
        taps = _backward_taps(call.weight2, call, call.stride)
        _input_gradient(call, back2, taps, dn1, call.stride, statistics=sums, **rows)
    return dn1, sums


def _gradient_of_input(call: Call, back1: Back, dy, y, target: Tensor) -> None:
    """Gradient of the rows that the block read, or float32 (N, L, 4) of the codes' one-hot form."""
    behind = dict(dy=dy, y=y, residual_outputs=call.length2, tap=call.tap, RESIDUAL=True)
    if call.codes:
        table = call.code_residual
        # a letter's column less that of N, which has none
        residual = _backward_letters((table[:4] - table[4:]).T[:, :, None], call)[0]
        dx = torch.empty(*target.shape[:2], LETTERS, device=target.device)
        taps = _backward_letters(call.weight1, call)
        _input_gradient(call, back1, taps, dx, residual=residual, ONE_HOT=True, **behind)
        target.copy_(dx[..., :4])
    elif call.symmetric:
        _halved_input_gradient(call, back1, call.weight1, target, 1, PHASE=0, **behind)
    else:
        _input_gradient(call, back1, _backward_taps(call.weight1, call), target, **behind)


# what the kernels are told where there is nothing before the convolution and no residual
_NOTHING = dict.fromkeys(
    ["before", "scale", "shift", "mean", "inverse", "masks", "statistics", "dy", "y"]
) | dict(residual_outputs=0, tap=0, ACTIVATED=False, DROPOUT=False, RESIDUAL=False)


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
        **_NOTHING | more,
        **call.whole_products,
    )


def _halved_input_gradient(call: Call, back: Back, weight, dx, stride: int, **more) -> None:
    """One phase of the same by half of the products."""
    from ..kernels.halved_gradients import halved_input_gradient

    places = -(-dx.shape[1] // stride)
    halved_input_gradient[(call.tiles(places),)](
        **_read_by(call, back, dx, places),
        w=call.layout.taps(weight.transpose(0, 1)).to(call.dtype),
        K=weight.shape[2],
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
    mask = call.pad(call.mask1)
    dw2 = _weight_gradient(call, back1.a, back2, call.taps2, call.stride, norm1, mask)
    gradients.dweight2.copy_(dw2)
    if call.codes:
        dw1 = _code_weight_gradient(call, back1)
    else:
        dw1 = _weight_gradient(call, call.x, back1, call.taps1, 1)
    gradients.dweight1.copy_(dw1)


def _code_weight_gradient(call: Call, back1: Back) -> Tensor:
    """Float32 (C, 4, taps)."""
    from ..kernels.gradients import code_weight_gradient

    letters = len(call.layout.letters(call.weight1))
    total = call.sequences * call.length1
    chunk = _chunk(total)
    partial = torch.empty(-(-total // chunk), letters, call.padded, device=call.x.device)
    code_weight_gradient[(len(partial), letters // min(PART, letters))](
        codes=call.x,
        **vars(back1),
        partial=partial,
        length=call.length,
        outputs=call.length1,
        total=total,
        chunk=chunk,
        K=call.taps1,
        LETTERS=letters,
        PART=min(PART, letters),
        BATCH_NORM=call.batch_norm,
        **call.code_products,
    )
    dw1 = call.layout.unpad(partial.sum(0)[: 4 * call.taps1])
    dw1 = dw1.unflatten(0, (call.taps1, 4)).permute(2, 1, 0)
    return (dw1 + dw1.flip(0, 1, 2)) / 2 if call.symmetric else dw1


def _weight_gradient(call: Call, x, back: Back, taps, stride, norm=None, mask=None) -> Tensor:
    """Float32 (C, C, taps)."""
    from ..kernels.gradients import weight_gradient
    from ..kernels.halved_gradients import halved_weight_gradient

    outputs = back.dn.shape[1]
    total = call.sequences * outputs
    chunk = _chunk(total)
    parts = -(-total // chunk)
    told = dict(
        x=x,
        scale=norm and norm.scale,
        shift=norm and norm.shift,
        masks=mask,
        **vars(back),
        length=x.shape[1],
        outputs=outputs,
        total=total,
        chunk=chunk,
        dilation=call.dilation,
        stride=stride,
        K=taps,
        NORMALISE=norm is not None,
        DROPOUT=mask is not None,
        BATCH_NORM=call.batch_norm,
        **call.products,
    )
    size = call.channels
    if not call.symmetric:
        partial = torch.empty(parts, taps, call.padded, call.padded, device=x.device)
        weight_gradient[(parts, taps)](partial=partial, **told)
        return partial.sum(0)[:, :size, :size].permute(2, 1, 0)
    half = call.padded // 2
    partial = torch.empty(parts, 2 * taps, half, half, device=x.device)
    if taps % 2:
        halved_weight_gradient[(parts, 1)](partial=partial, MIDDLE=True, **told)
    if taps > 1:
        halved_weight_gradient[(parts, taps // 2)](partial=partial, MIDDLE=False, **told)
    return gradient_of_halved(partial.sum(0)[:, : size // 2, : size // 2])


def _chunk(total: int) -> int:
    """Positions of a partial sum, a multiple of a tile; their number depends on ``total`` alone."""
    return -(-total // (PARTS * TILE)) * TILE
