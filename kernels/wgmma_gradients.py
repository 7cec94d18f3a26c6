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
    of_outputs,
    at,
    outputs,
    inside,
    SHARED: gl.constexpr,
):
    """Rows ``at`` of the gradient of what the convolution gave, (M, C) of their dtype: as
    ``gradients.full_gradient``; ``of_outputs``: its p, q and r, ``held``, or None."""
    if of_outputs is not None:
        vector: gl.constexpr = gl.SliceLayout(0, rows.type.layout)
        p = taken(of_outputs[0], vector, SHARED)
        q = taken(of_outputs[1], vector, SHARED)
        r = taken(of_outputs[2], vector, SHARED)
        inside = (inside & (at >= 0) & (at < outputs))[:, None]
        full = rows.to(gl.float32) * p[None, :]
        full += before.to(gl.float32) * q[None, :] + r[None, :]
        rows = gl.where(inside, full, 0.0).to(rows.dtype)
    return rows


@gluon.jit
def of_channels(p, q, r, C: gl.constexpr, SHARED: gl.constexpr, layout: gl.constexpr):
    """p, q and r of ``output_gradient``, ``held``."""
    columns = gl.arange(0, C, layout=layout)
    p, q, r = gl.load(p + columns), gl.load(q + columns), gl.load(r + columns)
    return held(p, C, SHARED), held(q, C, SHARED), held(r, C, SHARED)


@gluon.jit
def of_activation(
    scale,
    shift,
    mean,
    masks,
    n,
    channels,
    C: gl.constexpr,
    HALVES: gl.constexpr,
    DROPOUT: gl.constexpr,
    SHARED: gl.constexpr,
    layout: gl.constexpr,
):
    """What was done to the inputs of sequence ``n``, ``held``: scale, shift, mean and, DROPOUT,
    what dropout multiplied by."""
    columns = gl.arange(0, C, layout=layout)
    scales, shifts = activation_of(scale, shift, masks, n, channels, C, HALVES, DROPOUT, layout)
    scales, shifts = held(scales, C, SHARED), held(shifts, C, SHARED)
    numbers = (scales, shifts, held(gl.load(mean + columns), C, SHARED))
    if DROPOUT:
        kept = dropout_of(masks, n, channels, C, HALVES, layout)
        numbers = numbers + (held(kept, C, SHARED),)
    return numbers


@gluon.jit
def rows_at(dn, a, x, v, outputs, length, inside, S: gl.constexpr, C: gl.constexpr):
    """What the step at ``v`` reads: ``dn``, ``a``, and ``x`` of each phase, (M, C) each."""
    read = (load_rows(dn, v, outputs, inside, C, GROUPS),)
    read = read + (load_rows(a, v, outputs, inside, C, GROUPS),)
    for phase in gl.static_range(S):
        read = read + (load_rows(x, v * S + phase, length, inside, C, GROUPS),)
    return read


@gluon.jit
def share_earlier(das, dn, a, of_outputs, v, dilation, outputs, inside, SHARED: gl.constexpr):
    """Puts the gradients of the outputs that the first step at ``v`` needs of earlier ones where
    its products find them."""
    KEPT: gl.constexpr = das.shape[0]
    C: gl.constexpr = das.shape[2]
    for j in gl.static_range(1, KEPT - 1):
        at = v - j * dilation
        rows = load_rows(dn, at, outputs, inside, C, GROUPS)
        before = load_rows(a, at, outputs, inside, C, GROUPS)
        da = output_gradient(rows, before, of_outputs, at, outputs, inside, SHARED)
        das.index(KEPT - j).store(da)


@gluon.jit
def share_inputs(inputs, read, of_inputs, t, SHARED: gl.constexpr):
    """Puts the rows ``read`` of each phase where the products of step ``t`` find them, as the
    convolution read them: what ``of_activation`` says, or None, was done to them."""
    S: gl.constexpr = inputs.shape[0] // 2
    vector: gl.constexpr = gl.SliceLayout(0, read[0].type.layout)
    for phase in gl.static_range(S):
        tile = read[phase]
        if of_inputs is not None:
            by, to = taken(of_inputs[0], vector, SHARED), taken(of_inputs[1], vector, SHARED)
            tile = activated(tile, by, to, True)
        inputs.index(t % 2 * S + phase).store(tile)


@gluon.jit
def through_relu(back, rows, of_inputs, there, SHARED: gl.constexpr):
    """The gradient ``back`` (M, C) of what a convolution read becomes that of the argument of the
    ReLU before it, which made it of ``rows``. Also those less their mean."""
    vector: gl.constexpr = gl.SliceLayout(0, rows.type.layout)
    argument = rows.to(gl.float32)
    off = argument - taken(of_inputs[2], vector, SHARED)[None, :]
    by, to = taken(of_inputs[0], vector, SHARED), taken(of_inputs[1], vector, SHARED)
    argument = argument * by[None, :] + to[None, :]
    if len(of_inputs) > 3:
        back *= taken(of_inputs[3], vector, SHARED)[None, :]
    return gl.where((argument > 0) & there[:, None], back, 0.0), off


@gluon.jit
def residual_at(u, tap, outputs, inside, STRIDE: gl.constexpr):
    """The outputs j for which input u is ``tap + STRIDE j``, and where there is one."""
    at = (u - tap) // STRIDE
    return at, inside & (u >= tap) & (at < outputs) & ((u - tap) % STRIDE == 0)


@gluon.jit
def residual_rows(
    dy, y, v, tap, outputs, inside, S: gl.constexpr, C: gl.constexpr, STRIDE: gl.constexpr
):
    """``dy`` and ``y`` of the outputs that the inputs of each phase at ``v`` were added to; nothing
    where there is no ``dy``."""
    given = ()
    if dy is not None:
        for phase in gl.static_range(S):
            at, known = residual_at(v * S + phase, tap, outputs, inside, STRIDE)
            of_y = load_rows(y, at, outputs, known, C, GROUPS)
            given = given + (load_rows(dy, at, outputs, known, C, GROUPS), of_y)
    return given


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
def no_gradients(K: gl.constexpr, C: gl.constexpr):
    """Zeros (C in, C out) for each of K taps."""
    dws = ()
    for _m in gl.static_range(K):
        dws = dws + (gl.zeros((C, C), gl.float32, layout=result_layout(C, C, GROUPS)),)
    return dws


@gluon.jit
def store_gradients(
    dx,
    totals,
    now,
    given,
    of_inputs,
    sums,
    products,
    v,
    length,
    inside,
    SHARED: gl.constexpr,
):
    """Stores the gradients of the inputs of each phase at ``v``: ``totals`` came through the
    convolution, ``given`` (``residual_rows``) past it. ``sums`` and ``products`` with
    their share added."""
    S: gl.constexpr = len(now)
    C: gl.constexpr = sums.shape[2]
    dtype: gl.constexpr = dx.dtype.element_ty
    for phase in gl.static_range(S):
        u = v * S + phase
        there = inside & (u < length)
        back = as_channels(totals[phase], GROUPS)
        if of_inputs is not None:
            back, off = through_relu(back, now[phase], of_inputs, there, SHARED)
            sums += sums_of_threads(back)
            products += sums_of_threads(back * off)
        if len(given) > 0:
            positive = given[2 * phase + 1].to(gl.float32) > 0
            back += gl.where(positive, given[2 * phase].to(gl.float32), 0.0)
        gl.store(pointers_to(dx, u, C, C, GROUPS), back.to(dtype), mask=there[:, None])
    return sums, products


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
    dn, a = dn + n * outputs * C, a + n * outputs * C
    x, dx = x + n * length * C, dx + n * length * C
    if RESIDUAL:
        dy, y = dy + n * residual_outputs * C, y + n * residual_outputs * C

    taps = share_taps(w, J * S, C, 4 * GROUPS, OUT=True)
    shared: gl.constexpr = gl.NVMMASharedLayout.get_default_for([M, C], dtype)
    das = gl.allocate_shared_memory(dtype, [KEPT, M, C], shared)
    inputs = gl.allocate_shared_memory(dtype, [2 * S, M, C], shared)
    of_outputs, of_inputs = None, None
    if BATCH_NORM:
        of_outputs = of_channels(p, q, r, C, SHARED, VECTOR)
    if NORMALISE:
        of_inputs = of_activation(
            scale, shift, mean, masks, n, channels, C, HALVES, DROPOUT, SHARED, VECTOR
        )
    v = first_output(row, dilation, steps)
    share_earlier(das, dn, a, of_outputs, v, dilation, outputs, inside, SHARED)
    dws = no_gradients(K, C)
    sums = sums_of_threads(gl.zeros((M, C), gl.float32, layout=LAYOUT))
    products = sums
    read = rows_at(dn, a, x, v, outputs, length, inside, S, C)
    for t in range(0, steps):
        da = output_gradient(read[0], read[1], of_outputs, v, outputs, inside, SHARED)
        das.index(t % KEPT).store(da)
        now = read[2:]
        share_inputs(inputs, now, of_inputs, t, SHARED)
        more = inside & (t < steps - 1)
        read = rows_at(dn, a, x, v + dilation, outputs, length, more, S, C)
        given = residual_rows(dy, y, v, tap, residual_outputs, inside, S, C, RESIDUAL_STRIDE)
        fence_async_shared()
        barrier()
        done = multiplied(das, inputs, taps, dws, t, K, S)
        dws = done[S:]
        sums, products = store_gradients(
            dx, done, now, given, of_inputs, sums, products, v, length, inside, SHARED
        )
        v += dilation
    if NORMALISE:
        store_sums(statistics, sums, products, inverse, VECTOR)
    store_parts(partial, dws, K)
