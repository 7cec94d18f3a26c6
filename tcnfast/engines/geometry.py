"""Where the positions of a stack lie, for compiled loops: a row of numbers for each block."""

from __future__ import annotations

import numpy as np

from . import reference
from .grid import StackGrid

# Columns. What convolutions reach and the residual tap count positions of the grid they stand on;
# ROWS are the positions of the first and second convolution, FROM those of all blocks below.
REACH1, REACH2, DILATION, STRIDE, TAP, ROWS1, ROWS2, FROM1, FROM2 = range(9)


def stack_geometry(weights: reference.StackWeights, grid: StackGrid, length: int) -> np.ndarray:
    """int64 (blocks, 9) of a stack over ``length`` bases."""
    rows, from1, from2 = [], 0, 0
    for block, geometry in zip(weights.blocks, grid.blocks, strict=True):
        reach1, reach2 = ((k - 1) * geometry.dilation for k in geometry.kernel_sizes)
        rows1 = length - reach1
        rows2 = (rows1 - reach2 - 1) // geometry.stride + 1
        where = geometry.dilation, geometry.stride, block.tap // geometry.grid_in
        rows.append((reach1, reach2, *where, rows1, rows2, from1, from2))
        from1, from2, length = from1 + rows1, from2 + rows2, rows2
    return np.array(rows, np.int64)
