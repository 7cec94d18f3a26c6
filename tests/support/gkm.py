"""Windows for the tests of gkm-SVMs."""

import numpy as np

from tcnfast.genome.codes import encode, reverse_complement
from tcnfast.genome.labels import BOUND
from tcnfast.windows.window_set import GIVEN, WindowSet

MOTIF = encode("GATTACAGGC")


def window_set(n, length=40, labels=("A",), seed=0, share=0.5):
    """Windows whose bound ones hold MOTIF somewhere, on either strand."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 4, (n, length), np.uint8)
    truth = (rng.random((n, len(labels))) < share).astype(np.uint8) * BOUND
    for i in np.flatnonzero(truth[:, 0] == BOUND):
        start = rng.integers(0, length - len(MOTIF) + 1)
        codes[i, start : start + len(MOTIF)] = MOTIF if i % 2 else reverse_complement(MOTIF)
    none = np.full(n, -1)
    return WindowSet(
        "planted",
        list(labels),
        codes,
        truth,
        np.zeros(n, np.uint8),
        np.full(n, GIVEN, np.uint8),
        none.astype(np.int16),
        none.astype(np.int64),
        [],
    )
