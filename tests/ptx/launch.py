"""A kernel run over a grid, a program after the other."""

from collections import Counter
from typing import NamedTuple

import numpy as np

from .cta import CTA
from .global_memory import GlobalMemory


class Ran(NamedTuple):
    """``findings``: how often, by kind and instruction; ``counts``: instructions by name, of all
    programs together."""

    findings: Counter
    counts: Counter


def launch(program, arguments, grid, shared_bytes=0, *, memory=None, cut=True):
    """Run ``program`` with ``arguments`` in the order of its parameters: numpy arrays, which are
    written in place, ints, floats (float32), or addresses in ``memory``."""
    memory = memory or GlobalMemory()
    values = []
    for value in arguments:
        if isinstance(value, np.ndarray):
            value = memory.place(value)
        elif isinstance(value, float):
            value = int(np.float32(value).view(np.uint32))
        values.append(value)
    # Triton has parameters of its own behind: scratch memory that these kernels do not use
    names = [name for _, name in program.parameters]
    by_name = dict.fromkeys(names, 0) | dict(zip(names, values, strict=False))
    memory.begin()
    findings, counts = Counter(), Counter()
    grid = (*grid, 1, 1)[:3]
    for z in range(grid[2]):
        for y in range(grid[1]):
            for x in range(grid[0]):
                cta = CTA(program, memory, by_name, (x, y, z), grid, shared_bytes, cut=cut)
                cta.run()
                findings.update(cta.findings)
                counts.update(cta.counts)
    memory.read_back()
    return Ran(findings, counts)
