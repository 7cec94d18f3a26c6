"""The backward pass of a block in training on the Triton kernels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from .block_call import BlockGradients, BlockOutputs
from .triton_engine import FUSION, letters_of
from .triton_forward import PART, SUMMED, TILE, Call, Norm, convolve_first, no_norm

PARTS = 64  # partial sums of the gradient of a weight


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
            gradients.dcode_residual.copy_(code_sums.sum(0)[:, : call.channels])
    target = gradients.one_hot if call.codes else gradients.dx
    if target is not None:
        _gradient_of_input(call, back1, dy, saved.y, target)


def _backward_taps(weight: Tensor, call: Call, inputs: int, stride: int = 1) -> Tensor:
    """(C, C_in, k) -> (k up to a multiple of ``stride``, C', ``inputs``) of the rows' dtype."""
    extra = inputs - weight.shape[1], call.padded - call.channels, -weight.shape[2] % stride
    weight = pad(weight.permute(2, 0, 1), (0, extra[0], 0, extra[1], 0, extra[2]))
    return weight.to(call.dtype).contiguous()


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
        C=call.padded,
        B=SUMMED,
        num_warps=4,
        **FUSION,
    )
    if dshift is not None:
        dshift.copy_(out[1, : call.channels])
    if dgain is not None:
        dgain.copy_(out[0, : call.channels])
    return Back(dn, a, p=out[2], q=out[3], r=out[4])


def _gradient_of_rows(call: Call, back2: Back, a1, norm1: Norm) -> tuple[Tensor, Tensor]:
    """The gradient of what the first norm gave, and its sums."""
    places = -(-call.length1 // call.stride)
    dn1, sums = call.rows(call.length1), call.sums(call.tiles(places) * call.stride)
    mask = call.pad(call.mask1)
    _input_gradient(
        call,
        back2,
        _backward_taps(call.weight2, call, call.padded, call.stride),
        dn1,
        stride=call.stride,
        before=a1,
        **vars(norm1),
        masks=mask,
        statistics=sums,
        ACTIVATED=True,
        DROPOUT=mask is not None,
    )
    return dn1, sums


def _gradient_of_input(call: Call, back1: Back, dy, y, target: Tensor) -> None:
    """Gradient of the rows that the block read, or float32 (N, L, 4) of the codes' one-hot form."""
    residual, dx, inputs = None, target, call.padded
    if call.codes:
        table, inputs = call.code_residual, 16
        # a letter's column less that of N, which has none
        residual = _backward_taps((table[:4] - table[4:]).T[:, :, None], call, inputs)[0]
        dx = torch.empty(*target.shape[:2], inputs, device=target.device)
    _input_gradient(
        call,
        back1,
        _backward_taps(call.weight1, call, inputs),
        dx,
        dy=dy,
        y=y,
        residual=residual,
        residual_outputs=call.length2,
        tap=call.tap,
        RESIDUAL=True,
        ONE_HOT=residual is not None,
    )
    if call.codes:
        target.copy_(dx[..., :4])


# what the kernel is told where there is nothing before the convolution and no residual
_NOTHING = dict.fromkeys(
    ["before", "scale", "shift", "mean", "inverse", "masks", "statistics", "dy", "y", "residual"]
) | dict(residual_outputs=0, tap=0, ACTIVATED=False, DROPOUT=False, RESIDUAL=False, ONE_HOT=False)


def _input_gradient(call: Call, back: Back, taps, dx, *, stride: int = 1, **more) -> None:
    """``dx`` of what a convolution of ``stride`` read; ``more``: arguments of the kernel."""
    from ..kernels.gradients import input_gradient

    length = dx.shape[1]
    places = -(-length // stride)
    input_gradient[(call.tiles(places), stride)](
        **vars(back),
        w=taps,
        dx=dx,
        outputs=back.dn.shape[1],
        length=length,
        places=places,
        total=call.sequences * places,
        dilation=call.dilation,
        K=len(taps),
        S=stride,
        CX=dx.shape[2],
        BATCH_NORM=call.batch_norm,
        RESIDUAL_STRIDE=call.stride,
        **_NOTHING | more,
        **call.products,
    )


def _weight_gradients(
    call: Call, norm1: Norm, back1: Back, back2: Back, gradients: BlockGradients
) -> None:
    mask, size = call.pad(call.mask1), call.channels
    dw2 = _weight_gradient(call, back1.a, back2, call.taps2, call.stride, norm1, mask)
    gradients.dweight2.copy_(dw2[:, :size, :size].permute(2, 1, 0))
    if call.codes:
        dw1 = _code_weight_gradient(call, back1)
    else:
        dw1 = _weight_gradient(call, call.x, back1, call.taps1, 1)[:, :size, :size]
    gradients.dweight1.copy_(dw1.permute(2, 1, 0))


def _code_weight_gradient(call: Call, back1: Back) -> Tensor:
    """Float32 (taps, 4, C)."""
    from ..kernels.gradients import code_weight_gradient

    letters = len(letters_of(call.weight1, call.padded, call.dtype))
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
    dw1 = partial.sum(0)[: 4 * call.taps1, : call.channels]
    return dw1.unflatten(0, (call.taps1, 4))


def _weight_gradient(call: Call, x, back: Back, taps, stride, norm=None, mask=None) -> Tensor:
    """Float32 (taps, C', C')."""
    from ..kernels.gradients import weight_gradient

    outputs = back.dn.shape[1]
    total = call.sequences * outputs
    chunk = _chunk(total)
    size = -(-total // chunk), taps, call.padded, call.padded
    partial = torch.empty(size, device=x.device)
    weight_gradient[(len(partial), taps)](
        x=x,
        scale=norm and norm.scale,
        shift=norm and norm.shift,
        masks=mask,
        **vars(back),
        partial=partial,
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
    return partial.sum(0)


def _chunk(total: int) -> int:
    """Positions of a partial sum, a multiple of a tile; their number depends on ``total`` alone."""
    return -(-total // (PARTS * TILE)) * TILE
