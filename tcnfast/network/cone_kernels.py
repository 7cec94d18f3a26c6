"""The compiled loops of :mod:`tcnfast.network.cone`: substitutions through a stack, as differences.

Position t of substitution i, of which positions [low, high) may have moved, is row
``slots * i + t - low`` of a buffer, and holds differences. Beside it stands the list of the
channels that moved, filled up to an even number with a channel that is 0.
"""

from __future__ import annotations

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils
from numba.extending import intrinsic

TILE = 64  # channels that are summed at once; rows are padded to a multiple
# columns of the geometry of a block; all count positions of the grid they stand on
REACH1, REACH2, DILATION, STRIDE, TAP, ROWS1, ROWS2, FROM1, FROM2 = range(9)
ZERO = np.float32(0)
FLOAT, CHANNEL = 4, 2  # bytes


def _jit(function):
    """As :func:`tcnfast.jit.jit`, with products fused into sums, which decides the speed here."""
    return numba.njit(cache=True, nogil=True, fastmath={"contract"})(function)


@_jit
def score(
    codes, window, place, base, table, code_residual, weights1, weights2, geometry, first, second,
    shortcut, slots, lowest, features,
):  # fmt: skip
    """Fill ``lowest`` int64 (m,) and ``features`` float32 (m, reached, C): differences of the rows
    of the last block from ``lowest`` on; see :class:`tcnfast.network.cone.Cone` for the rest."""
    m, width = len(window), table.shape[2]
    rows, padded = m * slots, weights2.shape[3]
    x, h, y = _rows(rows, padded), _rows(rows, padded), _rows(rows, padded)
    low, high = place.copy(), place + 1
    for i in range(m):
        new, old = code_residual[base[i]], code_residual[codes[window[i], place[i]]]
        for c in range(width):
            x[0][i * slots, c] = new[c] - old[c]
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
            features[i, t] = x[0][i * slots + t, :width]


@_jit
def _rows(rows, width):
    """Differences, with a channel of 0 behind the others; which channels are not 0; how many."""
    return (
        np.zeros((rows, width + 1), np.float32),
        np.empty((rows, width + 1), np.uint16),
        np.empty(rows, np.int64),
    )


@_jit
def _read(h, slots, low, high, place, base, codes, window, table):
    """The first convolution: a column of its weights gives way to another."""
    for i in range(len(place)):
        new, old = base[i], codes[window[i], place[i]]
        for t in range(low[i], high[i]):
            row, tap = i * slots + t - low[i], place[i] - t
            for c in range(table.shape[2]):
                h[0][row, c] = table[tap, new, c] - table[tap, old, c]


@_jit
def _convolve(out, low_out, high_out, rows, low, high, slots, stride, dilation, weights):
    """Any other convolution; tap by tap, because the weights of one stay in the nearest cache."""
    values, moved, counts = rows
    padded, longer = weights.shape[2], values.shape[1]
    from_values, from_moved = values.ctypes.data, moved.ctypes.data
    to_out, from_weights = out.ctypes.data, weights.ctypes.data
    for i in range(len(low)):
        out[i * slots : i * slots + high_out[i] - low_out[i]] = 0
    for tap in range(len(weights)):
        kernel = from_weights + FLOAT * tap * weights.shape[1] * padded
        for i in range(len(low)):
            for t in range(low[i], high[i]):
                ahead, row = t - tap * dilation, i * slots + t - low[i]
                to = ahead // stride
                if counts[row] and ahead % stride == 0 and low_out[i] <= to < high_out[i]:
                    to_row = to_out + FLOAT * (i * slots + to - low_out[i]) * longer
                    for tile in range(0, FLOAT * padded, FLOAT * TILE):
                        _add(
                            to_row + tile, from_values + FLOAT * row * longer,
                            from_moved + CHANNEL * row * longer, counts[row], kernel + tile, padded,
                        )  # fmt: skip


@intrinsic
def _add(typing_context, to, values, moved, count, weights, stride):
    """Add to TILE floats at ``to`` the rows of ``weights``, ``stride`` floats long, that the first
    ``count`` (even) of ``moved`` name, times their ``values``; all of these are addresses.

    The sums stay in registers, which no loop over arrays gets a compiler to do that cannot know
    whether these overlap; two sums, because one would wait for itself.
    """
    address = numba.types.intp
    return numba.types.void(*[address] * 6), _add_code


def _add_code(context, builder, signature, arguments):
    to, values, moved, count, weights, stride = arguments
    number, vector = ir.FloatType(), ir.VectorType(ir.FloatType(), TILE)

    def load(kind, base, index, align):
        place = builder.add(base, builder.mul(index, ir.Constant(base.type, align)))
        return builder.load(builder.inttoptr(place, kind.as_pointer()), align=align)

    zero, two = (ir.Constant(count.type, n) for n in (0, 2))
    sums = [cgutils.alloca_once_value(builder, load(vector, to, zero, 4))]
    sums.append(cgutils.alloca_once_value(builder, ir.Constant(vector, None)))
    with cgutils.for_range_slice(builder, zero, count, two) as (k, _):
        for lane, total in enumerate(sums):
            index = builder.add(k, ir.Constant(k.type, lane))
            channel = builder.zext(load(ir.IntType(16), moved, index, 2), count.type)
            value = load(number, values, channel, 4)
            one = builder.insert_element(ir.Constant(vector, ir.Undefined), value, zero)
            lanes = ir.Constant(ir.VectorType(ir.IntType(32), TILE), [0] * TILE)
            spread = builder.shuffle_vector(one, one, lanes)
            row = load(vector, weights, builder.mul(channel, stride), 4)
            product = builder.fmul(spread, row, flags=("contract",))
            builder.store(builder.fadd(builder.load(total), product, flags=("contract",)), total)
    total = builder.fadd(*(builder.load(part) for part in sums))
    builder.store(total, builder.inttoptr(to, vector.as_pointer()), align=4)
    return context.get_dummy_value()


@_jit
def _relu(h, slots, low, high, first, window, at):
    """From what a convolution moved to what its ReLU lets through."""
    width = first.shape[2]
    for i in range(len(low)):
        w = window[i]
        for t in range(low[i], high[i]):
            row, stood = i * slots + t - low[i], at + t
            for c in range(width):
                here = first[w, stood, c]
                h[0][row, c] = max(here + h[0][row, c], ZERO) - max(here, ZERO)
            _list(h, row, width)


@_jit
def _join(y, low_y, high_y, x, low, high, slots, second, shortcut, window, g):
    """The same at the end of a block, where ``x``, what the block took, is added."""
    width = second.shape[2]
    none = np.zeros(width, np.float32)
    for i in range(len(low)):
        w = window[i]
        for t in range(low_y[i], high_y[i]):
            source, stood, row = t * g[STRIDE] + g[TAP], g[FROM2] + t, i * slots + t - low_y[i]
            skip = none
            if low[i] <= source < high[i]:
                skip = x[i * slots + source - low[i]]
            for c in range(width):
                here, added = second[w, stood, c], shortcut[w, stood, c]
                was = max(here, ZERO) + added
                now = max(here + y[0][row, c], ZERO) + (added + skip[c])
                y[0][row, c] = max(now, ZERO) - max(was, ZERO)
            _list(y, row, width)


@_jit
def _list(rows, row, channels):
    """List the channels of a row that moved."""
    values, moved, counts = rows
    n = 0
    for c in range(channels):
        moved[row, n] = c
        n += values[row, c] != 0
    moved[row, n] = values.shape[1] - 1
    counts[row] = n + n % 2
