"""The compiled loops of :mod:`tcnfast.engines.cone`: substitutions through a stack, as differences.

Position t of substitution i, of which positions [low, high) may have moved, is row
``slots * i + t - low`` of a buffer, and holds differences. Beside it stands which of its channels
moved: a bit each, TILE channels to a word. Products go from bit to bit.
"""

from __future__ import annotations

import numpy as np

from .cone_tiles import (
    FLOAT,
    TILE,
    TILE_BYTES,
    add,
    clear,
    jit,
    let_through,
    let_through_block,
    subtract,
)
from .geometry import DILATION, FROM1, FROM2, REACH1, REACH2, ROWS1, ROWS2, STRIDE, TAP


@jit
def score(
    codes, window, place, base, table, code_residual, weights1, weights2, geometry, first, second,
    shortcut, slots, lowest, features,
):  # fmt: skip
    """Fill ``lowest`` int64 (m,) and ``features`` float32 (m, reached, C): differences of the rows
    of the last block from ``lowest`` on; see :class:`tcnfast.engines.cone.Cone` for the rest."""
    m, width, channels = len(window), table.shape[2], features.shape[2]
    x, h, y = _rows(m * slots, width), _rows(m * slots, width), _rows(m * slots, width)
    low, high = place.copy(), place + 1
    for i in range(m):
        _difference(x, i * slots, code_residual, base[i], codes[window[i], place[i]])
    for block in range(len(geometry)):
        g = geometry[block]
        low_h, high_h = np.maximum(0, low - g[REACH1]), np.minimum(g[ROWS1], high)
        low_y = np.maximum(0, -((g[REACH2] - low_h) // g[STRIDE]))
        high_y = np.minimum(g[ROWS2], (high_h - 1) // g[STRIDE] + 1)
        if block == 0:
            _read(h, slots, low_h, high_h, place, base, codes, window, table)
        else:
            _convolve(h[0], low_h, high_h, x, low, high, slots, 1, g[DILATION], weights1[block])
        _relu(h, slots, low_h, high_h, first, window, g[FROM1])
        _convolve(
            y[0], low_y, high_y, h, low_h, high_h, slots, g[STRIDE], g[DILATION], weights2[block]
        )
        _join(y, low_y, high_y, x[0], low, high, slots, second, shortcut, window, g)
        low, high = low_y, high_y
        x, y = y, x
    lowest[:] = low
    features[:] = 0
    for i in range(m):
        for t in range(high[i] - low[i]):
            features[i, t] = x[0][i * slots + t, :channels]


@jit
def _rows(rows, width):
    """Differences, and which of them are not 0; all that is read is written first."""
    return np.empty((rows, width), np.float32), np.empty((rows, width // TILE), np.uint64)


@jit
def _difference(rows, row, table, new, old):
    """A row of ``table`` (rows, width) gives way to another."""
    values, moved = rows
    width = values.shape[1]
    to, start = values.ctypes.data + FLOAT * row * width, table.ctypes.data
    for tile in range(width // TILE):
        at = start + tile * TILE_BYTES
        moved[row, tile] = subtract(
            to + tile * TILE_BYTES, at + FLOAT * new * width, at + FLOAT * old * width
        )


@jit
def _read(h, slots, low, high, place, base, codes, window, table):
    """The first convolution: a column of its weights gives way to another."""
    for i in range(len(place)):
        old = codes[window[i], place[i]]
        for t in range(low[i], high[i]):
            _difference(h, i * slots + t - low[i], table[place[i] - t], base[i], old)


@jit
def _convolve(out, low_out, high_out, rows, low, high, slots, stride, dilation, weights):
    """Any other convolution; tap by tap, because the weights of one stay in the nearest cache."""
    values, moved = rows
    width, tiles = values.shape[1], moved.shape[1]
    row_bytes, panel = FLOAT * width, TILE * FLOAT * width
    from_values, to_out, from_weights = values.ctypes.data, out.ctypes.data, weights.ctypes.data
    for i in range(len(low)):
        first = to_out + row_bytes * i * slots
        clear(first, first + row_bytes * (high_out[i] - low_out[i]))
    for tap in range(len(weights)):
        ahead, kernel = tap * dilation, from_weights + tap * width * row_bytes
        for i in range(len(low)):
            begin = max(low_out[i], -((ahead - low[i]) // stride))
            end = min(high_out[i], (high[i] - 1 - ahead) // stride + 1)
            for to in range(begin, end):
                row = i * slots + to * stride + ahead - low[i]
                source = from_values + row_bytes * row
                target = to_out + row_bytes * (i * slots + to - low_out[i])
                for part in range(tiles):
                    bits = moved[row, part]
                    if bits:
                        for tile in range(tiles):
                            add(
                                target + tile * TILE_BYTES, source + part * TILE_BYTES, bits,
                                kernel + part * panel + tile * TILE_BYTES, row_bytes,
                            )  # fmt: skip


@jit
def _relu(h, slots, low, high, first, window, at):
    """From what a convolution moved to what its ReLU lets through."""
    values, moved = h
    stood, length, row_bytes = first.ctypes.data, first.shape[1], FLOAT * values.shape[1]
    for i in range(len(low)):
        here = stood + row_bytes * (window[i] * length + at + low[i])
        to = values.ctypes.data + row_bytes * i * slots
        for t in range(high[i] - low[i]):
            for tile in range(moved.shape[1]):
                ahead = t * row_bytes + tile * TILE_BYTES
                moved[i * slots + t, tile] = let_through(to + ahead, here + ahead)


@jit
def _join(y, low_y, high_y, x, low, high, slots, second, shortcut, window, g):
    """The same at the end of a block, where ``x``, what the block took, is added."""
    values, moved = y
    row_bytes, length = FLOAT * values.shape[1], second.shape[1]
    none = np.zeros(values.shape[1], np.float32)
    for i in range(len(low)):
        for t in range(low_y[i], high_y[i]):
            source, row = t * g[STRIDE] + g[TAP], i * slots + t - low_y[i]
            stood = row_bytes * (window[i] * length + g[FROM2] + t)
            skip = none.ctypes.data
            if low[i] <= source < high[i]:
                skip = x.ctypes.data + row_bytes * (i * slots + source - low[i])
            for tile in range(moved.shape[1]):
                ahead = tile * TILE_BYTES
                moved[row, tile] = let_through_block(
                    values.ctypes.data + row_bytes * row + ahead, skip + ahead,
                    second.ctypes.data + stood + ahead, shortcut.ctypes.data + stood + ahead,
                )  # fmt: skip
