"""Matrix instructions of a warp: ldmatrix, stmatrix, mma.sync.

All warps at once: arrays begin with the warp. Where a thread's registers lie in a matrix is said in
the PTX manual, "Matrix fragments for mma.m16n8k16" and its neighbours.
"""

import re

import numpy as np
from support.rounding import cut_tf32, instruction, widen

from .access import action, address
from .program import Fault

LANES = 32
LANE = np.arange(LANES)
ROW, COLUMN = LANE // 4, LANE % 4  # of an 8 x 4 fragment


def shape_of(i):
    """(m, n, k)."""
    found = next(m for m in i.modifiers if re.fullmatch(r"m\d+n\d+k\d+", m))
    return tuple(map(int, re.findall(r"\d+", found)))


def floats(data, kind):
    """Elements of ``kind`` in bytes (..., bytes) as float32 (..., elements), as the matrix unit
    takes them."""
    data = np.ascontiguousarray(data)
    if kind == "bf16":
        return widen(data.view(np.uint16))
    if kind == "f16":
        return data.view(np.float16).astype(np.float32)
    if kind == "tf32":
        return cut_tf32(data.view(np.float32))
    raise Fault(f"matrices of {kind}")


def by_warp(cta, registers, bits=32):
    """Registers as (registers, warps, lanes)."""
    values = np.stack([cta.registers.get(r, bits) for r in registers])
    return values.reshape(len(registers), -1, LANES)


def elements(values, kind):
    """Registers (registers, warps, lanes) as float32, with their elements behind."""
    return floats(values[..., None].view(np.uint8), kind)


def whole(mask, i):
    if mask is not None:
        raise Fault(f"threads of a warp are missing: {i.text}")


def _rows(cta, i, count, operand):
    """Places of the rows (warps * 8 count, 16) whose addresses lanes give, and their warps."""
    at = address(cta, operand, 32).reshape(-1, LANES)[:, : 8 * count]
    warps = np.repeat(np.arange(len(at), dtype=np.int16), 8 * count)
    return cta.shared.places(at.reshape(-1), 16, i.text), warps


def _count(i):
    return int(next(m for m in i.modifiers if re.fullmatch(r"x[124]", m))[1:])


@action("ldmatrix")
def ldmatrix(cta, i, mask):
    whole(mask, i)
    count = _count(i)
    places, warps = _rows(cta, i, count, i.operands[1])
    rows = cta.shared.read(places, warps, i.text)
    matrices = np.ascontiguousarray(rows).view(np.uint16).reshape(-1, count, 8, 8)
    if "trans" in i.modifiers:
        matrices = matrices.swapaxes(2, 3)
    values = np.ascontiguousarray(matrices).reshape(-1, count, 64).view(np.uint32)
    to = i.operands[0] if isinstance(i.operands[0], tuple) else (i.operands[0],)
    for n, register in enumerate(to):
        cta.registers.put(register, np.ascontiguousarray(values[:, n]).reshape(-1))


@action("stmatrix")
def stmatrix(cta, i, mask):
    whole(mask, i)
    count = _count(i)
    source = i.operands[1] if isinstance(i.operands[1], tuple) else (i.operands[1],)
    values = np.ascontiguousarray(by_warp(cta, source).swapaxes(0, 1))
    matrices = values.view(np.uint16).reshape(-1, count, 8, 8)
    if "trans" in i.modifiers:
        matrices = matrices.swapaxes(2, 3)
    places, warps = _rows(cta, i, count, i.operands[0])
    data = np.ascontiguousarray(matrices).reshape(-1, 8).view(np.uint8)
    cta.shared.write(places, data, warps, i.text)


@action("mma")
def mma(cta, i, mask):
    whole(mask, i)
    (m, n, k), kind = shape_of(i), i.modifiers[-2]
    if (m, n) != (16, 8) or i.modifiers[-1] != "f32" or i.modifiers[-4] != "f32":
        raise Fault(f"unknown instruction {i.text}")
    to, a_registers, b_registers, c_registers = i.operands
    warps = cta.threads // LANES
    a = fragment_a(elements(by_warp(cta, a_registers), kind), k)
    b = np.zeros((warps, k, n), np.float32)
    values = elements(by_warp(cta, b_registers), kind)
    each = values.shape[-1]  # elements of a register
    for r in range(len(b_registers)):
        for e in range(each):
            b[:, COLUMN * each + e + r * 4 * each, ROW] = values[r, ..., e]
    c = np.zeros((warps, m, n), np.float32)
    values = by_warp(cta, c_registers).view(np.float32)
    for r in range(4):
        c[:, ROW + 8 * (r // 2), COLUMN * 2 + r % 2] = values[r]
    d = instruction(a, b, c, cut=cta.cut)
    for r, register in enumerate(to):
        value = d[:, ROW + 8 * (r // 2), COLUMN * 2 + r % 2]
        cta.registers.put(register, np.ascontiguousarray(value).reshape(-1))


def fragment_a(values, k):
    """The left matrix (warps, 16, k) of registers as ``elements`` gives them."""
    each = values.shape[-1]
    a = np.zeros((values.shape[1], 16, k), np.float32)
    for r in range(len(values)):
        for e in range(each):
            a[:, ROW + 8 * (r % 2), COLUMN * each + e + r // 2 * 4 * each] = values[r, ..., e]
    return a
