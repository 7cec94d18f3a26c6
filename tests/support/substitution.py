"""What the tests of the engine's substitutions share: windows, and what whole windows give."""

from dataclasses import replace

import numpy as np
import torch

from support.engine import Shape, random_codes, random_weights
from tcnfast.engines import cpu_engine
from tcnfast.engines.cpu_engine import ChangedWindows

# on the grids of one window: a stride of 2^blocks
SHAPES = [
    Shape(1, 2, 2, 1, 2, 2),
    Shape(4, 3, 9, 3, 3, 8, strand="-"),
    Shape(5, 4, 10, 4, 17, 16, "causal"),
    Shape(33, 2, 2, 5, 13, 32, "causal", "-"),
    Shape(40, 5, 5, 3, 40, 8),
    Shape(64, 3, 19, 5, 7, 32),
    Shape(80, 3, 7, 4, 112, 16, strand="-"),
]


def weights_of(shape, active=0.0):
    """Folded or mirrored weights; ``active`` is added to biases, so that inputs are rarely 0."""
    weights = random_weights(shape)
    blocks = [replace(b, bias1=b.bias1 + active, bias2=b.bias2 + active) for b in weights.blocks]
    weights = replace(weights, blocks=tuple(blocks))
    return weights if shape.strand == "+" else weights.mirrored(shape.grid)


def some_windows(field, n, seed=0):
    """Codes, the first base of ``n`` windows in two heaps and a few apart, places, new codes."""
    rng = np.random.default_rng(seed)
    heap = rng.integers(0, 3 * field, n)
    heap[: n // 3] += 7 * field
    heap[:4] = np.array([0, 0, 1, 5 * field])
    starts = np.sort(heap)
    codes = random_codes(int(starts[-1]) + field, seed=seed).numpy()
    places = rng.integers(0, field, n)
    places[:4] = 0, field - 1, field // 2, field // 2
    bases = rng.integers(0, 5, n).astype(np.uint8)  # now and then the one that is there
    return codes, starts, places, bases


def whole(weights, grid, codes, starts, places=None, bases=None):
    """Logits of each window by itself, its codes changed where ``places`` are given."""
    windows = codes[starts[:, None] + np.arange(grid.receptive_field)]
    if places is not None:
        windows[np.arange(len(starts)), places] = bases
    run = cpu_engine.prepare(weights, grid, "fp32")
    return run(torch.from_numpy(windows))[:, 0]


def check(shape, active=0.0, n=60):
    """The bits of pairs are those of whole windows."""
    weights, grid = weights_of(shape, active), shape.grid
    windows = some_windows(grid.receptive_field, n)
    before, after = cpu_engine.Substitutions(weights, grid).pairs(ChangedWindows(*windows))
    assert before.isfinite().all() and before.std() > 1e-3
    assert torch.equal(before, whole(weights, grid, *windows[:2])), "windows as they are"
    assert torch.equal(after, whole(weights, grid, *windows)), "windows with another base"
