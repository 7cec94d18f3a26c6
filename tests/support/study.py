"""A small window set with planted motifs, in which each label can be learned from its motif, and a
study of such sets."""

import json
from dataclasses import replace

import numpy as np

from tcnfast.genome.codes import encode
from tcnfast.windows.window_set import PARTS, WindowSet

MOTIFS = {"ONE@x": b"TGACGTCATTGC", "TWO@x": b"GCCAATTGGCTA", "THREE@y": b"CCACCAGGGGGCGC"}
SIZES = {"train": 900, "valid": 300, "test": 400}
STUDY_SIZES = {"train": 256, "valid": 160, "test": 200}
TINY = {
    "tcn": {"arch": "tcn", "shape": {"channels": 8, "blocks": 4}},
    "danq": {"arch": "danq", "learning_rate": 0.003},
}
TINY["danq"]["shape"] = {"filters": 8, "hidden": 4, "hidden_layer": 8}


def planted_set(labels=tuple(MOTIFS), length=100, seed=0, sizes=SIZES, masked=0.02, name="planted"):
    """A third of the windows of a label hold its motif, on either strand; some are masked."""
    rng, n = np.random.default_rng(seed), sum(sizes.values())
    codes = rng.integers(0, 4, (n, length), np.uint8)
    labels_ = (rng.random((n, len(labels))) < 0.3).astype(np.uint8)
    for i, label in enumerate(labels):
        motif = encode(MOTIFS[label])
        places = 10 + 25 * i + rng.integers(0, 10, n)
        for row in np.flatnonzero(labels_[:, i]):
            word = motif if rng.random() < 0.5 else 3 - motif[::-1]
            codes[row, places[row] : places[row] + len(word)] = word
    labels_[rng.random(labels_.shape) < masked] = 2
    part = np.repeat(np.arange(3), list(sizes.values())).astype(np.uint8)
    start = 1000 * np.arange(n, dtype=np.int64) * 25
    return WindowSet(
        name,
        list(labels),
        codes,
        labels_,
        part,
        np.zeros(n, np.uint8),
        np.zeros(n, np.int16),
        start,
        ["chr1"],
    )


assert PARTS == tuple(SIZES)


def of_labels(windows, names):
    """The same windows with these labels, in this order."""
    columns = [windows.names.index(name) for name in names]
    return replace(windows, names=list(names), labels=windows.labels[:, columns])


def write_study(path, **change):
    """The file ``path`` of a study of two networks on four sets, with changes."""
    study = {
        "sets": {name: {"windows": name} for name in ("many", "one0", "one1", "one2")},
        "models": TINY,
        "grids": [
            {"sets": ["many"], "models": ["tcn", "danq"], "seeds": [0, 1]},
            {"sets": ["one0", "one1", "one2"], "models": ["tcn", "danq"], "seeds": [0]},
        ],
        "training": {"epochs": 2, "batch_size": 32, "shift": 4, "precision": "fp32"},
        "tuning": {"set": "many", "learning_rates": [0.001, 0.01]},
        "reference": "tcn",
    } | change
    path.write_text(json.dumps(study))
    return path
