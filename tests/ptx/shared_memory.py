"""Shared memory of a CTA, and for every byte who wrote and read it when.

Time is counted in barriers (``epoch``). A byte that one warp wrote may be read by another an epoch
later; one that a warp read may be written by another an epoch later.
"""

import numpy as np

from .program import Fault

NEVER, NOBODY = -1, -1


class SharedMemory:
    def __init__(self, size, tell):
        size = max(size, 16)
        self.tell = tell
        self.epoch = 0
        self.data = np.full(size, 0xFF, np.uint8)  # NaN of every type
        self.known = np.zeros(size, bool)
        self.write_epoch = np.full(size, NEVER, np.int32)
        self.writer = np.full(size, NOBODY, np.int16)  # a warp
        self.read_epoch = np.full(size, NEVER, np.int32)
        self.readers = np.zeros(size, np.int32)  # a bit a warp, those of read_epoch
        self.fenced = np.ones(size, bool)  # what was written is seen by the asynchronous proxy
        self.busy = np.zeros(size, np.int16)  # wgmmas under way that read here
        self.arriving = np.zeros(size, np.int16)  # copies under way that write here

    def places(self, addresses, size, text):
        """Indices (n, size) of the bytes at ``addresses``."""
        at = addresses.astype(np.int64)
        if (at % size).any():
            raise Fault(f"misaligned access to shared memory: {text}")
        return self.within(at[:, None] + np.arange(size), text)

    def within(self, places, text):
        if places.size and (places.min() < 0 or places.max() >= len(self.data)):
            raise Fault(f"outside of shared memory: {text}")
        return places

    def read(self, places, warps, text):
        """Bytes at ``places`` (n, size), read by ``warps`` (n,)."""
        if not self.known[places].all():
            self.tell("reads shared memory that nobody wrote", text)
        if self.arriving[places].any():
            self.tell("race: reads what a copy under way writes", text)
        recent = self.write_epoch[places] == self.epoch
        if (recent & (self.writer[places] != warps[:, None])).any():
            self.tell("race: read after write without a barrier", text)
        self._note_read(places, warps)
        return self.data[places]

    def _note_read(self, places, warps):
        flat = places.reshape(-1)
        old = self.read_epoch[flat] != self.epoch
        self.readers[flat[old]] = 0
        self.read_epoch[flat] = self.epoch
        for warp in np.unique(warps):
            self.readers[places[warps == warp].reshape(-1)] |= 1 << int(warp)

    def write(self, places, data, warps, text):
        """By threads (the generic proxy)."""
        if not places.size:
            return
        if self.busy[places].any():
            self.tell("race: overwrites what a wgmma under way may still read", text)
        if self.arriving[places].any():
            self.tell("race: overwrites what a copy under way writes", text)
        self._write(places, data, warps, text)

    def _write(self, places, data, warps, text):
        others = ~(1 << warps.astype(np.int32))[:, None]
        if ((self.read_epoch[places] == self.epoch) & (self.readers[places] & others != 0)).any():
            self.tell("race: write after read without a barrier", text)
        recent = self.write_epoch[places] == self.epoch
        if (recent & (self.writer[places] != warps[:, None])).any():
            self.tell("race: write after write without a barrier", text)
        self.data[places] = data
        if not (self.data[places] == data).all():
            self.tell("threads of one instruction write different values to one byte", text)
        self.known[places] = True
        self.write_epoch[places] = self.epoch
        self.writer[places] = warps[:, None]
        self.fenced[places] = False

    def start_copy(self, places):
        np.add.at(self.arriving, places.reshape(-1), 1)

    def finish_copy(self, places, data, warps, text):
        """What cp.async brought: it was written by the threads that waited for it."""
        np.subtract.at(self.arriving, places.reshape(-1), 1)
        self._write(places, data, warps, text)

    def fence(self):
        """fence.proxy.async, by all threads."""
        self.fenced[:] = True

    def read_by_wgmma(self, places, warps, text):
        """Bytes that a wgmma of four ``warps`` reads; which warp reads what is not said, so that
        writes of each need a barrier. They are busy from ``start_wgmma`` to ``finish_wgmma``."""
        if not self.fenced[places].all():
            self.tell("wgmma reads what threads wrote without fence.proxy.async", text)
        if not self.known[places].all():
            self.tell("reads shared memory that nobody wrote", text)
        if self.arriving[places].any():
            self.tell("race: reads what a copy under way writes", text)
        if (self.write_epoch[places] == self.epoch).any():
            self.tell("race: read after write without a barrier", text)
        self._read_by_all(places, warps)
        return self.data[places]

    def _read_by_all(self, places, warps):
        self.readers[places[self.read_epoch[places] != self.epoch]] = 0
        self.read_epoch[places] = self.epoch
        self.readers[places] |= sum(1 << warp for warp in warps)

    def start_wgmma(self, used):
        self.busy[used] += 1

    def finish_wgmma(self, used, warps):
        """``used``: unique bytes that ``warps`` read, until now."""
        self.busy[used] -= 1
        self._read_by_all(used, warps)
