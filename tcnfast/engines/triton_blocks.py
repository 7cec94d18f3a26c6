"""``ops.block`` and its gradients on the Triton kernels: the same arguments and results as
``cpu_blocks``. A block in training is a handful of kernels, and what is kept of it are the rows
that its convolutions gave and its output; which kernel does what is in kernels/README.md."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from . import triton_engine
from .triton_engine import DTYPES, FUSION, INPUTS, letters_of

TILE = 64  # rows of a tile
SUMMED = 16  # tiles that a step of a reduction takes
PART = 64  # letters of a one-hot tile in training: 128 overflow the registers
PARTS = 64  # partial sums of the gradient of a weight


@dataclass(frozen=True)
class Geometry:
    """Sizes of a call: what ``ops`` says of it, and what follows."""

    sequences: int
    length: int
    channels: int
    taps1: int
    taps2: int
    dilation: int
    stride: int
    tap: int
    codes: bool
    batch_norm: bool
    eps: float
    precision: str

    @property
    def length1(self) -> int:
        """Positions that the first convolution gives."""
        return self.length - (self.taps1 - 1) * self.dilation

    @property
    def length2(self) -> int:
        """Positions that the second convolution gives."""
        return (self.length1 - 1 - (self.taps2 - 1) * self.dilation) // self.stride + 1

    @property
    def padded(self) -> int:
        return triton_engine.padded_channels(self.channels)

    @property
    def dtype(self) -> torch.dtype:
        return DTYPES[self.precision]

    @property
    def inputs(self) -> str:
        return INPUTS.get(self.precision, "ieee")

    @property
    def options(self) -> dict:
        shape = dict(C=self.padded, M=TILE, INPUTS=self.inputs)
        return shape | dict(num_warps=4, num_stages=2) | FUSION

    @property
    def code_options(self) -> dict:
        """For kernels that make one-hot tiles, whose registers four warps do not have."""
        return self.options | {"num_warps": 8}

    def rows(self, like: Tensor, length: int) -> Tensor:
        shape = self.sequences, length, self.padded
        return torch.empty(shape, dtype=self.dtype, device=like.device)

    def tiles(self, length: int) -> int:
        return -(-self.sequences * length // TILE)


@dataclass(frozen=True)
class Norm:
    """How rows ``a`` become the argument of their ReLU, ``a * scale + shift``, with what a backward
    pass needs of the batch: float32 (C',) each."""

    scale: Tensor
    shift: Tensor
    mean: Tensor
    inverse: Tensor


def padded_channels(channels: int, precision: str) -> int:
    """Channels of a row."""
    return triton_engine.padded_channels(channels)


def forward(
    x: Tensor,
    tensors: dict[str, Tensor | None],
    outputs: dict[str, Tensor],
    shape: dict,
    precision: str,
) -> None:
    """Compute ``outputs``, named as ``ops.block`` returns them, of ``x`` and ``tensors``."""
    with torch.cuda.device_of(x):  # where Triton launches
        _forward(x.contiguous(), tensors, outputs, Geometry(**shape, precision=precision))


def _forward(x, tensors, outputs, g: Geometry) -> None:
    a1 = outputs["a1"] if not g.codes else g.rows(x, g.length1)
    statistics = _convolve_first(x, tensors["weight1"], a1, g)
    norm1 = _norm(statistics, 1, g.length1, tensors, outputs, g)
    a2 = outputs["a2"]
    statistics = _convolve_second(a1, norm1, tensors, a2, g)
    norm2 = _norm(statistics, 2, g.length2, tensors, outputs, g)
    from ..kernels.pointwise import finish

    finish[(g.tiles(g.length2),)](
        a2, x, _table(tensors, g), outputs["y"], norm2.scale, norm2.shift,
        _padded(tensors["mask2"], g), g.length, g.length2, g.sequences * g.length2, g.tap, g.stride,
        C=g.padded, M=TILE, DROPOUT=tensors["mask2"] is not None, CODES=g.codes, num_warps=4,
        **FUSION,
    )  # fmt: skip


def backward(
    dy: Tensor,
    x: Tensor,
    saved: dict[str, Tensor],
    tensors: dict[str, Tensor | None],
    gradients: dict[str, Tensor],
    shape: dict,
    precision: str,
) -> None:
    """Fill ``gradients``, named as the arguments of ``ops.block``; or of codes "one_hot" alone."""
    g = Geometry(**shape, precision=precision)
    with torch.cuda.device_of(x):
        _backward(dy.contiguous(), x.contiguous(), saved, tensors, gradients, g)


def _backward(dy, x, saved, tensors, gradients, g: Geometry) -> None:
    a1 = saved["a1"]
    if g.codes:
        a1 = g.rows(x, g.length1)
        _convolve_first(x, tensors["weight1"], a1, g, statistics=False)
    norm1, norm2 = (_saved_norm(i, saved, tensors, g) for i in (1, 2))
    dn2, sums2, code_sums = _start(dy, x, saved, norm2, tensors, g)
    back2 = _back(sums2, 2, g.length2, norm2, gradients, g)
    dn1 = g.rows(x, g.length1)
    sums1 = _gradient_of_rows(dn2, saved["a2"], back2, a1, norm1, tensors, dn1, g)
    back1 = _back(sums1, 1, g.length1, norm1, gradients, g)
    if "weight2" in gradients:
        _weight_gradients(x, a1, norm1, dn1, back1, dn2, saved["a2"], back2, tensors, gradients, g)
        if g.codes:
            gradients["code_residual"].copy_(code_sums.sum(0)[:, : g.channels])
    target = gradients.get("one_hot") if g.codes else gradients.get("dx")
    if target is not None:
        _gradient_of_input(dn1, a1, back1, dy, saved["y"], tensors, target, g)


def _padded(vector: Tensor | None, g: Geometry) -> Tensor | None:
    return None if vector is None else pad(vector, (0, g.padded - vector.shape[-1])).contiguous()


def _forward_taps(weight: Tensor, g: Geometry) -> Tensor:
    """(C, C_in, k) -> (k, C_in', C') of the rows' dtype."""
    extra = g.padded - g.channels
    return pad(weight.permute(2, 1, 0), (0, extra, 0, extra)).to(g.dtype).contiguous()


def _backward_taps(weight: Tensor, g: Geometry, inputs: int, stride: int = 1) -> Tensor:
    """(C, C_in, k) -> (k up to a multiple of ``stride``, C', ``inputs``) of the rows' dtype."""
    extra = inputs - weight.shape[1], g.padded - g.channels, -weight.shape[2] % stride
    weight = pad(weight.permute(2, 0, 1), (0, extra[0], 0, extra[1], 0, extra[2]))
    return weight.to(g.dtype).contiguous()


def _table(tensors, g: Geometry) -> Tensor | None:
    return _padded(tensors["code_residual"], g) if g.codes else None


def _convolve_first(x, weight, a1, g: Geometry, statistics: bool = True) -> Tensor | None:
    """``a1`` of codes or rows; statistics of its tiles (tiles, 2, C'), if batch norm needs them."""
    statistics = statistics and g.batch_norm
    sums = torch.empty(g.tiles(g.length1), 2, g.padded, device=x.device) if statistics else None
    if not g.codes:
        _conv(x, _forward_taps(weight, g), a1, sums, g, g.length, g.length1, 1)
        return sums
    from ..kernels.code_conv import code_conv

    letters = letters_of(weight, g.padded, g.dtype)
    code_conv[(g.tiles(g.length1),)](
        x, a1, letters, sums, g.length, g.length1, g.sequences * g.length1,
        K=g.taps1, LETTERS=len(letters), PART=min(PART, len(letters)), STATISTICS=statistics,
        **g.code_options,
    )  # fmt: skip
    return sums


def _convolve_second(a1, norm1: Norm, tensors, a2, g: Geometry) -> Tensor | None:
    sums = torch.empty(g.tiles(g.length2), 2, g.padded, device=a1.device) if g.batch_norm else None
    taps, mask = _forward_taps(tensors["weight2"], g), _padded(tensors["mask1"], g)
    _conv(a1, taps, a2, sums, g, g.length1, g.length2, g.stride, norm1, mask)
    return sums


def _conv(x, taps, y, sums, g: Geometry, length, outputs, stride, norm=None, mask=None) -> None:
    from ..kernels.conv import conv

    conv[(g.tiles(outputs),)](
        x, y, taps, norm and norm.scale, norm and norm.shift, mask, None, None, sums,
        length, outputs, g.sequences * outputs, 0, 0, g.dilation, stride,
        K=len(taps), NORMALISE=norm is not None, DROPOUT=mask is not None, RELU=False,
        RESIDUAL=False, RESIDUAL_STRIDE=1, STATISTICS=sums is not None, **g.options,
    )  # fmt: skip


def _norm(statistics, i: int, length: int, tensors, outputs, g: Geometry) -> Norm:
    """The norm of this batch, whose mean and variance go to ``outputs``."""
    if statistics is None:
        return _no_norm(tensors[f"shift{i}"], g)
    from ..kernels.reduce import batch_statistics

    out = torch.empty(5, g.padded, device=statistics.device)
    batch_statistics[(1,)](
        statistics, len(statistics), g.sequences * length, _padded(tensors[f"gain{i}"], g),
        _padded(tensors[f"shift{i}"], g), g.eps, out, C=g.padded, M=TILE, B=SUMMED, num_warps=4,
        **FUSION,
    )  # fmt: skip
    mean, var, inverse, scale, shift = out
    outputs[f"mean{i}"].copy_(mean[: g.channels])
    outputs[f"var{i}"].copy_(var[: g.channels])
    return Norm(scale, shift, mean, inverse)


def _saved_norm(i: int, saved, tensors, g: Geometry) -> Norm:
    """The norm of the batch of the forward pass."""
    if not g.batch_norm:
        return _no_norm(tensors[f"shift{i}"], g)
    mean, var = saved[f"mean{i}"], saved[f"var{i}"]
    inverse = (var + g.eps).rsqrt()
    scale = tensors[f"gain{i}"] * inverse
    shift = tensors[f"shift{i}"] - mean * scale
    return Norm(*(_padded(vector, g) for vector in (scale, shift, mean, inverse)))


def _no_norm(bias: Tensor, g: Geometry) -> Norm:
    one = torch.ones(g.padded, device=bias.device)
    return Norm(one, _padded(bias, g), torch.zeros_like(one), one)


def _start(dy, x, saved, norm2: Norm, tensors, g: Geometry):
    """The gradient of what the second norm gave, its sums, and those of the residual by code."""
    from ..kernels.pointwise import start_backward

    tiles = g.tiles(g.length2)
    dn2 = g.rows(x, g.length2)
    sums = torch.empty(tiles, 2, g.padded, device=x.device)
    code_sums = torch.empty(tiles, 5, g.padded, device=x.device) if g.codes else None
    mask = _padded(tensors["mask2"], g)
    start_backward[(tiles,)](
        dy, saved["y"], saved["a2"], dn2, norm2.scale, norm2.shift, norm2.mean, norm2.inverse, mask,
        sums, x if g.codes else None, code_sums, g.length, g.length2, g.sequences * g.length2,
        g.tap, g.stride, C=g.padded, M=TILE, DROPOUT=mask is not None, CODES=g.codes, num_warps=4,
        **FUSION,
    )  # fmt: skip
    return dn2, sums, code_sums


def _back(sums, i: int, length: int, norm: Norm, gradients, g: Geometry):
    """p, q, r of the rows before norm ``i``; gradients of its gain and shift, or of the bias."""
    from ..kernels.reduce import norm_gradients

    out = torch.empty(5, g.padded, device=sums.device)
    norm_gradients[(1,)](
        sums, len(sums), g.sequences * length, norm.scale, norm.mean, norm.inverse, out,
        C=g.padded, B=SUMMED, num_warps=4,
        **FUSION,
    )  # fmt: skip
    if f"shift{i}" in gradients:
        gradients[f"shift{i}"].copy_(out[1, : g.channels])
        if g.batch_norm:
            gradients[f"gain{i}"].copy_(out[0, : g.channels])
    return out[2], out[3], out[4]


def _gradient_of_rows(dn2, a2, back2, a1, norm1: Norm, tensors, dn1, g: Geometry) -> Tensor:
    """``dn1``, the gradient of what the first norm gave, of ``dn2``; returns its sums."""
    places = -(-g.length1 // g.stride)
    sums = torch.empty(g.tiles(places) * g.stride, 2, g.padded, device=dn1.device)
    mask = _padded(tensors["mask1"], g)
    taps = _backward_taps(tensors["weight2"], g, g.padded, g.stride)
    _input_gradient(
        g, places, g.stride, dn2, a2, *back2, taps, dn1,
        a1, norm1.scale, norm1.shift, norm1.mean, norm1.inverse, mask, sums, None, None, None,
        g.length2, g.length1, 0, dropout=mask is not None, activated=True,
    )  # fmt: skip
    return sums


def _gradient_of_input(dn1, a1, back1, dy, y, tensors, target, g: Geometry) -> None:
    """Gradient of the rows that the block read, or float32 (N, L, 4) of the codes' one-hot form."""
    weight, residual, dx = tensors["weight1"], None, target
    if g.codes:
        table = tensors["code_residual"]  # a letter's column less that of N, which has none
        residual = _backward_taps((table[:4] - table[4:]).T[:, :, None], g, 16)[0]
        dx = torch.empty(*target.shape[:2], 16, device=target.device)
    _input_gradient(
        g, g.length, 1, dn1, a1, *back1, _backward_taps(weight, g, 16 if g.codes else g.padded), dx,
        *(None,) * 7, dy, y, residual, g.length1, g.length, g.length2, tap=g.tap,
    )  # fmt: skip
    if g.codes:
        target.copy_(dx[..., :4])


def _input_gradient(
    g: Geometry, places, stride, dn, a, p, q, r, taps, dx, before, scale, shift, mean, inverse,
    mask, sums, dy, y, residual, outputs, length, residual_outputs,
    *, tap=0, dropout=False, activated=False,
) -> None:  # fmt: skip
    from ..kernels.gradients import input_gradient

    input_gradient[(g.tiles(places), stride)](
        dn, a, p, q, r, taps, dx, before, scale, shift, mean, inverse, mask, sums, dy, y, residual,
        outputs, length, places, g.sequences * places, residual_outputs, tap, g.dilation,
        K=len(taps), S=stride, CX=dx.shape[2], BATCH_NORM=g.batch_norm, ACTIVATED=activated,
        DROPOUT=dropout, RESIDUAL=dy is not None, RESIDUAL_STRIDE=g.stride,
        ONE_HOT=residual is not None, **g.options,
    )  # fmt: skip


def _weight_gradients(x, a1, norm1: Norm, dn1, back1, dn2, a2, back2, tensors, gradients, g):
    mask = _padded(tensors["mask1"], g)
    dw2 = _weight_gradient(a1, dn2, a2, back2, g.taps2, g.length1, g.length2, g.stride, g,
                           norm1, mask)  # fmt: skip
    gradients["weight2"].copy_(dw2[:, : g.channels, : g.channels].permute(2, 1, 0))
    if not g.codes:
        dw1 = _weight_gradient(x, dn1, a1, back1, g.taps1, g.length, g.length1, 1, g)
        gradients["weight1"].copy_(dw1[:, : g.channels, : g.channels].permute(2, 1, 0))
        return
    from ..kernels.gradients import code_weight_gradient

    letters = len(letters_of(tensors["weight1"], g.padded, g.dtype))
    total = g.sequences * g.length1
    chunk = _chunk(total)
    partial = torch.empty(-(-total // chunk), letters, g.padded, device=x.device)
    code_weight_gradient[(len(partial), letters // min(PART, letters))](
        x, dn1, a1, *back1, partial, g.length, g.length1, total, chunk,
        K=g.taps1, LETTERS=letters, PART=min(PART, letters), BATCH_NORM=g.batch_norm,
        **g.code_options,
    )  # fmt: skip
    dw1 = partial.sum(0)[: 4 * g.taps1, : g.channels].unflatten(0, (g.taps1, 4))
    gradients["weight1"].copy_(dw1.permute(2, 1, 0))


def _weight_gradient(x, dn, a, back, taps, length, outputs, stride, g, norm=None, mask=None):
    """Float32 (taps, C', C')."""
    from ..kernels.gradients import weight_gradient

    total = g.sequences * outputs
    chunk = _chunk(total)
    partial = torch.empty(-(-total // chunk), taps, g.padded, g.padded, device=x.device)
    weight_gradient[(len(partial), taps)](
        x, norm and norm.scale, norm and norm.shift, mask, dn, a, *back, partial,
        length, outputs, total, chunk, g.dilation, stride,
        K=taps, NORMALISE=norm is not None, DROPOUT=mask is not None, BATCH_NORM=g.batch_norm,
        **g.options,
    )  # fmt: skip
    return partial.sum(0)


def _chunk(total: int) -> int:
    """Positions of a partial sum, a multiple of a tile; their number depends on ``total`` alone."""
    return -(-total // (PARTS * TILE)) * TILE
