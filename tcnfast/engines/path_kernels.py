"""The compiled loops of :mod:`tcnfast.engines.path`: a stack forward and back, zeros passed by.

Rows are float32 (positions, C'), C' whole tiles of channels; ``on`` says of them what is above 0, a
bit each (:mod:`tcnfast.engines.path_tiles`). Forward, a channel that is 0 multiplies nothing.
Backward,
a gradient stops at every ReLU that gave 0, and rows in which nothing is asked for are not computed.
"""

from __future__ import annotations

import numpy as np

from .geometry import DILATION, FROM1, FROM2, ROWS1, ROWS2, STRIDE, TAP
from .path_tiles import (
    FLOAT,
    TILE,
    TILE_BYTES,
    add,
    add_kept,
    between,
    clear,
    copy,
    jit,
    keep,
    relu,
    relu_of_sum,
)

SPAN = 32  # positions that a tap is taken at before the next one: they stay in the nearest cache


@jit
def follow(read, skip, place, dfeatures, forth, back, geometry, gradients):
    """Add to ``gradients`` (K, rows, C'), a pair, those of what the first block reads.

    ``read``, ``skip``: rows at the start of a line, of the first convolution and of what the block
    adds, each with what the line adds to them; ``place`` float32 (points,) on it; ``dfeatures``
    (points, K, C'): gradients of the last block's one row; ``forth``: weights and biases of first
    and second convolutions; ``back``: their transposed weights. See
    :class:`tcnfast.engines.path.Path`."""
    width = read[0].shape[1]
    top = geometry[-1]
    inner, outer = top[FROM1] + top[ROWS1], top[FROM2] + top[ROWS2]
    h, y = np.empty((len(read[0]), width), np.float32), np.empty((outer, width), np.float32)
    dh, added = np.empty_like(h), np.empty_like(skip[0])
    da, dy, dx = np.empty_like(added), np.empty_like(added), np.empty_like(added)
    on = _bits(inner, width), _bits(outer, width), _bits(outer, width)  # inner, branch, outer
    for point in range(len(place)):
        _between(h, read[0], read[1], place[point])
        _between(added, skip[0], skip[1], place[point])
        _forward(h, y, added, forth, geometry, on)
        for label in range(dfeatures.shape[1]):
            dy[0] = dfeatures[point, label]
            found = gradients[0][label], gradients[1][label]
            _backward(dy, dx, da, dh, back, geometry, on, found)


@jit
def _forward(h, y, added, forth, geometry, on):
    """Rows of every block's output in ``y``, and what is on; ``h`` comes with what the first
    convolution gives, ``added`` is what its block adds."""
    weights1, biases1, weights2, biases2 = forth
    inner_on, branch_on, outer_on = on
    for block in range(len(geometry)):
        g = geometry[block]
        inside = slice(g[FROM1], g[FROM1] + g[ROWS1])
        outside = slice(g[FROM2], g[FROM2] + g[ROWS2])
        x, tap, stride = added, 0, 1
        if block:
            below = geometry[block - 1]
            source = slice(below[FROM2], below[FROM2] + below[ROWS2])
            x, tap, stride = y[source], g[TAP], g[STRIDE]
            _fill(h, g[ROWS1], biases1[block])
            _pull(h, g[ROWS1], x, outer_on[source], 1, g[DILATION], weights1[block])
        _relu(h, g[ROWS1], inner_on[inside])
        _fill(y[outside], g[ROWS2], biases2[block])
        _pull(y[outside], g[ROWS2], h, inner_on[inside], g[STRIDE], g[DILATION], weights2[block])
        _join(y[outside], x, tap, stride, branch_on[outside], outer_on[outside])


@jit
def _backward(dy, dx, da, dh, back, geometry, on, found):
    """From the gradient of the last row, in ``dy``, to what is added to ``found``."""
    (back1, back2), (dread, dskip) = back, found
    inner_on, branch_on, outer_on = on
    row_bytes = FLOAT * dh.shape[1]
    for block in range(len(geometry) - 1, -1, -1):
        g = geometry[block]
        inside = slice(g[FROM1], g[FROM1] + g[ROWS1])
        outside = slice(g[FROM2], g[FROM2] + g[ROWS2])
        _keep(da, dy, branch_on[outside])
        clear(dh.ctypes.data, dh.ctypes.data + row_bytes * g[ROWS1])
        _push(dh, inner_on[inside], da, branch_on[outside], g[STRIDE], g[DILATION], back2[block])
        if block == 0:
            _add_kept(dread, dh, inner_on[inside], 0, 1)
            _add_kept(dskip, dy, outer_on[outside], 0, 1)
        else:
            below = geometry[block - 1]
            source = slice(below[FROM2], below[FROM2] + below[ROWS2])
            _keep(dh, dh, inner_on[inside])
            clear(dx.ctypes.data, dx.ctypes.data + row_bytes * below[ROWS2])
            _add_kept(dx, dy, outer_on[outside], g[TAP], g[STRIDE])
            _push(dx, outer_on[source], dh, inner_on[inside], 1, g[DILATION], back1[block])
            dx, dy = dy, dx


@jit
def _bits(rows, width):
    return np.empty((rows, width // TILE), np.uint64)


@jit
def _between(to, start, step, place):
    at, start_at, step_at = to.ctypes.data, start.ctypes.data, step.ctypes.data
    for ahead in range(0, FLOAT * to.size, TILE_BYTES):
        between(at + ahead, start_at + ahead, step_at + ahead, place)


@jit
def _fill(to, rows, bias):
    row_bytes = FLOAT * to.shape[1]
    for t in range(rows):
        for ahead in range(0, row_bytes, TILE_BYTES):
            copy(to.ctypes.data + t * row_bytes + ahead, bias.ctypes.data + ahead)


@jit
def _relu(rows, count, on):
    row_bytes = FLOAT * rows.shape[1]
    for t in range(count):
        for tile in range(on.shape[1]):
            on[t, tile] = relu(rows.ctypes.data + t * row_bytes + tile * TILE_BYTES)


@jit
def _join(rows, x, tap, stride, branch_on, on):
    """The end of a block, which adds row ``tap + t * stride`` of ``x`` to its row t."""
    row_bytes = FLOAT * rows.shape[1]
    for t in range(len(rows)):
        to = rows.ctypes.data + t * row_bytes
        source = x.ctypes.data + (tap + t * stride) * row_bytes
        for tile in range(on.shape[1]):
            at = to + tile * TILE_BYTES
            inner = relu_of_sum(at, source + tile * TILE_BYTES)
            on[t, tile] = relu(at)
            branch_on[t, tile] = inner & on[t, tile]


@jit
def _pull(to, count, rows, on, stride, dilation, weights):
    """A convolution, added to what stands in ``to``."""
    tiles = on.shape[1]
    for begin in range(0, count, SPAN):
        for tap in range(len(weights)):
            for t in range(begin, min(begin + SPAN, count)):
                row = t * stride + tap * dilation
                for part in range(tiles):
                    if on[row, part]:
                        _add(to, t, rows, row, part, on[row, part], weights, tap)


@jit
def _push(to, wanted, rows, on, stride, dilation, weights):
    """Its gradient: what ``rows`` have, added to what they were made from, where it is wanted."""
    for begin in range(0, len(on), SPAN):
        for tap in range(len(weights)):
            for t in range(begin, min(begin + SPAN, len(on))):
                target = t * stride + tap * dilation
                asked = False
                for part in range(on.shape[1]):
                    asked |= wanted[target, part] != 0
                if asked:
                    for part in range(on.shape[1]):
                        if on[t, part]:
                            _add(to, target, rows, t, part, on[t, part], weights, tap)


@jit
def _add(to, target, rows, row, part, bits, weights, tap):
    """The product of a tile of ``row`` with a tap, added to a whole row."""
    width = to.shape[1]
    row_bytes = FLOAT * width
    out = to.ctypes.data + target * row_bytes
    source = rows.ctypes.data + row * row_bytes + part * TILE_BYTES
    kernel = weights.ctypes.data + (tap * width + part * TILE) * row_bytes
    for ahead in range(0, row_bytes, TILE_BYTES):
        add(out + ahead, source, bits, kernel + ahead, row_bytes)


@jit
def _keep(to, rows, on):
    row_bytes = FLOAT * to.shape[1]
    for t in range(len(on)):
        for tile in range(on.shape[1]):
            ahead = t * row_bytes + tile * TILE_BYTES
            keep(to.ctypes.data + ahead, rows.ctypes.data + ahead, on[t, tile])


@jit
def _add_kept(to, rows, on, tap, stride):
    """What is on in row t, added to row ``tap + t * stride`` of ``to``."""
    row_bytes = FLOAT * to.shape[1]
    for t in range(len(on)):
        for tile in range(on.shape[1]):
            if on[t, tile]:
                add_kept(
                    to.ctypes.data + (tap + t * stride) * row_bytes + tile * TILE_BYTES,
                    rows.ctypes.data + t * row_bytes + tile * TILE_BYTES,
                    on[t, tile],
                )
