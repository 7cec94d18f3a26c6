"""wgmma: matrix instructions of four warps, whose operands lie in shared memory behind descriptors,
and which run on while threads go on.

Where elements lie is said in the PTX manual, "Asynchronous warpgroup-level matrix shared memory
layout" and "Register fragments". A product is computed when it is issued; what it reads and writes
counts as busy until the wait of its group.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from support.rounding import instruction

from .access import action
from .matrix import COLUMN, LANES, ROW, elements, floats, fragment_a, shape_of, whole
from .program import Fault, Immediate

GROUP = 4  # warps
SWIZZLES = {0: 0, 1: 128, 2: 64, 3: 32}  # bytes, by bits 62 and 63 of a descriptor


class UnderWay(NamedTuple):
    places: np.ndarray  # bytes of shared memory that it reads, each once
    registers: tuple  # shape, names of accumulators, names of fragments of A


@lru_cache(4096)
def operand_places(descriptor, outer, k, size, mn_major, text):
    """Places (outer, k * size) of the bytes of an operand in shared memory: ``outer`` rows of A or
    columns of B, along k unless ``mn_major``."""
    start = (descriptor & 0x3FFF) << 4
    leading, stride = (descriptor >> 16 & 0x3FFF) << 4, (descriptor >> 32 & 0x3FFF) << 4
    if descriptor >> 49 & 7:
        raise Fault(f"a descriptor with a base offset: {text}")
    swizzle = SWIZZLES[descriptor >> 62]
    if not swizzle:
        raise Fault(f"a descriptor without a swizzle: {text}")
    at, along = np.meshgrid(np.arange(outer), np.arange(k), indexing="ij")
    if mn_major:
        each = swizzle // size
        places = start + along // 8 * stride + along % 8 * swizzle
        places += at // each * leading + at % each * size
    elif k * size > swizzle:
        raise Fault(f"k reaches over the swizzle: {text}")
    else:
        places = start + at // 8 * stride + at % 8 * swizzle + along * size
    # bits 4 to 6 of an address are mixed with bits 7 to 9, as many as the swizzle has
    places ^= (places >> 7 & (swizzle // 16 - 1)) << 4
    places = (places[..., None] + np.arange(size)).reshape(outer, -1)
    places.flags.writeable = False  # kept
    return places


@action("wgmma")
def wgmma(cta, i, mask):
    whole(mask, i)
    if "fence" in i.modifiers:
        cta.fence_step = cta.registers.step
    elif "commit_group" in i.modifiers:
        cta.products.append(cta.open_products)
        cta.open_products = []
    elif "wait_group" in i.modifiers:
        keep = i.operands[0].value
        while len(cta.products) > keep:
            finish(cta, cta.products.pop(0))
    else:
        multiply(cta, i)


def finish(cta, products):
    for one in products:
        cta.shared.finish_wgmma(one.places, range(cta.threads // LANES))
        cta.registers.wgmma.finish(*one.registers)


def multiply(cta, i):
    shape, kind = shape_of(i), i.modifiers[-1]
    size = 4 if kind == "tf32" else 2
    d_registers, a_operand, b_operand, scale_d, *flags = i.operands
    flags = [flag.value for flag in flags]
    if flags[:2] != [1, 1] or "f32" not in i.modifiers:
        raise Fault(f"unknown instruction {i.text}")
    in_registers = isinstance(a_operand, tuple)
    # 16-bit operands in shared memory may lie along m or n: a flag each
    across = [0] * (3 - in_registers - len(flags[2:]) - 1) + flags[2:]
    across_a, across_b = (0, across[-1]) if in_registers else across[-2:]
    fragments = a_operand if in_registers else ()
    used_registers = shape, *(tuple(r.name for r in part) for part in (d_registers, fragments))
    _check_registers(cta, used_registers, i)
    m, n, k = shape
    groups = cta.threads // (GROUP * LANES)
    if in_registers:
        values = np.stack([cta.registers.for_wgmma(r) for r in fragments])
        values = values.reshape(len(fragments), -1, LANES)
        a = fragment_a(elements(values, kind), k).reshape(groups, m, k)
        used = []
    else:
        a, used = _operand(cta, a_operand, m, k, size, across_a, kind, i)
    b, of_b = _operand(cta, b_operand, n, k, size, across_b, kind, i)
    c = _accumulator(cta, d_registers, scale_d, groups, n)
    d = instruction(a, b.swapaxes(1, 2), c, cut=cta.cut)
    values = d.reshape(groups * GROUP, 16, n)
    for r, register in enumerate(d_registers):
        at = values[:, ROW + 8 * (r // 2 % 2), 8 * (r // 4) + COLUMN * 2 + r % 2]
        cta.registers.values[register.name] = np.ascontiguousarray(at).reshape(-1).view(np.uint32)
    touched = np.zeros(len(cta.shared.data), bool)
    for places in (*used, *of_b):
        touched[places] = True
    places = np.flatnonzero(touched)
    cta.shared.start_wgmma(places)
    cta.open_products.append(UnderWay(places, used_registers))


def _check_registers(cta, used, i):
    """What threads wrote since the last wgmma.fence may come too late; what others under way use
    may be theirs."""
    written = cta.registers.written_at
    if any(written.get(name, -1) > cta.fence_step for name in (*used[1], *used[2])):
        cta.tell("wgmma uses registers that changed since wgmma.fence", i.text)
    if wrong := cta.registers.wgmma.start(*used):
        cta.tell(wrong, i.text)


def _accumulator(cta, registers, scale_d, groups, n):
    """(groups, 64, n)."""
    c = np.zeros((groups * GROUP, 16, n), np.float32)
    if isinstance(scale_d, Immediate):
        added = np.full(groups, scale_d.value != 0)
    else:
        by_group = cta.registers.get(scale_d, 1).reshape(groups, -1)
        added = by_group[:, 0]
        if (by_group != added[:, None]).any():
            raise Fault("scale-d differs among the threads of a warp group")
    if added.any():
        for r, register in enumerate(registers):
            value = cta.registers.for_wgmma(register).view(np.float32)
            at = (slice(None), ROW + 8 * (r // 2 % 2), 8 * (r // 4) + COLUMN * 2 + r % 2)
            c[at] = value.reshape(-1, LANES)
    return np.where(added[:, None, None], c.reshape(groups, 64, n), np.float32(0))


def _operand(cta, operand, outer, k, size, mn_major, kind, i):
    """(groups, outer, k) float32, and the places that were read."""
    descriptors = cta.registers.get(operand, 64).reshape(-1, GROUP * LANES)
    values, used = [], []
    for group, (first, *rest) in enumerate(descriptors):
        if (np.asarray(rest) != first).any():
            raise Fault(f"a descriptor differs among the threads of a warp group: {i.text}")
        places = operand_places(int(first), outer, k, size, mn_major, i.text)
        cta.shared.within(places, i.text)
        data = cta.shared.read_by_wgmma(places, range(GROUP * group, GROUP * (group + 1)), i.text)
        values.append(floats(data.reshape(outer, k, size), kind)[..., 0])
        used.append(places)
    return np.stack(values), used
