"""Global memory: tensors at made-up addresses with guards between, and who wrote each byte."""

import numpy as np

from .program import Fault

BASE = 0x7000_0000_0000
GUARD = 4096  # bytes that belong to nobody, between tensors
NOBODY = -1


class GlobalMemory:
    """Tensors are placed with ``place`` before the first access; ``read_back`` gives what a launch
    left. Addresses keep their last eight bits, since code may be compiled for their alignment."""

    def __init__(self):
        self._size, self._regions = 0, []

    def place(self, array, *, known=True):
        """Address of a contiguous ``array``, which is read and written in place. ``known``: its
        bytes count as written."""
        start = (self._size + GUARD + 255) // 256 * 256 + array.ctypes.data % 256
        self._regions.append((start, array, known))
        self._size = start + array.nbytes
        return BASE + start

    def begin(self):
        size = self._size + GUARD
        self.data = np.zeros(size, np.uint8)
        self.owner = np.full(size, NOBODY, np.int16)
        self.known = np.zeros(size, bool)
        self.writer = np.full(size, NOBODY, np.int32)  # the program that wrote
        self.reader = np.full(size, NOBODY, np.int32)  # the last program that read
        for number, (start, array, known) in enumerate(self._regions):
            where = slice(start, start + array.nbytes)
            self.data[where] = array.reshape(-1).view(np.uint8)
            self.owner[where], self.known[where] = number, known

    def read_back(self):
        for start, array, _ in self._regions:
            array.reshape(-1).view(np.uint8)[:] = self.data[start : start + array.nbytes]

    def _places(self, addresses, size, text):
        """Indices (n, size) of the bytes at ``addresses``."""
        at = addresses.astype(np.int64) - BASE
        if (at % size).any():
            raise Fault(f"misaligned access to global memory: {text}")
        if (at < 0).any() or (at + size > len(self.data)).any():
            raise Fault(f"outside of all memory: {text}")
        places = at[:, None] + np.arange(size)
        owner = self.owner[places]
        if (owner == NOBODY).any() or (owner != owner[:, :1]).any():
            raise Fault(f"outside of every tensor: {text}")
        return places

    def load(self, addresses, size, program, text, tell):
        """Bytes (n, size)."""
        places = self._places(addresses, size, text)
        if not self.known[places].all():
            tell("reads global memory that nobody wrote", text)
        writer = self.writer[places]
        if ((writer != NOBODY) & (writer != program)).any():
            tell("reads what another program wrote", text)
        self.reader[places] = program
        return self.data[places]

    def store(self, addresses, data, program, text, tell):
        places = self._places(addresses, data.shape[1], text)
        writer, reader = self.writer[places], self.reader[places]
        if ((writer != NOBODY) & (writer != program)).any():
            tell("two programs write one byte", text)
        if ((reader != NOBODY) & (reader != program)).any():
            tell("writes what another program read", text)
        self.data[places] = data
        if not (self.data[places] == data).all():
            tell("threads of one instruction write different values to one byte", text)
        self.known[places], self.writer[places] = True, program
