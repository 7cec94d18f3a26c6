"""What the kernels for chips with wgmma share: tiles of rows that stay in registers, where the
matrix instruction takes them, so that nothing but weights and biases lies in shared memory.

A tile is 64 rows of a warp group; or two share its columns. The instruction wants columns 2 q,
2 q + 1 of every eight in thread q of a row's four, both of its left operand and of its result. So
columns are counted anew: thread q loads, and stores, runs of up to eight channels that lie
together, and takes these for its columns. ``triton_layout.columns`` says which channel a column is;
weights come in that order.
"""

from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.hopper import (
    fence_async_shared,
    warpgroup_mma,
    warpgroup_mma_wait,
)

from . import tiles

RUN = 8  # channels that a thread loads at once: 16 bytes

# of all threads of a program; Triton 3.6 has another name for it
barrier = getattr(gl, "barrier", None) or gl.thread_barrier
relu = gluon.jit(tiles.relu.fn)
first_output = gluon.jit(tiles.first_output.fn)


@gluon.constexpr_function
def run_of(channels):
    """Channels that lie together in a thread."""
    return min(RUN, channels // 4)


@gluon.constexpr_function
def runs_layout(channels, rows=64, groups=1):
    """Of a tile (rows, channels) as it is loaded and stored: a thread holds runs of two rows.
    ``groups`` of warps share the channels, and as many as are needed the rows."""
    run, own = run_of(channels // groups), channels // groups
    within = [[0, 1 << i] for i in range(run.bit_length() - 1)]
    across = [[0, 4 * run << i] for i in range((own // (4 * run)).bit_length() - 1)]
    lanes = [[0, run], [0, 2 * run], [1, 0], [2, 0], [4, 0]]
    warps = [[16 << i, 0] for i in range((rows // 16).bit_length() - 1)]
    warps += [[0, own << i] for i in range(groups.bit_length() - 1)]
    return gl.DistributedLinearLayout(
        within + across + [[8, 0]], lanes, warps, [], [rows, channels]
    )


@gluon.constexpr_function
def result_layout(channels, rows=64, groups=1):
    """Of what the matrix instruction gives."""
    return gl.NVMMADistributedLayout([3, 0], [rows // 16, groups], [16, channels // groups, 16])


@gluon.constexpr_function
def operand_layout(channels):
    """Of its left operand."""
    return gl.DotOperandLayout(0, result_layout(channels), 2)


@gluon.jit
def rows_of_program(rows, M: gl.constexpr, LAYOUT: gl.constexpr):
    """``tiles.rows_of_program``, for a tile of LAYOUT."""
    programs = (rows + M - 1) // M
    row = gl.program_id(0) % programs * M + gl.arange(0, M, layout=gl.SliceLayout(1, LAYOUT))
    return row, (gl.program_id(0) // programs).to(gl.int64)


@gluon.jit
def as_columns(tile):
    """The channels of a tile, in ``runs_layout``, counted as columns. No number moves."""
    C: gl.constexpr = tile.shape[1]
    RUN_OF: gl.constexpr = run_of(C)
    parts = tile.reshape(64, C // (4 * RUN_OF), 4, RUN_OF // 2, 2).permute(0, 1, 3, 2, 4)
    return gl.convert_layout(parts.reshape(64, C), operand_layout(C), assert_trivial=True)


@gluon.jit
def as_channels(tile, GROUPS: gl.constexpr = 1):
    """The way back, from ``result_layout``."""
    M: gl.constexpr = tile.shape[0]
    C: gl.constexpr = tile.shape[1]
    RUN_OF: gl.constexpr = run_of(C // GROUPS)
    parts = tile.reshape(M, C // (4 * RUN_OF), RUN_OF // 2, 4, 2).permute(0, 1, 3, 2, 4)
    layout: gl.constexpr = runs_layout(C, M, GROUPS)
    return gl.convert_layout(parts.reshape(M, C), layout, assert_trivial=True)


@gluon.jit
def channel_of(column, C: gl.constexpr):
    """The channel of each column, as ``triton_layout.columns`` has it."""
    RUN_OF: gl.constexpr = run_of(C)
    run = column // (4 * RUN_OF) * 4 + column // 2 % 4
    return run * RUN_OF + column // 8 % (RUN_OF // 2) * 2 + column % 2


@gluon.jit
def as_operand(tile):
    """A result as the next left operand."""
    C: gl.constexpr = tile.shape[1]
    return gl.convert_layout(tile, operand_layout(C), assert_trivial=True)


@gluon.jit
def as_result(tile):
    """A left operand as a result."""
    C: gl.constexpr = tile.shape[1]
    return gl.convert_layout(tile, result_layout(C), assert_trivial=True)


@gluon.jit
def pointers_to(x, at, WIDTH: gl.constexpr, C: gl.constexpr, GROUPS: gl.constexpr = 1):
    """Of C channels of rows WIDTH wide at positions ``at``, for ``runs_layout``."""
    M: gl.constexpr = at.shape[0]
    columns = gl.arange(0, C, layout=gl.SliceLayout(0, runs_layout(C, M, GROUPS)))
    return x + at[:, None] * WIDTH + columns[None, :]


@gluon.jit
def load_rows(x, at, length, inside, C: gl.constexpr, GROUPS: gl.constexpr = 1):
    """Tile (M, C) of ``x`` (length, C) at positions ``at`` (M,) int64; zeros outside."""
    inside = inside & (at >= 0) & (at < length)
    return gl.load(pointers_to(x, at, C, C, GROUPS), mask=inside[:, None], other=0.0)


@gluon.jit
def store_rows(y, at, length, inside, tile, C: gl.constexpr):
    """Store the result ``tile`` in ``y`` (length, C) at positions ``at`` that are ``inside``."""
    inside = inside & (at < length)
    channels = as_channels(tile.to(y.dtype.element_ty))
    gl.store(pointers_to(y, at, C, C), channels, mask=inside[:, None])


@gluon.jit
def share_taps(
    w,
    K: gl.constexpr,
    C: gl.constexpr,
    WARPS: gl.constexpr = 4,
    IN: gl.constexpr = False,
    OUT: gl.constexpr = False,
):
    """The matrices of ``w`` (K, C, C) in shared memory, one a tap. IN, OUT: rows and columns of
    ``w`` are channels, and are counted as columns."""
    dtype: gl.constexpr = w.dtype.element_ty
    from_memory: gl.constexpr = gl.BlockedLayout([1, 8], [256 // C, C // 8], [WARPS, 1], [1, 0])
    i = gl.arange(0, C, layout=gl.SliceLayout(1, from_memory))
    j = gl.arange(0, C, layout=gl.SliceLayout(0, from_memory))
    if IN:
        i = channel_of(i, C)
    if OUT:
        j = channel_of(j, C)
    layout: gl.constexpr = gl.NVMMASharedLayout.get_default_for([C, C], dtype)
    taps = gl.allocate_shared_memory(dtype, [K, C, C], layout)
    for m in gl.static_range(K):
        taps.index(m).store(gl.load(w + m * C * C + i[:, None] * C + j[None, :]))
    fence_async_shared()  # before the barrier behind which they are multiplied
    return taps


@gluon.jit
def share_bias(b, C: gl.constexpr):
    """A bias (C,) in shared memory, from where a step reads it: registers are too few."""
    at: gl.constexpr = gl.BlockedLayout([1], [32], [4], [0])
    layout: gl.constexpr = gl.SwizzledSharedLayout(1, 1, 1, [0])
    bias = gl.allocate_shared_memory(gl.float32, [C], layout)
    bias.store(gl.load(b + gl.arange(0, C, layout=at)))
    return bias


@gluon.jit
def bias_of(bias, C: gl.constexpr):
    """(1, C) beside results."""
    return bias.load(gl.SliceLayout(0, result_layout(C)))[None, :]


@gluon.jit
def products(tiles, taps, K: gl.constexpr):
    """The sum of ``tiles[m] @ taps[m]``, float32 (64, C), under way: all taps at a time."""
    C: gl.constexpr = tiles[0].shape[1]
    total = gl.zeros((64, C), gl.float32, layout=result_layout(C))
    for m in gl.static_range(K):
        total = warpgroup_mma(tiles[m], taps.index(m), total, use_acc=m > 0, is_async=True)
    return total


@gluon.jit
def convolve(tiles, taps, bias, K: gl.constexpr):
    """relu(bias + sum of ``tiles[m] @ taps[m]``), float32 (64, C), waited for once."""
    C: gl.constexpr = tiles[0].shape[1]
    total = products(tiles, taps, K)
    offset = bias_of(bias, C)
    total = warpgroup_mma_wait(0, deps=(total,))
    return relu(total + offset)
