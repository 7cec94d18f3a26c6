"""The registers of all threads of a CTA, and operands of instructions read from them."""

from collections import Counter

import numpy as np

from .program import SINK, UNSIGNED, Fault, Immediate, Register, Special, Symbol


class InFlight:
    """Registers of wgmmas under way, by name: how many accumulate there in each shape, and how
    many read fragments of A there. Threads may touch neither before the wait (PTX manual,
    "wgmma.wait_group")."""

    def __init__(self):
        self.accumulators, self.fragments = {}, Counter()

    def __bool__(self):
        return bool(self.accumulators or self.fragments)

    def use(self, name):
        return "writes" * (name in self.accumulators) or "reads" * (name in self.fragments)

    def start(self, shape, accumulators, fragments):
        """What is wrong with one more wgmma beside those under way, or None. Two may read the same
        fragments, and accumulate in the same registers if their shape is the same."""
        wrong = None
        for name in accumulators:
            if name in self.fragments:
                wrong = "a wgmma writes a register that another under way reads"
            if self.accumulators.setdefault(name, Counter()).keys() - {shape}:
                wrong = "a wgmma accumulates in a register of another, of another shape, under way"
        if any(name in self.accumulators for name in fragments):
            wrong = "a wgmma reads a register that one under way writes"
        for name in accumulators:
            self.accumulators[name][shape] += 1
        self.fragments.update(fragments)
        return wrong

    def finish(self, shape, accumulators, fragments):
        for name in accumulators:
            self.accumulators[name] -= Counter({shape: 1})
            if not self.accumulators[name]:
                del self.accumulators[name]
        self.fragments -= Counter(fragments)


class Registers:
    """One array (threads,) a register. ``tell(kind, text)`` takes what is found.

    ``wgmma``: registers that products under way use. ``written_at``: the step at which a register
    last changed, for wgmma.fence.
    """

    def __init__(self, program, ctaid, grid, shared, tell):
        self.threads = program.threads
        self.values = {}
        self.written_at, self.step = {}, 0
        self.wgmma = InFlight()
        self.tell, self.text = tell, ""
        self._constants = {}
        self._symbols = shared
        thread = np.arange(self.threads, dtype=np.uint32)
        self._special = {"tid.x": thread, "laneid": thread % np.uint32(32), "ntid.x": self.threads}
        for i, axis in enumerate("xyz"):
            self._special |= {f"ctaid.{axis}": ctaid[i], f"nctaid.{axis}": grid[i]}
            self._special.setdefault(f"tid.{axis}", 0)
            self._special.setdefault(f"ntid.{axis}", 1)

    def raw(self, register):
        """As it is, whatever its width."""
        if self.wgmma and (use := self.wgmma.use(register.name)):
            self.tell(f"reads a register that a wgmma under way {use}", self.text)
        return self.for_wgmma(register)

    def for_wgmma(self, register):
        """As a wgmma reads it, which knows by itself what may be under way."""
        value = self.values.get(register.name)
        if value is None:
            raise Fault(f"register {register.name} is read before it was written: {self.text}")
        return value

    def get(self, operand, bits):
        """Unsigned integers of ``bits``, or booleans (threads,)."""
        if isinstance(operand, Register):
            value = self.raw(operand)
            return value if value.dtype == UNSIGNED[bits] else value.astype(UNSIGNED[bits])
        key = operand, bits
        if key not in self._constants:
            self._constants[key] = self._constant(operand, bits)
        return self._constants[key]

    def _constant(self, operand, bits):
        if isinstance(operand, Immediate):
            value = operand.value & ((1 << bits) - 1)
        elif isinstance(operand, Special):
            value = self._special[operand.name]
        elif isinstance(operand, Symbol) and operand.name in self._symbols:
            value = self._symbols[operand.name]
        else:
            raise Fault(f"operand {operand}: {self.text}")
        value = np.asarray(value).astype(UNSIGNED[bits])
        return np.broadcast_to(value, (self.threads,)).copy()

    def signed(self, operand, bits):
        return self.get(operand, bits).view(np.dtype(f"i{bits // 8}"))

    def f32(self, operand):
        return self.get(operand, 32).view(np.float32)

    def put(self, register, value, mask=None):
        """Of threads in ``mask``; floating-point numbers by their bits."""
        if register is SINK:
            return
        value = np.asarray(value)
        if value.dtype.kind in "fi":
            value = value.view(UNSIGNED[8 * value.dtype.itemsize])
        kind = UNSIGNED[register.bits]
        if value.dtype != kind:
            value = value.astype(kind)
        if value.ndim == 0:
            value = np.broadcast_to(value, (self.threads,))
        name = register.name
        if self.wgmma and (use := self.wgmma.use(name)):
            self.tell(f"writes a register that a wgmma under way {use}", self.text)
        if mask is not None:
            old = self.values.get(name)
            value = np.where(mask, value, np.zeros((), kind) if old is None else old)
        self.values[name] = value
        self.written_at[name] = self.step
