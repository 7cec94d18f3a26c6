"""Instructions that compute: integers, floating-point numbers, logic and comparisons.

Each is a function (registers, instruction, mask), found by its name in ``OPERATIONS``.
"""

import numpy as np
from support.rounding import narrow, widen

from .program import SIGNED, UNSIGNED, Fault, bits_of

OPERATIONS = {}
FLOATS = ("f16", "f32", "bf16", "f16x2", "bf16x2", "f64")


def operation(*names):
    def register(function):
        OPERATIONS.update(dict.fromkeys(names, function))
        return function

    return register


def read_floats(registers, operand, type_):
    """Numbers of a floating-point type (lanes, threads): float32, or float64 of f64."""
    bits = registers.get(operand, bits_of(type_))
    if type_ == "f64":
        return bits.view(np.float64)[None]
    if type_ == "f32":
        return bits.view(np.float32)[None]
    parts = [bits & 0xFFFF, bits >> 16] if type_.endswith("x2") else [bits]
    parts = np.stack(parts).astype(np.uint16)
    return widen(parts) if type_.startswith("bf") else parts.view(np.float16).astype(np.float32)


def bits_of_floats(values, type_):
    """Numbers (lanes, threads) as the bits of a register (threads,)."""
    if type_ in ("f32", "f64"):
        return np.ascontiguousarray(values[0].astype(type_.replace("f", "float")))
    half = narrow if type_.startswith("bf") else _half
    parts = [half(lane).astype(np.uint32) for lane in values]
    return parts[0] | (parts[1] << np.uint32(16)) if len(parts) == 2 else parts[0]


def _half(x):
    return x.astype(np.float16).view(np.uint16)


def _float_operation(registers, i, mask, function):
    if i.type == "f32":  # by far the most
        values = function(*(registers.f32(operand) for operand in i.operands[1:]))
        registers.put(i.operands[0], np.asarray(values, np.float32), mask)
        return
    values = function(*(read_floats(registers, operand, i.type) for operand in i.operands[1:]))
    registers.put(i.operands[0], bits_of_floats(values, i.type), mask)


def _integers(registers, i, operands):
    bits = bits_of(i.type)
    read = registers.signed if i.type[0] == "s" else registers.get
    return [read(operand, bits) for operand in operands]


BINARY = {
    "add": (np.add, np.add),
    "sub": (np.subtract, np.subtract),
    "max": (np.maximum, np.fmax),
    "min": (np.minimum, np.fmin),
}


@operation(*BINARY)
def binary(registers, i, mask):
    integer, floating = BINARY[i.name]
    if i.type in FLOATS:
        # .NaN: NaN wins; without, the number does
        _float_operation(registers, i, mask, integer if "NaN" in i.modifiers else floating)
    else:
        a, b = _integers(registers, i, i.operands[1:])
        registers.put(i.operands[0], integer(a, b), mask)


def _wide(registers, i):
    """The whole product of two integers, of twice their bits."""
    bits = bits_of(i.type)
    kind = (SIGNED if i.type[0] == "s" else UNSIGNED)[2 * bits]
    a, b = _integers(registers, i, i.operands[1:3])
    return a.astype(kind) * b.astype(kind)


@operation("mul")
def mul(registers, i, mask):
    if i.type in FLOATS:
        _float_operation(registers, i, mask, np.multiply)
    elif "wide" in i.modifiers:
        registers.put(i.operands[0], _wide(registers, i), mask)
    elif "hi" in i.modifiers:
        bits = bits_of(i.type)
        if bits != 32:
            raise Fault(f"unknown instruction {i.text}")
        registers.put(i.operands[0], (_wide(registers, i) >> bits).astype(UNSIGNED[bits]), mask)
    else:
        registers.put(i.operands[0], np.multiply(*_integers(registers, i, i.operands[1:])), mask)


@operation("mad")
def mad(registers, i, mask):
    if "wide" in i.modifiers:
        product = _wide(registers, i)
        sum_ = product.view(UNSIGNED[64]) + registers.get(i.operands[3], 64)
        if bits_of(i.type) != 32:
            raise Fault(f"unknown instruction {i.text}")
    else:
        a, b, c = _integers(registers, i, i.operands[1:])
        sum_ = a * b + c
    registers.put(i.operands[0], sum_, mask)


@operation("fma")
def fma(registers, i, mask):
    """By way of float64, which holds the product and almost always rounds the sum alike."""

    def fused(a, b, c):
        return a.astype(np.float64) * b.astype(np.float64) + c.astype(np.float64)

    if i.type == "f64":
        raise Fault(f"unknown instruction {i.text}")
    if i.type in ("bf16", "bf16x2", "f16", "f16x2"):
        _float_operation(registers, i, mask, lambda *abc: fused(*abc).astype(np.float32))
    else:
        _float_operation(registers, i, mask, fused)


@operation("div")
def div(registers, i, mask):
    if i.type in FLOATS:
        _float_operation(registers, i, mask, np.divide)
        return
    a, b = _integers(registers, i, i.operands[1:])
    b = np.where(b == 0, b.dtype.type(1), b)  # what a GPU gives there is not said
    quotient = np.abs(a) // np.abs(b)
    registers.put(i.operands[0], np.where((a < 0) != (b < 0), -quotient, quotient), mask)


@operation("rem")
def rem(registers, i, mask):
    a, b = _integers(registers, i, i.operands[1:])
    registers.put(i.operands[0], np.fmod(a, np.where(b == 0, b.dtype.type(1), b)), mask)


UNARY = {
    "neg": np.negative,
    "abs": np.abs,
    "sqrt": np.sqrt,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "rcp": lambda x: 1 / x,
    "ex2": np.exp2,
    "lg2": np.log2,
}


@operation(*UNARY)
def unary(registers, i, mask):
    if i.type in FLOATS:
        _float_operation(registers, i, mask, UNARY[i.name])
    else:
        (a,) = (registers.signed(i.operands[1], bits_of(i.type)),)
        registers.put(i.operands[0], UNARY[i.name](a), mask)


LOGIC = {"and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor}


@operation(*LOGIC)
def logic(registers, i, mask):
    bits = bits_of(i.type)
    a, b = (registers.get(operand, bits) for operand in i.operands[1:])
    registers.put(i.operands[0], LOGIC[i.name](a, b), mask)


@operation("not")
def not_(registers, i, mask):
    registers.put(i.operands[0], ~registers.get(i.operands[1], bits_of(i.type)), mask)


@operation("shl")
def shl(registers, i, mask):
    bits = bits_of(i.type)
    by = registers.get(i.operands[2], 32)
    value = registers.get(i.operands[1], bits) << np.minimum(by, bits - 1).astype(UNSIGNED[bits])
    registers.put(i.operands[0], np.where(by >= bits, UNSIGNED[bits](0), value), mask)


@operation("shr")
def shr(registers, i, mask):
    bits, by = bits_of(i.type), registers.get(i.operands[2], 32)
    (value,) = _integers(registers, i, i.operands[1:2])
    shifted = value >> np.minimum(by, bits - 1).astype(value.dtype)
    if i.type[0] != "s":
        shifted = np.where(by >= bits, value.dtype.type(0), shifted)
    registers.put(i.operands[0], shifted, mask)


@operation("shf")
def shf(registers, i, mask):
    low, high, by = (registers.get(o, 32).astype(np.uint64) for o in i.operands[1:4])
    by = by & np.uint64(31) if "wrap" in i.modifiers else np.minimum(by, np.uint64(32))
    both = high << np.uint64(32) | low
    value = both >> by if i.modifiers[0] == "r" else both << by >> np.uint64(32)
    registers.put(i.operands[0], (value & np.uint64(0xFFFFFFFF)).astype(np.uint32), mask)


@operation("bfe")
def bfe(registers, i, mask):
    bits = bits_of(i.type)
    value = registers.get(i.operands[1], bits).astype(np.uint64)
    at, size = (registers.get(o, 32).astype(np.uint64) for o in i.operands[2:4])
    if (at + size > bits).any() or (size == 0).any():
        raise Fault(f"bits beyond a register: {i.text}")
    all_ones = (np.uint64(1) << size) - np.uint64(1)
    field = value >> at & all_ones
    if i.type[0] == "s":
        negative = (field >> (size - np.uint64(1)) & np.uint64(1)) == 1
        field = np.where(negative, field | ~all_ones, field)
    registers.put(i.operands[0], field.astype(UNSIGNED[bits]), mask)


@operation("popc")
def popc(registers, i, mask):
    bits = registers.get(i.operands[1], bits_of(i.type))
    count = np.unpackbits(bits.view(np.uint8).reshape(len(bits), -1), axis=1).sum(1)
    registers.put(i.operands[0], count.astype(np.uint32), mask)


@operation("prmt")
def prmt(registers, i, mask):
    low, high, selector = (registers.get(o, 32).astype(np.uint64) for o in i.operands[1:4])
    both, value = low | high << np.uint64(32), np.zeros(registers.threads, np.uint64)
    for byte in range(4):
        select = selector >> np.uint64(4 * byte) & np.uint64(15)
        found = both >> (select & np.uint64(7)) * np.uint64(8) & np.uint64(255)
        sign = np.where(found & np.uint64(128), np.uint64(255), np.uint64(0))
        value |= np.where(select & np.uint64(8), sign, found) << np.uint64(8 * byte)
    registers.put(i.operands[0], value.astype(np.uint32), mask)


def _unordered(compare):
    return lambda a, b: compare(a, b) | np.isnan(a) | np.isnan(b)


COMPARE = {
    "eq": np.equal,
    "ne": lambda a, b: np.not_equal(a, b) & ~_nan(a, b),
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "lo": np.less,
    "ls": np.less_equal,
    "hi": np.greater,
    "hs": np.greater_equal,
    "equ": _unordered(np.equal),
    "neu": _unordered(np.not_equal),
    "ltu": _unordered(np.less),
    "leu": _unordered(np.less_equal),
    "gtu": _unordered(np.greater),
    "geu": _unordered(np.greater_equal),
    "num": lambda a, b: ~_nan(a, b),
    "nan": lambda a, b: _nan(a, b),
}


def _nan(a, b):
    return np.isnan(a) | np.isnan(b) if a.dtype.kind == "f" else np.zeros(a.shape, bool)


@operation("setp")
def setp(registers, i, mask):
    compare = COMPARE[i.modifiers[0]]
    combine = LOGIC.get(i.modifiers[1])
    if i.type in FLOATS:
        a, b = (read_floats(registers, operand, i.type) for operand in i.operands[1:3])
        found = compare(a, b)
    else:
        a, b = _integers(registers, i, i.operands[1:3])
        found = compare(a, b)[None]
    if combine:
        found = combine(found, registers.get(i.operands[3], 1))
    to = i.operands[0] if isinstance(i.operands[0], tuple) and len(found) > 1 else (i.operands[0],)
    if len(to) != len(found) or isinstance(to[0], tuple):
        raise Fault(f"unknown instruction {i.text}")
    for register, value in zip(to, found, strict=True):
        registers.put(register, value, mask)


@operation("set")
def set_(registers, i, mask):
    """1.0 or 0.0 of each number, in the type of what is compared."""
    if i.modifiers[1:] != (i.type, i.type) or not i.type.endswith("x2"):
        raise Fault(f"unknown instruction {i.text}")
    compare = COMPARE[i.modifiers[0]]
    _float_operation(registers, i, mask, lambda a, b: compare(a, b).astype(np.float32))


@operation("selp")
def selp(registers, i, mask):
    a, b = (registers.get(operand, bits_of(i.type)) for operand in i.operands[1:3])
    registers.put(i.operands[0], np.where(registers.get(i.operands[3], 1), a, b), mask)
