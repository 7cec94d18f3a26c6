"""One program of a grid (CTA): its threads run through the code together."""

import re
from collections import Counter

import numpy as np

from . import conversion, matrix, wgmma  # noqa: F401 - they fill the tables
from .access import ACTIONS
from .arithmetic import OPERATIONS
from .program import Fault
from .registers import Registers
from .shared_memory import SharedMemory

LANES = 32
MOST_STEPS = 20_000_000


class CTA:
    """``findings`` counts what was found, by kind and instruction; ``counts`` instructions by name.

    ``arguments``: parameters by name, addresses among them. ``cut``: matrix instructions cut sums
    off, as the hardware does, and do not round them.
    """

    def __init__(self, program, memory, arguments, ctaid, grid, shared_bytes, *, cut=True):
        self.program, self.memory, self.arguments, self.cut = program, memory, arguments, cut
        self.threads = program.threads
        self.warps = (np.arange(self.threads) // LANES).astype(np.int16)
        self.number = ctaid[0] + grid[0] * (ctaid[1] + grid[1] * ctaid[2])
        self.findings, self.counts = Counter(), Counter()
        self.registers = Registers(program, ctaid, grid, program.shared, self.tell)
        self.shared = SharedMemory(program.shared_bytes + shared_bytes, self.tell)
        self.copies, self.copy_groups = [], []
        self.open_products, self.products = [], []
        self.fence_step = -1
        self.running = np.ones(self.threads, bool)
        self._at = 0  # the next instruction: of all threads, or (threads,)

    def tell(self, kind, text):
        """Long lists of registers are cut."""
        self.findings[kind, re.sub(r"\{[^}]{60,}\}", "{...}", text)] += 1

    def run(self):
        code, steps = self.program.code, 0
        while self.running.any():
            at, active = self._next()
            if at >= len(code):
                raise Fault("the code ends without ret")
            i = code[at]
            steps += 1
            if steps > MOST_STEPS:
                raise Fault(f"more than {MOST_STEPS} steps")
            self.counts[i.name] += 1
            self.registers.step, self.registers.text = steps, i.text
            mask = self._mask(i, active)
            if i.name == "bra":
                self._branch(at, self.program.labels[i.operands[0].name], active, mask)
            elif i.name in ("ret", "exit"):
                self._end(at, active, mask)
            else:
                self._execute(i, mask)
                self._move(at + 1, active)
        if self.copies or any(self.copy_groups):
            self.tell("ends while a copy is under way", "")
        if self.open_products or any(self.products):
            self.tell("ends while a wgmma is under way", "")

    def _execute(self, i, mask):
        if i.name in OPERATIONS:
            OPERATIONS[i.name](self.registers, i, mask)
        elif i.name in ACTIONS:
            ACTIONS[i.name](self, i, mask)
        else:
            raise Fault(f"unknown instruction {i.text}")

    def _next(self):
        """The next instruction, and the threads that are there; None for all."""
        if isinstance(self._at, int):
            return self._at, None if self.running.all() else self.running
        waiting = np.where(self.running, self._at, np.iinfo(np.int64).max)
        at = int(waiting.min())
        active = waiting == at
        if active[self.running].all():
            self._at = at
        return at, None if active.all() else active

    def _mask(self, i, active):
        if i.predicate is None:
            return active
        value = self.registers.get(i.predicate, 1)
        value = ~value if i.negated else value
        if active is not None:
            value = value & active
        return None if value.all() else value

    def _move(self, to, active):
        if isinstance(self._at, int):
            self._at = to
        else:
            self._at = np.where(active if active is not None else True, to, self._at)

    def _branch(self, at, to, active, mask):
        if mask is None or (active is not None and (mask == active).all()):
            self._move(to, active)
        elif not mask.any():
            self._move(at + 1, active)
        else:
            there = self._at if not isinstance(self._at, int) else np.full(self.threads, at)
            there = np.where(active if active is not None else True, at + 1, there)
            self._at = np.where(mask, to, there)

    def _end(self, at, active, mask):
        self._move(at + 1, active)
        if mask is None:
            self.running = np.zeros(self.threads, bool)
        else:
            self.running = self.running & ~mask
