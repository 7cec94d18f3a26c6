"""The two ends of a block in training: its output from the second convolution, and the way back."""

import triton
import triton.language as tl

from .conv import activated, dropout_of, dropout_scales, piece_of, pieces, positions
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
    norm,
    columns,
    channels,
    C: tl.constexpr,
    HALVES: tl.constexpr,
    DROPOUT: tl.constexpr,
):
    """``dn``, the gradient of an activation, back through dropout and ReLU to its normalised
    argument. ``norm``: scale, shift, mean and inverse deviation of each channel, dropout's masks,
    and the statistics that get the sums batch norm needs. ``a``: the rows before. Both are
    ``columns`` of C."""
    scale, shift, mean, inverse, masks, statistics = norm
    a = a.to(tl.float32)
    argument = a * tl.load(scale + columns)[None, :] + tl.load(shift + columns)[None, :]
    if DROPOUT:
        dn *= dropout_scales(masks, n, inside, columns, channels, C, HALVES)
    dn = tl.where((argument > 0) & inside[:, None], dn, 0.0)
    hats = (a - tl.load(mean + columns)[None, :]) * tl.load(inverse + columns)[None, :]
    sums(dn, hats, statistics, columns, C)
    return dn


@triton.jit
def loaded(dy, y, a, codes, start, size, stride, C: tl.constexpr, M: tl.constexpr):
    """Rows ``start`` .. ``start + M - 1`` of a piece, of ``size`` outputs, at these addresses, and
    the code at each if there are any; zeros behind its end."""
    tile, columns = start + tl.arange(0, M), tl.arange(0, C)
    known = (tile < size)[:, None]
    offsets = tile[:, None] * C + columns[None, :]
    dz = tl.load(dy + offsets, mask=known, other=0.0)
    out = tl.load(y + offsets, mask=known, other=0.0)
    rows = tl.load(a + offsets, mask=known, other=0.0)
    code = tile
    if codes is not None:
        code = tl.load(codes + tile * stride, mask=tile < size, other=0)
    return dz, out, rows, code


@triton.jit
def added_by_code(sums, code, rows):
    """``sums``, five tiles, with each row added to that of its ``code`` (M,)."""
    found = ()
    for c in tl.static_range(5):
        found = found + (sums[c] + tl.where((code == c)[:, None], rows, 0.0),)
    return found


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
    cuts,
    chunk,
    per_part,
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

    ``statistics`` (parts, 2, C): of each part, see ``pieces`` (``total`` of them), the sums of dn
    and of dn times the normalised ``a``. CODES: also ``code_sums`` (parts, 5, C), the gradient of
    the residual by code at ``tap + stride j``.
    """
    columns, tile = tl.arange(0, C), tl.arange(0, M)
    scales, shifts, means = (
        tl.load(scale + columns),
        tl.load(shift + columns),
        tl.load(mean + columns),
    )
    offsets = tile[:, None] * C + columns[None, :]
    zeros = tl.zeros((M, C), tl.float32)
    sums, products, by_code = zeros, zeros, (zeros, zeros, zeros, zeros, zeros)
    begin, end = pieces(cuts, per_part, total)
    for piece in range(begin, end):
        n, first, size = piece_of(piece, cuts, chunk, outputs)
        if DROPOUT:
            kept = dropout_of(masks, n, columns, channels, C, HALVES)
        base, own = (n * outputs + first) * C, codes
        if CODES:
            own = codes + n * length + first * stride + tap
        given = dy + base, y + base, a + base, own
        dz, out, rows, code = loaded(*given, 0, size, stride, C, M)
        for start in range(0, size, M):
            dz, rows, here = tl.where(out > 0, dz.to(tl.float32), 0.0), rows.to(tl.float32), code
            back = dz
            if DROPOUT:
                back *= kept[None, :]
            back = tl.where(rows * scales[None, :] + shifts[None, :] > 0, back, 0.0)
            known = (start + tile < size)[:, None]
            tl.store(dn + base + start * C + offsets, back.to(dn.dtype.element_ty), mask=known)
            sums += back
            products += back * (rows - means[None, :])
            if CODES:
                by_code = added_by_code(by_code, known_code(here), dz)
            # the next rows are under way while these are stored
            dz, out, rows, code = loaded(*given, start + M, size, stride, C, M)
    part = tl.program_id(0).to(tl.int64)
    base = statistics + part * 2 * C + columns
    tl.store(base, tl.sum(sums, 0))
    tl.store(base + C, tl.sum(products, 0) * tl.load(inverse + columns))
    if CODES:
        for c in tl.static_range(5):
            tl.store(code_sums + (part * 5 + c) * C + columns, tl.sum(by_code[c], 0))
