"""Both gradients of a convolution for chips with wgmma, in one pass over what they read:
``input_gradient`` and ``weight_gradient`` together.

Input u = S v + phase was read by outputs v - j dilation through taps m = S j + phase, and the
gradient of tap m is a sum of that input times that output's gradient. So rows walk along v, each
gradient of an output is made once and kept in shared memory for as many steps as taps need it, and
meets the weights there and, transposed, the inputs.
"""

from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.hopper import (
    fence_async_shared,
    warpgroup_mma,
    warpgroup_mma_wait,
)

from .wgmma_conv import activated, activation_of, dropout_of, sum_of_threads, sums_of_threads
from .wgmma_tiles import (
    as_channels,
    barrier,
    first_output,
    load_rows,
    pointers_to,
    result_layout,
    rows_of_program,
    runs_layout,
    share_taps,
)

GROUPS = gl.constexpr(2)  # of warps, which share the channels of a tile of 64 rows


@gluon.jit
def held(values, C: gl.constexpr, SHARED: gl.constexpr):
    """Numbers (C,) of channels for all steps: as they are or, where registers are too few, in
    shared memory."""
    if SHARED:
        layout: gl.constexpr = gl.SwizzledSharedLayout(1, 1, 1, [0])
        shared = gl.allocate_shared_memory(gl.float32, [C], layout)
        shared.store(values)
        return shared
    else:
        return values


@gluon.jit
def taken(held, layout: gl.constexpr, SHARED: gl.constexpr):
    """What is ``held``, for one step."""
    if SHARED:
        return held.load(layout)
    else:
        return held


@gluon.jit
def output_gradient(
    rows,
    before,
    p,
    q,
    r,
    at,
    outputs,
    inside,
    SHARED: gl.constexpr,
    BATCH_NORM: gl.constexpr,
):
    """Rows ``at`` of the gradient of what the convolution gave, (M, C) of their dtype: as
    ``gradients.full_gradient``; ``p``, ``q``, ``r`` are ``held``."""
    if BATCH_NORM:
        vector: gl.constexpr = gl.SliceLayout(0, rows.type.layout)
        p, q, r = taken(p, vector, SHARED), taken(q, vector, SHARED), taken(r, vector, SHARED)
        inside = (inside & (at >= 0) & (at < outputs))[:, None]
        full = rows.to(gl.float32) * p[None, :]
        full += before.to(gl.float32) * q[None, :] + r[None, :]
        rows = gl.where(inside, full, 0.0).to(rows.dtype)
    return rows


@gluon.jit
def residual_at(u, tap, outputs, inside, STRIDE: gl.constexpr):
    """The outputs j for which input u is ``tap + STRIDE j``, and where there is one."""
    at = (u - tap) // STRIDE
    return at, inside & (u >= tap) & (at < outputs) & ((u - tap) % STRIDE == 0)


@gluon.jit
def multiplied(das, inputs, taps, dws, t, K: gl.constexpr, S: gl.constexpr):
    """Products of step ``t``: of each phase the gradient of its inputs, (M, C), then of each tap
    ``dws`` with this step's share added. All are under way at a time, and waited for once."""
    KEPT: gl.constexpr = das.shape[0]
    M: gl.constexpr = das.shape[1]
    C: gl.constexpr = das.shape[2]
    totals = ()
    for phase in gl.static_range(S):
        total = gl.zeros((M, C), gl.float32, layout=result_layout(C, M, GROUPS))
        for j in gl.static_range(KEPT - 1):
            da = das.index((t + KEPT - j) % KEPT)
            tap = taps.index(j * S + phase)
            total = warpgroup_mma(da, tap, total, use_acc=j > 0, is_async=True)
        totals = totals + (total,)
    of_taps = ()
    for m in gl.static_range(K):
        read = inputs.index(t % 2 * S + m % S).permute((1, 0))
        da = das.index((t + KEPT - m // S) % KEPT)
        of_taps = of_taps + (warpgroup_mma(read, da, dws[m], is_async=True),)
    return warpgroup_mma_wait(0, deps=totals + of_taps)


@gluon.jit
def store_sums(statistics, sums, products, inverse, layout: gl.constexpr):
    """The sums of a program's gradients, and of them times the normalised rows."""
    C: gl.constexpr = sums.shape[2]
    columns = gl.arange(0, C, layout=layout)
    base = statistics + gl.program_id(0).to(gl.int64) * 2 * C + columns
    gl.store(base, gl.convert_layout(sum_of_threads(sums), layout))
    products = gl.convert_layout(sum_of_threads(products), layout)
    gl.store(base + C, products * gl.load(inverse + columns))


@gluon.jit
def store_parts(partial, dws, K: gl.constexpr):
    """A program's share of the gradients of K taps."""
    C: gl.constexpr = dws[0].shape[0]
    LAYOUT: gl.constexpr = dws[0].type.layout
    i = gl.arange(0, C, layout=gl.SliceLayout(1, LAYOUT))
    o = gl.arange(0, C, layout=gl.SliceLayout(0, LAYOUT))
    for m in gl.static_range(K):
        base = partial + (gl.program_id(0).to(gl.int64) * K + m) * C * C
        gl.store(base + i[:, None] * C + o[None, :], dws[m])


@gluon.jit
def wgmma_gradients(
    dn,
    a,
    p,
    q,
    r,
    w,
    dx,
    x,
    scale,
    shift,
    mean,
    inverse,
    masks,
    statistics,
    dy,
    y,
    partial,
    outputs,
    length,
    rows,
    steps,
    residual_outputs,
    tap,
    dilation,
    channels,
    K: gl.constexpr,
    S: gl.constexpr,
    C: gl.constexpr,
    M: gl.constexpr,
    HALVES: gl.constexpr,
    BATCH_NORM: gl.constexpr,
    NORMALISE: gl.constexpr,
    DROPOUT: gl.constexpr,
    RESIDUAL: gl.constexpr,
    RESIDUAL_STRIDE: gl.constexpr,
):
    """``dn``, ``a`` (N, outputs, C), ``p``, ``q``, ``r``, ``w`` (K or K + 1, C, C): as
    ``input_gradient`` has them. ``x`` (N, length, C): the rows that the convolution of K taps and
    stride S read or, NORMALISE, those of which they were relu(x * scale + shift) * masks. ``rows``
    of a sequence walk ``steps`` values of v each; M is 64 for each warp group.

    ``dx`` (N, length, C): the gradient of ``x`` or, NORMALISE, of the ReLU's argument, whose sums
    go to ``statistics`` (programs, 2, C) (``pointwise.back_through``); RESIDUAL: plus what the
    residual gives back. ``partial`` (programs, K, C in, C out): sums of this program's share of the
    gradient of each tap.
    """
    gl.static_assert(M == 64 and C >= 64 and gl.num_warps() == 4 * GROUPS)
    J: gl.constexpr = (K + S - 1) // S  # outputs that an input was read by
    KEPT: gl.constexpr = J + 1  # and one that warps ahead may write
    SHARED: gl.constexpr = S == 2 and NORMALISE
    LAYOUT: gl.constexpr = runs_layout(C, M, GROUPS)
    VECTOR: gl.constexpr = gl.SliceLayout(0, LAYOUT)
    dtype: gl.constexpr = dx.dtype.element_ty
    row, n = rows_of_program(rows, M, LAYOUT)
    inside = row < rows
    dn += n * outputs * C
    a += n * outputs * C
    x += n * length * C
    dx += n * length * C
    if RESIDUAL:
        dy += n * residual_outputs * C
        y += n * residual_outputs * C

    taps = share_taps(w, J * S, C, 4 * GROUPS, OUT=True)
    shared: gl.constexpr = gl.NVMMASharedLayout.get_default_for([M, C], dtype)
    das = gl.allocate_shared_memory(dtype, [KEPT, M, C], shared)
    inputs = gl.allocate_shared_memory(dtype, [2 * S, M, C], shared)
    columns = gl.arange(0, C, layout=VECTOR)
    ps, qs, rs = 0.0, 0.0, 0.0
    if BATCH_NORM:
        ps, qs, rs = gl.load(p + columns), gl.load(q + columns), gl.load(r + columns)
        ps, qs, rs = held(ps, C, SHARED), held(qs, C, SHARED), held(rs, C, SHARED)
    scales, shifts = 0.0, 0.0
    if NORMALISE:
        scales, shifts = activation_of(scale, shift, masks, n, channels, C, HALVES, DROPOUT, VECTOR)
        scales, shifts = held(scales, C, SHARED), held(shifts, C, SHARED)
        means = held(gl.load(mean + columns), C, SHARED)
        if DROPOUT:
            kept = held(dropout_of(masks, n, channels, C, HALVES, VECTOR), C, SHARED)

    v = first_output(row, dilation, steps)
    for j in gl.static_range(1, J):
        at = v - j * dilation
        rows_of = load_rows(dn, at, outputs, inside, C, GROUPS)
        before = load_rows(a, at, outputs, inside, C, GROUPS)
        da = output_gradient(rows_of, before, ps, qs, rs, at, outputs, inside, SHARED, BATCH_NORM)
        das.index(KEPT - j).store(da)
    dws = ()
    for _m in gl.static_range(K):
        dws = dws + (gl.zeros((C, C), gl.float32, layout=result_layout(C, C, GROUPS)),)
    sums = sums_of_threads(gl.zeros((M, C), gl.float32, layout=LAYOUT))
    products = sums
    rows_of = load_rows(dn, v, outputs, inside, C, GROUPS)
    before = load_rows(a, v, outputs, inside, C, GROUPS)
    read = ()
    for phase in gl.static_range(S):
        read = read + (load_rows(x, v * S + phase, length, inside, C, GROUPS),)
    for t in range(0, steps):
        da = output_gradient(rows_of, before, ps, qs, rs, v, outputs, inside, SHARED, BATCH_NORM)
        das.index(t % KEPT).store(da)
        for phase in gl.static_range(S):
            tile = read[phase]
            if NORMALISE:
                by, to = taken(scales, VECTOR, SHARED), taken(shifts, VECTOR, SHARED)
                tile = activated(tile, by, to, NORMALISE)
            inputs.index(t % 2 * S + phase).store(tile)
        now, read = read, ()
        more = inside & (t < steps - 1)
        ahead = v + dilation
        rows_of = load_rows(dn, ahead, outputs, more, C, GROUPS)
        before = load_rows(a, ahead, outputs, more, C, GROUPS)
        for phase in gl.static_range(S):
            read = read + (load_rows(x, ahead * S + phase, length, more, C, GROUPS),)
        given = ()
        if RESIDUAL:
            for phase in gl.static_range(S):
                at, known = residual_at(
                    v * S + phase, tap, residual_outputs, inside, RESIDUAL_STRIDE
                )
                of_y = load_rows(y, at, residual_outputs, known, C, GROUPS)
                given = given + (load_rows(dy, at, residual_outputs, known, C, GROUPS), of_y)
        fence_async_shared()
        barrier()
        done = multiplied(das, inputs, taps, dws, t, K, S)
        dws = done[S:]
        for phase in gl.static_range(S):
            u = v * S + phase
            there = inside & (u < length)
            back = as_channels(done[phase], GROUPS)
            if NORMALISE:
                argument = now[phase].to(gl.float32)
                off = argument - taken(means, VECTOR, SHARED)[None, :]
                by, to = taken(scales, VECTOR, SHARED), taken(shifts, VECTOR, SHARED)
                argument = argument * by[None, :] + to[None, :]
                if DROPOUT:
                    back *= taken(kept, VECTOR, SHARED)[None, :]
                back = gl.where((argument > 0) & there[:, None], back, 0.0)
                sums += sums_of_threads(back)
                products += sums_of_threads(back * off)
            if RESIDUAL:
                positive = given[2 * phase + 1].to(gl.float32) > 0
                back += gl.where(positive, given[2 * phase].to(gl.float32), 0.0)
            pointers = pointers_to(dx, u, C, C, GROUPS)
            gl.store(pointers, back.to(dtype), mask=there[:, None])
        v = ahead
    if NORMALISE:
        store_sums(statistics, sums, products, inverse, VECTOR)
    store_parts(partial, dws, K)
