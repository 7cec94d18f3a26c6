"""The registers of all threads of a CTA, and operands of instructions read from them."""

import numpy as np

from .program import SINK, UNSIGNED, Fault, Immediate, Register, Special, Symbol


class Registers:
    """One array (threads,) a register. ``tell(kind, text)`` takes what is found.

    ``in_flight``: registers that a wgmma under way will write or may still read. ``written_at``:
    the step at which a register last changed, for wgmma.fence.
    """

    def __init__(self, program, ctaid, grid, shared, tell):
        self.threads = program.threads
        self.values = {}
        self.written_at, self.step = {}, 0
        self.in_flight = {}
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
        value = self.values.get(register.name)
        if value is None:
            raise Fault(f"register {register.name} is read before it was written: {self.text}")
        if self.in_flight and register.name in self.in_flight:
            self.tell("reads a register that a wgmma under way writes", self.text)
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
        if self.in_flight and name in self.in_flight:
            self.tell("writes a register that a wgmma under way uses", self.text)
        if mask is not None:
            old = self.values.get(name)
            value = np.where(mask, value, np.zeros((), kind) if old is None else old)
        self.values[name] = value
        self.written_at[name] = self.step
