"""What is done to TILE channels of a position at once, for compiled loops that pass zeros by.

Behind a ReLU most channels are 0. So beside the values of a row stands which of
its channels count, a bit each, TILE channels to a word, and products go from bit to bit: a row of
weights for each. That is written in LLVM's own terms, as vectors of TILE floats that the compiler
cuts into the processor's: of loops over arrays it cannot know whether these overlap, and keeps no
sums in registers. All functions take addresses of TILE floats, as integers, for use within numba.
"""

from __future__ import annotations

import numba
import torch
import torch.nn.functional as F
from llvmlite import ir
from numba.core import cgutils
from numba.extending import intrinsic

from ..base.jit import jit as plain_jit

TILE = 64  # channels
FLOAT = 4  # bytes
TILE_BYTES = FLOAT * TILE
BITS, ADDRESS = numba.types.uint64, numba.types.intp
VECTOR = ir.VectorType(ir.FloatType(), TILE)
ZERO = ir.Constant(VECTOR, None)


def jit(function):
    """As :func:`tcnfast.base.jit.jit`, with products fused into sums, which decides the speed
    here."""
    return plain_jit(function, fastmath={"contract"})


def whole_tiles(rows: torch.Tensor) -> torch.Tensor:
    """(..., C) -> (..., C'): zeros up to a whole number of tiles."""
    return F.pad(rows, (0, -rows.shape[-1] % TILE))


def weight_rows(weight: torch.Tensor) -> torch.Tensor:
    """(C, C_in, k) -> (k, C'_in, C'): what a channel adds is a row."""
    rows = whole_tiles(weight.permute(2, 1, 0))
    return F.pad(rows, (0, 0, 0, -rows.shape[1] % TILE))


@jit
def clear(begin, end):
    """Write zeros from one address to another."""
    for at in range(begin, end, TILE_BYTES):
        zero(at)


@intrinsic
def zero(typing_context, to):
    """Write zeros."""

    def code(context, builder, signature, arguments):
        _store(builder, ZERO, *arguments)
        return context.get_dummy_value()

    return numba.types.void(ADDRESS), code


@intrinsic
def copy(typing_context, to, start):
    """Write what is at ``start``."""

    def code(context, builder, signature, arguments):
        _store(builder, _load(builder, arguments[1]), arguments[0])
        return context.get_dummy_value()

    return numba.types.void(ADDRESS, ADDRESS), code


@intrinsic
def between(typing_context, to, start, step, place):
    """Write ``start + place * step``, ``place`` a float32."""

    def code(context, builder, signature, arguments):
        to, start, step, place = arguments
        way = builder.fmul(_spread(builder, place), _load(builder, step), flags=("contract",))
        _store(builder, builder.fadd(_load(builder, start), way, flags=("contract",)), to)
        return context.get_dummy_value()

    return numba.types.void(ADDRESS, ADDRESS, ADDRESS, numba.types.float32), code


@intrinsic
def relu(typing_context, to):
    """ReLU in place; returns what is not 0 behind it."""

    def code(context, builder, signature, arguments):
        return _store_moved(builder, *arguments, _positive(builder, _load(builder, *arguments)))

    return BITS(ADDRESS), code


@intrinsic
def relu_of_sum(typing_context, to, skip):
    """``relu(relu(to) + skip)`` in place; returns where ``to`` was not 0 behind its ReLU."""

    def code(context, builder, signature, arguments):
        to, skip = arguments
        inner = _positive(builder, _load(builder, to))
        _store(builder, _positive(builder, builder.fadd(inner, _load(builder, skip))), to)
        return _bits(builder, inner)

    return BITS(ADDRESS, ADDRESS), code


@intrinsic
def keep(typing_context, to, values, bits):
    """Write the values whose bits are set, and 0 for the others."""

    def code(context, builder, signature, arguments):
        to, values, bits = arguments
        _store(builder, _where(builder, bits, _load(builder, values)), to)
        return context.get_dummy_value()

    return numba.types.void(ADDRESS, ADDRESS, BITS), code


@intrinsic
def add_kept(typing_context, to, values, bits):
    """Add the values whose bits are set."""

    def code(context, builder, signature, arguments):
        to, values, bits = arguments
        kept = _where(builder, bits, _load(builder, values))
        _store(builder, builder.fadd(_load(builder, to), kept), to)
        return context.get_dummy_value()

    return numba.types.void(ADDRESS, ADDRESS, BITS), code


@intrinsic
def add(typing_context, to, values, moved, weights, stride):
    """Add rows of ``weights``, ``stride`` bytes apart, times their ``values`` to the row at ``to``:
    those whose bits are set in ``moved``. The sums stay in registers. There are two, because each
    addition to a single one would wait for the one before."""
    return numba.types.void(ADDRESS, ADDRESS, BITS, ADDRESS, ADDRESS), _add_code


def _add_code(context, builder, signature, arguments):
    to, values, moved, weights, stride = arguments
    one, none = ir.Constant(moved.type, 1), ir.Constant(moved.type, 0)
    left = cgutils.alloca_once_value(builder, moved)
    sums = [cgutils.alloca_once_value(builder, start) for start in (_load(builder, to), ZERO)]

    def lowest_taken(bits):
        return builder.and_(bits, builder.sub(bits, one))

    def add_lowest(bits, total):
        channel = builder.cttz(bits, ir.Constant(ir.IntType(1), 1))
        at = builder.add(values, builder.mul(channel, ir.Constant(moved.type, FLOAT)))
        value = builder.load(builder.inttoptr(at, ir.FloatType().as_pointer()), align=FLOAT)
        spread = _spread(builder, value)
        row = _load(builder, builder.add(weights, builder.mul(channel, stride)))
        product = builder.fmul(spread, row, flags=("contract",))
        builder.store(builder.fadd(builder.load(total), product, flags=("contract",)), total)

    pairs = builder.lshr(builder.ctpop(moved), one)
    with cgutils.for_range(builder, pairs):
        bits = builder.load(left)
        rest = lowest_taken(bits)
        add_lowest(bits, sums[0])
        add_lowest(rest, sums[1])
        builder.store(lowest_taken(rest), left)
    bits = builder.load(left)
    with builder.if_then(builder.icmp_unsigned("!=", bits, none)):
        add_lowest(bits, sums[0])
    total = builder.fadd(*(builder.load(part) for part in sums))
    _store(builder, total, to)
    return context.get_dummy_value()


def _load(builder, address):
    return builder.load(builder.inttoptr(address, VECTOR.as_pointer()), align=FLOAT)


def _store(builder, value, address):
    builder.store(value, builder.inttoptr(address, VECTOR.as_pointer()), align=FLOAT)


def _store_moved(builder, address, value):
    """Store a vector; which of its numbers are not 0, a bit each."""
    _store(builder, value, address)
    return _bits(builder, value)


def _bits(builder, value):
    return builder.bitcast(builder.fcmp_unordered("!=", value, ZERO), ir.IntType(TILE))


def _where(builder, bits, value):
    lanes = builder.bitcast(bits, ir.VectorType(ir.IntType(1), TILE))
    return builder.select(lanes, value, ZERO)


def _spread(builder, value):
    """A number in every lane."""
    one = builder.insert_element(
        ir.Constant(VECTOR, ir.Undefined), value, ir.Constant(ir.IntType(32), 0)
    )
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), TILE), [0] * TILE)
    return builder.shuffle_vector(one, one, lanes)


def _positive(builder, value):
    """ReLU, as PyTorch's: NaN stays NaN."""
    return builder.select(builder.fcmp_ordered(">", ZERO, value), ZERO, value)
