"""``ops.block`` and its gradients on the Triton kernels: the same arguments and results as
``cpu_blocks``. A block in training is a handful of kernels, and what is kept of it are the rows
that its convolutions gave and its output; which kernel does what is in kernels/README.md."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from . import triton_engine
from .block_call import ROWS, BlockCall, BlockGradients, BlockOutputs
from .triton_engine import FUSION, INPUTS, letters_of

TILE = 64  # rows of a tile
SUMMED = 16  # tiles that a step of a reduction takes
PART = 64  # letters of a one-hot tile in training: 128 overflow the registers
PARTS = 64  # partial sums of the gradient of a weight


class Call(BlockCall):
    """A block's arguments, and what kernels are told of them."""

    @property
    def padded(self) -> int:
        return triton_engine.padded_channels(self.channels)

    @property
    def dtype(self) -> torch.dtype:
        return ROWS[self.precision]

    @property
    def fixed(self) -> dict:
        """What every kernel of rows is compiled for."""
        return dict(C=self.padded, M=TILE, num_warps=4) | FUSION

    @property
    def products(self) -> dict:
        """The same for kernels that multiply matrices."""
        return self.fixed | dict(INPUTS=INPUTS.get(self.precision, "ieee"), num_stages=2)

    @property
    def code_products(self) -> dict:
        """For kernels that make one-hot tiles, whose registers four warps do not have."""
        return self.products | {"num_warps": 8}

    def rows(self, length: int) -> Tensor:
        shape = self.sequences, length, self.padded
        return torch.empty(shape, dtype=self.dtype, device=self.x.device)

    def sums(self, tiles: int) -> Tensor:
        """Two numbers of every tile and channel."""
        return torch.empty(tiles, 2, self.padded, device=self.x.device)

    def tiles(self, length: int) -> int:
        return -(-self.sequences * length // TILE)

    def pad(self, vector: Tensor | None) -> Tensor | None:
        if vector is None:
            return None
        return pad(vector, (0, self.padded - vector.shape[-1])).contiguous()

    @property
    def table(self) -> Tensor | None:
        """What each code adds, (5, C')."""
        return self.pad(self.code_residual)


@dataclass(frozen=True)
class Norm:
    """How rows ``a`` become the argument of their ReLU, ``a * scale + shift``, with what a backward
    pass needs of the batch: float32 (C',) each."""

    scale: Tensor
    shift: Tensor
    mean: Tensor
    inverse: Tensor


@dataclass(frozen=True)
class Back:
    """The gradient of what a convolution gave, ``p * dn + q * a + r``: ``dn`` the gradient of the
    normalised rows, ``a`` the rows before; p, q, r float32 (C',)."""

    dn: Tensor
    a: Tensor
    p: Tensor
    q: Tensor
    r: Tensor


def padded_channels(channels: int, precision: str) -> int:
    """Channels of a row."""
    return triton_engine.padded_channels(channels)


def forward(call: BlockCall, outputs: BlockOutputs) -> None:
    """Compute ``outputs``."""
    call = _contiguous(call)
    with torch.cuda.device_of(call.x):  # where Triton launches
        _forward(call, outputs)


def backward(dy: Tensor, call: BlockCall, saved: BlockOutputs, gradients: BlockGradients) -> None:
    """Fill ``gradients``; ``saved``: what the forward pass gave."""
    call = _contiguous(call)
    with torch.cuda.device_of(call.x):
        _backward(dy.contiguous(), call, saved, gradients)


def _contiguous(call: BlockCall) -> Call:
    return Call(**vars(call) | {"x": call.x.contiguous()})


def _forward(call: Call, outputs: BlockOutputs) -> None:
    from ..kernels.pointwise import finish

    a1 = call.rows(call.length1) if call.codes else outputs.a1
    sums = _convolve_first(call, a1)
    norm1 = _norm(call, sums, call.length1, call.gain1, call.shift1, outputs.mean1, outputs.var1)
    sums = _convolve_second(call, a1, norm1, outputs.a2)
    norm2 = _norm(call, sums, call.length2, call.gain2, call.shift2, outputs.mean2, outputs.var2)
    finish[(call.tiles(call.length2),)](
        a=outputs.a2,
        x=call.x,
        table=call.table,
        y=outputs.y,
        scale=norm2.scale,
        shift=norm2.shift,
        masks=call.pad(call.mask2),
        length=call.length,
        outputs=call.length2,
        total=call.sequences * call.length2,
        tap=call.tap,
        stride=call.stride,
        DROPOUT=call.mask2 is not None,
        CODES=call.codes,
        **call.fixed,
    )


def _backward(dy: Tensor, call: Call, saved: BlockOutputs, gradients: BlockGradients) -> None:
    a1 = saved.a1
    if call.codes:
        a1 = call.rows(call.length1)
        _convolve_first(call, a1, statistics=False)
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


def _forward_taps(weight: Tensor, call: Call) -> Tensor:
    """(C, C_in, k) -> (k, C_in', C') of the rows' dtype."""
    extra = call.padded - call.channels
    return pad(weight.permute(2, 1, 0), (0, extra, 0, extra)).to(call.dtype).contiguous()


def _backward_taps(weight: Tensor, call: Call, inputs: int, stride: int = 1) -> Tensor:
    """(C, C_in, k) -> (k up to a multiple of ``stride``, C', ``inputs``) of the rows' dtype."""
    extra = inputs - weight.shape[1], call.padded - call.channels, -weight.shape[2] % stride
    weight = pad(weight.permute(2, 0, 1), (0, extra[0], 0, extra[1], 0, extra[2]))
    return weight.to(call.dtype).contiguous()


def _convolve_first(call: Call, a1: Tensor, statistics: bool = True) -> Tensor | None:
    """``a1`` of codes or rows; statistics of its tiles (tiles, 2, C'), if batch norm needs them."""
    from ..kernels.code_conv import code_conv

    sums = call.sums(call.tiles(call.length1)) if statistics and call.batch_norm else None
    if not call.codes:
        taps = _forward_taps(call.weight1, call)
        _conv(call, call.x, taps, a1, sums, stride=1)
        return sums
    letters = letters_of(call.weight1, call.padded, call.dtype)
    code_conv[(call.tiles(call.length1),)](
        codes=call.x,
        y=a1,
        w=letters,
        statistics=sums,
        length=call.length,
        outputs=call.length1,
        total=call.sequences * call.length1,
        K=call.taps1,
        LETTERS=len(letters),
        PART=min(PART, len(letters)),
        STATISTICS=sums is not None,
        **call.code_products,
    )
    return sums


def _convolve_second(call: Call, a1: Tensor, norm1: Norm, a2: Tensor) -> Tensor | None:
    sums = call.sums(call.tiles(call.length2)) if call.batch_norm else None
    taps, mask = _forward_taps(call.weight2, call), call.pad(call.mask1)
    _conv(call, a1, taps, a2, sums, stride=call.stride, norm=norm1, mask=mask)
    return sums


def _conv(call: Call, x, taps, y, sums, *, stride, norm=None, mask=None) -> None:
    from ..kernels.conv import conv

    outputs = y.shape[1]
    conv[(call.tiles(outputs),)](
        x=x,
        y=y,
        w=taps,
        scale=norm and norm.scale,
        shift=norm and norm.shift,
        masks=mask,
        bias=None,
        residual=None,
        statistics=sums,
        length=x.shape[1],
        outputs=outputs,
        total=call.sequences * outputs,
        residual_length=0,
        tap=0,
        dilation=call.dilation,
        stride=stride,
        K=len(taps),
        NORMALISE=norm is not None,
        DROPOUT=mask is not None,
        RELU=False,
        RESIDUAL=False,
        RESIDUAL_STRIDE=1,
        STATISTICS=sums is not None,
        **call.products,
    )


def _norm(call: Call, statistics, length: int, gain, shift, mean, var) -> Norm:
    """The norm of this batch, whose mean and variance go to ``mean`` and ``var``."""
    if statistics is None:
        return _no_norm(call, shift)
    from ..kernels.reduce import batch_statistics

    out = torch.empty(5, call.padded, device=statistics.device)
    batch_statistics[(1,)](
        statistics=statistics,
        tiles=len(statistics),
        total=call.sequences * length,
        gain=call.pad(gain),
        shift=call.pad(shift),
        eps=call.eps,
        out=out,
        B=SUMMED,
        **call.fixed,
    )
    mean.copy_(out[0, : call.channels])
    var.copy_(out[1, : call.channels])
    return Norm(mean=out[0], inverse=out[2], scale=out[3], shift=out[4])


def _saved_norm(call: Call, gain, shift, mean, var) -> Norm:
    """The norm of the batch of the forward pass."""
    if not call.batch_norm:
        return _no_norm(call, shift)
    inverse = (var + call.eps).rsqrt()
    scale = gain * inverse
    shift = shift - mean * scale
    return Norm(*(call.pad(vector) for vector in (scale, shift, mean, inverse)))


def _no_norm(call: Call, bias: Tensor) -> Norm:
    one = torch.ones(call.padded, device=bias.device)
    return Norm(one, call.pad(bias), torch.zeros_like(one), one)


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
        scale=norm2.scale,
        shift=norm2.shift,
        mean=norm2.mean,
        inverse=norm2.inverse,
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
        scale=norm1.scale,
        shift=norm1.shift,
        mean=norm1.mean,
        inverse=norm1.inverse,
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
        dn=back.dn,
        a=back.a,
        p=back.p,
        q=back.q,
        r=back.r,
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
        dn=back1.dn,
        a=back1.a,
        p=back1.p,
        q=back1.q,
        r=back1.r,
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
        dn=back.dn,
        a=back.a,
        p=back.p,
        q=back.q,
        r=back.r,
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
