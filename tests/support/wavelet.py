"""Windows with a planted repeat, and a small wavelet network that learned to find it."""

from dataclasses import dataclass

import numpy as np
import torch

from tcnfast.windows.wavelet_network import WaveletNetwork
from tcnfast.windows.window_config import WindowConfig
from tcnfast.windows.window_fit import fit_windows
from tcnfast.windows.window_set import SITE, WindowSet

LENGTH, LABEL = 120, "REPEAT"
MOTIF = np.tile(np.array([0, 3, 0, 2, 3, 2], np.uint8), 4)[:20]  # ATAGTG, again and again
# columns of the last map: 8, of 15 bp
SHAPE = dict(depth=10, width=8, size=128, trainable="all")
CONFIG = WindowConfig(
    epochs=2, batch_size=32, learning_rate=3e-3, shift=0, mutate=0.0, precision="fp32"
)


@dataclass
class Repeats:
    """The network, validation ``windows``, and the first base of the repeat in each: int (n,), -1
    where there is none."""

    model: WaveletNetwork
    windows: WindowSet
    at: np.ndarray


def window_set(codes, labels, part=0, names=(LABEL,)):
    """Windows without coordinates, all of one part."""
    n = len(codes)
    return WindowSet(
        "planted",
        list(names),
        np.asarray(codes, np.uint8),
        np.asarray(labels, np.uint8),
        np.full(n, part, np.uint8),
        np.full(n, SITE, np.uint8),
        np.full(n, -1, np.int16),
        np.full(n, -1, np.int64),
        [],
    )


def repeats(n, seed):
    """Random windows, the repeat anywhere in every second one, on either strand; and its place."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 4, (n, LENGTH)).astype(np.uint8)
    at = np.full(n, -1)
    for row in range(0, n, 2):
        at[row] = rng.integers(0, LENGTH - len(MOTIF) + 1)
        site = MOTIF if rng.random() < 0.5 else 3 - MOTIF[::-1]
        codes[row, at[row] : at[row] + len(MOTIF)] = site
    return codes, at


def random_codes(n, length=LENGTH, seed=0):
    """uint8 (n, length), without N."""
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 4, (n, length), np.uint8))


def learn_repeats():
    train, places = repeats(512, 1)
    valid, at = repeats(128, 2)
    torch.manual_seed(0)
    model = WaveletNetwork([LABEL], LENGTH, **SHAPE)
    windows = window_set(valid, (at >= 0)[:, None], 1)
    fit_windows(model, window_set(train, (places >= 0)[:, None]), windows, CONFIG, "cpu")
    return Repeats(model, windows, at)
