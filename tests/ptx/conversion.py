"""Instructions that move numbers, change their types, and pass them between threads of a warp."""

import numpy as np
from support.rounding import nearest_tf32

from .arithmetic import FLOATS, bits_of_floats, operation, read_floats
from .program import SIGNED, UNSIGNED, Fault, bits_of

LANES = 32


@operation("mov")
def mov(registers, i, mask):
    """A copy is as old as what it copies: compilers make them between a wgmma.fence and its wgmma,
    and the assembler does away with them."""
    to, source = i.operands
    bits, written_at = bits_of(i.type), registers.written_at
    sources = source if isinstance(source, tuple) else (source,)
    age = max(written_at.get(getattr(s, "name", None), -1) for s in sources)
    _move(registers, to, source, bits, mask)
    for register in to if isinstance(to, tuple) else (to,):
        written_at[register.name] = age


def _move(registers, to, source, bits, mask):
    if isinstance(to, tuple):
        value, part = registers.get(source, bits), bits // len(to)
        for n, register in enumerate(to):
            shifted = value >> value.dtype.type(part * n)
            registers.put(register, shifted.astype(UNSIGNED[part]), mask)
    elif isinstance(source, tuple):
        part, kind = bits // len(source), UNSIGNED[bits]
        value = np.zeros(registers.threads, kind)
        for n, register in enumerate(source):
            value = value | registers.get(register, part).astype(kind) << kind(part * n)
        registers.put(to, value, mask)
    else:
        registers.put(to, registers.get(source, bits), mask)


@operation("cvta")
def cvta(registers, i, mask):
    """Addresses of every space are the same here."""
    registers.put(i.operands[0], registers.get(i.operands[1], bits_of(i.type)), mask)


@operation("cvt")
def cvt(registers, i, mask):
    to, source = i.modifiers[-2:]
    value = _source(registers, i, source)
    if to == "tf32":
        result = nearest_tf32(value) if "rna" in i.modifiers else None
        if result is None:
            raise Fault(f"unknown instruction {i.text}")
    elif to in FLOATS:
        if "relu" in i.modifiers or "rz" in i.modifiers:
            raise Fault(f"unknown instruction {i.text}")
        # of two numbers the first is the upper half
        lanes = np.stack([*value[::-1]] if to.endswith("x2") else [value])
        result = bits_of_floats(lanes.astype(np.float64 if to == "f64" else np.float32), to)
    else:
        bits = bits_of(to)
        kind = (SIGNED if to[0] == "s" else UNSIGNED)[bits]
        if value.dtype.kind == "f":
            if not {"rzi", "rni", "rmi", "rpi"} & set(i.modifiers):
                raise Fault(f"unknown instruction {i.text}")
            whole = {"rzi": np.trunc, "rni": np.rint, "rmi": np.floor, "rpi": np.ceil}
            value = next(f for name, f in whole.items() if name in i.modifiers)(value)
            limits = np.iinfo(kind)
            value = np.clip(np.nan_to_num(value.astype(np.float64)), limits.min, limits.max)
        result = value.astype(kind)
        if bits == 8:  # in a register of 16 bits
            result = result.astype(np.int16 if to[0] == "s" else np.uint16)
    if to in ("s16", "s32", "s64", "s8") and i.operands[0].bits > 8 * result.dtype.itemsize:
        result = result.astype(SIGNED[i.operands[0].bits])
    registers.put(i.operands[0], result, mask)


def _source(registers, i, source):
    if len(i.operands) == 3:
        return [registers.f32(operand) for operand in i.operands[1:]]
    if source in FLOATS:
        return read_floats(registers, i.operands[1], source)[0]
    bits = bits_of(source)
    value = registers.get(i.operands[1], max(bits, 16))
    if bits == 8:
        value = (value & np.uint16(0xFF)).astype(np.uint8)
    return value.view(SIGNED[bits]) if source[0] == "s" else value


@operation("shfl")
def shfl(registers, i, mask):
    if mask is not None:
        raise Fault(f"threads of a warp are missing: {i.text}")
    mode = i.modifiers[1]
    value = registers.get(i.operands[1], 32)
    thread = np.arange(registers.threads)
    lane, by = thread % LANES, registers.get(i.operands[2], 32).astype(np.int64)
    clamp = registers.get(i.operands[3], 32).astype(np.int64)
    segment = clamp >> 8 & 31
    last = (lane & segment) | (clamp & ~segment & 31)
    first = lane & segment
    source = {
        "bfly": lambda: lane ^ by,
        "idx": lambda: first | (by & ~segment & 31),
        "up": lambda: lane - by,
        "down": lambda: lane + by,
    }[mode]()
    there = source >= last if mode == "up" else source <= last
    source = np.where(there, source, lane)
    to = i.operands[0]
    if isinstance(to, tuple):
        registers.put(to[1], there, mask)
        to = to[0]
    registers.put(to, value[thread // LANES * LANES + source], mask)


REDUCE = {
    "add": np.add,
    "min": np.minimum,
    "max": np.maximum,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
}


@operation("redux")
def redux(registers, i, mask):
    """Of whole warps."""
    members = registers.get(i.operands[2], 32)
    if mask is not None or np.any(members != np.uint32(0xFFFFFFFF)):
        raise Fault(f"threads of a warp are missing: {i.text}")
    read = registers.signed if i.type[0] == "s" else registers.get
    value = read(i.operands[1], 32).reshape(-1, LANES)
    found = REDUCE[i.modifiers[1]].reduce(value, axis=1).astype(value.dtype)
    registers.put(i.operands[0], np.repeat(found, LANES), mask)
