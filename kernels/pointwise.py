"""The two ends of a block in training: its output from the second convolution, and the way back."""

import triton
import triton.language as tl

from .conv import activated, dropout_scales, positions
from .letters import known_code
from .tiles import relu


@triton.jit
def residual_rows(x, n, at, length, inside, table, C: tl.constexpr, CODES: tl.constexpr):
    """Rows ``at`` of ``x`` (N, length, C), float32 (M, C); or of ``table`` (5, C) by code."""
    columns = tl.arange(0, C)
    if CODES:
        code = known_code(tl.load(x + n * length + at, mask=inside, other=4)).to(tl.int64)
        pointers = table + code[:, None] * C + columns[None, :]
    else:
        pointers = x + (n * length + at)[:, None] * C + columns[None, :]
    return tl.load(pointers, mask=inside[:, None], other=0.0).to(tl.float32)


@triton.jit
def finish(
    a,
    x,
    table,
    y,
    scale,
    shift,
    masks,
    length,
    outputs,
    total,
    tap,
    stride,
    channels,
    C: tl.constexpr,
    M: tl.constexpr,
    HALVES: tl.constexpr,
    DROPOUT: tl.constexpr,
    CODES: tl.constexpr,
):
    """``y`` (N, outputs, C) = relu(relu(a * scale + shift) * masks + residual): row
    ``tap + stride j`` of ``x`` (N, length, C), or what its code adds (CODES: ``table`` (5, C))."""
    n, out, inside = positions(outputs, total, M)
    columns = tl.arange(0, C)
    index = (n * outputs + out)[:, None] * C + columns[None, :]
    rows = tl.load(a + index, mask=inside[:, None], other=0.0)
    scales, shifts = tl.load(scale + columns), tl.load(shift + columns)
    z = activated(rows, scales, shifts, masks, n, inside, columns, channels, C, HALVES, DROPOUT)
    z += residual_rows(x, n, out * stride + tap, length, inside, table, C, CODES)
    tl.store(y + index, relu(z).to(y.dtype.element_ty), mask=inside[:, None])


@triton.jit
def sums(dn, hats, statistics, columns, C: tl.constexpr):
    """Store the sums over the tile of ``dn`` and of ``dn * hats``, as this program's of
    ``statistics`` (programs, 2, C), ``columns`` of them."""
    program = tl.program_id(1).to(tl.int64) * tl.num_programs(0) + tl.program_id(0)
    base = statistics + program * 2 * C + columns
    tl.store(base, tl.sum(dn, 0))
    tl.store(base + C, tl.sum(dn * hats, 0))


@triton.jit
def back_through(
    dn,
    a,
    n,
    inside,
    scale,
    shift,
    mean,
    inverse,
    masks,
    statistics,
    columns,
    channels,
    C: tl.constexpr,
    HALVES: tl.constexpr,
    DROPOUT: tl.constexpr,
):
    """``dn``, the gradient of an activation, back through dropout and ReLU to its normalised
    argument; the sums that batch norm needs go to ``statistics``. ``a``: the rows before. Both are
    ``columns`` of C."""
    a = a.to(tl.float32)
    argument = a * tl.load(scale + columns)[None, :] + tl.load(shift + columns)[None, :]
    if DROPOUT:
        dn *= dropout_scales(masks, n, inside, columns, channels, C, HALVES)
    dn = tl.where((argument > 0) & inside[:, None], dn, 0.0)
    hats = (a - tl.load(mean + columns)[None, :]) * tl.load(inverse + columns)[None, :]
    sums(dn, hats, statistics, columns, C)
    return dn


@triton.jit
def start_backward(
    dy,
    y,
    a,
    dn,
    scale,
    shift,
    mean,
    inverse,
    masks,
    statistics,
    codes,
    code_sums,
    length,
    outputs,
    total,
    tap,
    stride,
    channels,
    C: tl.constexpr,
    M: tl.constexpr,
    HALVES: tl.constexpr,
    DROPOUT: tl.constexpr,
    CODES: tl.constexpr,
):
    """From ``dy`` (N, outputs, C) to ``dn``, the gradient of what the second norm gave.

    ``statistics`` (tiles, 2, C): sums of dn and of dn times the normalised ``a``. CODES: also
    ``code_sums`` (tiles, 5, C), the gradient of the residual by code at ``tap + stride j``.
    """
    n, out, inside = positions(outputs, total, M)
    columns = tl.arange(0, C)
    index = (n * outputs + out)[:, None] * C + columns[None, :]
    present = inside[:, None]
    dz = tl.load(dy + index, mask=present, other=0.0).to(tl.float32)
    dz = tl.where(tl.load(y + index, mask=present, other=0.0) > 0, dz, 0.0)
    rows = tl.load(a + index, mask=present, other=0.0)
    back = back_through(
        dz,
        rows,
        n,
        inside,
        scale,
        shift,
        mean,
        inverse,
        masks,
        statistics,
        columns,
        channels,
        C,
        HALVES,
        DROPOUT,
    )
    tl.store(dn + index, back.to(dn.dtype.element_ty), mask=present)
    if CODES:
        pointers = codes + n * length + out * stride + tap
        code = known_code(tl.load(pointers, mask=inside, other=0))
        base = code_sums + tl.program_id(0).to(tl.int64) * 5 * C + columns
        for c in tl.static_range(5):
            tl.store(base + c * C, tl.sum(tl.where((code == c)[:, None], dz, 0.0), 0))
