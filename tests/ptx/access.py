"""Instructions that load, store and copy, and those that order them.

Each is a function (cta, instruction, mask), found by its name in ``ACTIONS``.
"""

from typing import NamedTuple

import numpy as np

from .program import UNSIGNED, Fault, Memory, Register, bits_of

ACTIONS = {}


def action(name):
    def register(function):
        ACTIONS[name] = function
        return function

    return register


class Copy(NamedTuple):
    """A cp.async of all threads, under way."""

    places: np.ndarray
    data: np.ndarray
    warps: np.ndarray
    text: str


def address(cta, memory: Memory, bits):
    """Addresses (threads,) int64."""
    return cta.registers.get(memory.base, bits).astype(np.int64) + memory.offset


def live_threads(cta, mask):
    return np.arange(cta.threads) if mask is None else np.flatnonzero(mask)


def _as_tuple(operand):
    return operand if isinstance(operand, tuple) else (operand,)


@action("ld")
def ld(cta, i, mask):
    if "param" in i.modifiers:
        _load_parameter(cta, i, mask)
        return
    size, to = bits_of(i.type) // 8, _as_tuple(i.operands[0])
    live, total = live_threads(cta, mask), bits_of(i.type) // 8 * len(to)
    data = np.zeros((cta.threads, total), np.uint8)
    if len(live) and "global" in i.modifiers:
        at = address(cta, i.operands[1], 64)[live]
        data[live] = cta.memory.load(at, total, cta.number, i.text, cta.tell)
    elif len(live) and "shared" in i.modifiers[0]:
        places = cta.shared.places(address(cta, i.operands[1], 32)[live], total, i.text)
        data[live] = cta.shared.read(places, cta.warps[live], i.text)
    elif len(live):
        raise Fault(f"unknown instruction {i.text}")
    for n, register in enumerate(to):
        part = np.ascontiguousarray(data[:, n * size : (n + 1) * size])
        value = part.view(UNSIGNED[8 * size])[:, 0]
        if i.type[0] == "s" and register.bits > 8 * size:
            value = value.view(f"i{size}").astype(f"i{register.bits // 8}")
        cta.registers.put(register, value, mask)


def _load_parameter(cta, i, mask):
    memory, to = i.operands[1], i.operands[0]
    if memory.offset or not isinstance(to, Register):
        raise Fault(f"unknown instruction {i.text}")
    value = int(cta.arguments[memory.base.name])
    kind = UNSIGNED[to.bits]
    cta.registers.put(to, np.full(cta.threads, value & ((1 << to.bits) - 1), kind), mask)


@action("st")
def st(cta, i, mask):
    bits, values = bits_of(i.type), _as_tuple(i.operands[1])
    parts = [cta.registers.get(v, max(bits, 16)).astype(UNSIGNED[bits]) for v in values]
    data = np.stack(parts, 1).view(np.uint8).reshape(cta.threads, -1)
    live = live_threads(cta, mask)
    if not len(live):
        return
    if "global" in i.modifiers:
        at = address(cta, i.operands[0], 64)[live]
        cta.memory.store(at, data[live], cta.number, i.text, cta.tell)
    elif "shared" in i.modifiers[0]:
        at = address(cta, i.operands[0], 32)[live]
        places = cta.shared.places(at, data.shape[1], i.text)
        cta.shared.write(places, data[live], cta.warps[live], i.text)
    else:
        raise Fault(f"unknown instruction {i.text}")


@action("cp")
def cp(cta, i, mask):
    """cp.async: 4 to 16 bytes a thread to shared memory, zeros where the source has none."""
    if i.modifiers[:1] != ("async",) or "bulk" in i.modifiers:
        raise Fault(f"unknown instruction {i.text}")
    if "commit_group" in i.modifiers:
        cta.copy_groups.append(cta.copies)
        cta.copies = []
    elif "wait_group" in i.modifiers or "wait_all" in i.modifiers:
        keep = i.operands[0].value if i.operands else 0
        if "wait_all" in i.modifiers:
            cta.copy_groups.append(cta.copies)
            cta.copies = []
        while len(cta.copy_groups) > keep:
            for copy in cta.copy_groups.pop(0):
                cta.shared.finish_copy(*copy)
    else:
        _start_copy(cta, i, mask)


def _start_copy(cta, i, mask):
    size, live = i.operands[2].value, live_threads(cta, mask)
    if not len(live):
        return
    to = cta.shared.places(address(cta, i.operands[0], 32)[live], size, i.text)
    data = np.zeros((cta.threads, size), np.uint8)
    wanted = cta.registers.get(i.operands[3], 32) if len(i.operands) > 3 else np.uint32(size)
    wanted = np.broadcast_to(wanted, cta.threads)
    if not np.isin(wanted[live], (0, size)).all():
        raise Fault(f"a part of a copy: {i.text}")
    reading = live[wanted[live] > 0]
    if len(reading):
        at = address(cta, i.operands[1], 64)[reading]
        data[reading] = cta.memory.load(at, size, cta.number, i.text, cta.tell)
    cta.shared.start_copy(to)
    cta.copies.append(Copy(to, data[live], cta.warps[live], i.text))


@action("bar")
@action("barrier")
def bar(cta, i, mask):
    if i.modifiers[0] == "warp":
        return
    whole = len(i.operands) == 1 and getattr(i.operands[0], "value", None) == 0
    if not whole or not {"sync"} & set(i.modifiers):
        raise Fault(f"a barrier of some threads: {i.text}")
    if mask is not None and not mask[cta.running].all():
        raise Fault(f"a barrier that not all threads reach: {i.text}")
    cta.shared.epoch += 1


@action("fence")
def fence(cta, i, mask):
    if "proxy" in i.modifiers and any(m.startswith("async") for m in i.modifiers):
        if mask is not None:
            raise Fault(f"a fence of some threads: {i.text}")
        cta.shared.fence()


@action("membar")
@action("griddepcontrol")
@action("nanosleep")
def nothing(cta, i, mask):
    """Orders what is in order here."""
