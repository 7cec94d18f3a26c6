"""A random genome with a motif planted under the peaks of each label, and small models for it.

A test file gets the dataset by importing it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook

from tcnfast.data.dataset import Dataset
from tcnfast.engines.plan import Plan
from tcnfast.evaluate.predict import evaluate
from tcnfast.genome.genome import Genome, Region
from tcnfast.genome.intervals import Intervals
from tcnfast.model.tcn import TCN, TCNConfig
from tcnfast.train.train_config import TrainConfig

SIZE = 200_000
TRAIN = [Region("chr1", 0, 130_000)]
VALID = [Region("chr1", 130_000, SIZE)]
MOTIFS = {"ONE@x": "TGACGTCATTGC", "TWO@x": "GCCAATTGGCTA"}
SHAPE = dict(labels=list(MOTIFS), channels=32, blocks=5, first_kernel=15, dropout=0.0)
SHORT = dict(steps=6, epoch_steps=3, batch_size=8, tile_steps=4, precision="fp32")


@contextmanager
def planted_dataset(folder: Path) -> Iterator[Dataset]:
    """A random genome in which each label has 200 sites of its motif, on either strand."""
    rng = np.random.default_rng(11)
    letters = np.frombuffer(b"ACGT", np.uint8)[rng.integers(0, 4, SIZE)].copy()
    complement = bytes.maketrans(b"ACGT", b"TGCA")
    rows = []
    for site, middle in enumerate(range(250, SIZE - 250, 500)):
        label = list(MOTIFS)[site % 2]
        motif = MOTIFS[label].encode()
        middle += int(rng.integers(-80, 80))
        if rng.random() < 0.5:
            motif = motif.translate(complement)[::-1]
        letters[middle - 6 : middle + 6] = np.frombuffer(motif, np.uint8)
        rows.append((middle - 50, middle + 50, label))
    path = folder / "genome.fa"
    lines = letters.reshape(-1, 80).view("S80").ravel()
    path.write_bytes(b">chr1\n" + b"\n".join(lines) + b"\n")
    start, end, label = (np.array(values) for values in zip(*rows, strict=True))
    chrom, summit = np.array(["chr1"] * len(rows), object), np.full(len(rows), -1)
    bound = Intervals(chrom, start, end, summit, label.astype(object))
    with Genome(path) as genome:
        yield Dataset(genome, bound, list(MOTIFS), label_bin=100, min_overlap=50)


def new_model(seed=0, **change):
    torch.manual_seed(seed)
    return TCN(TCNConfig(**SHAPE | change))


def score(model, dataset):
    plan = Plan(model.eval(), device="cpu", precision="fp32", stride=32)
    return evaluate(plan, dataset, VALID)


@contextmanager
def before_each_step(act: Callable[[torch.optim.Optimizer], None]) -> Iterator[None]:
    """Calls ``act`` before every optimiser step of a training in this process."""
    handle = register_optimizer_step_pre_hook(lambda optimiser, *_: act(optimiser))
    try:
        yield
    finally:
        handle.remove()


# trainings that processes share: what TrainConfig gets, and the network
SHARED = {
    "plain": ({}, {}),
    "every-option": (
        dict(ema=0.9, hard=0.3, enriched=0.5, edge="soft", strand_loss=0.1)
        | dict(strands="both", accumulate=2, mutate=0.05),
        dict(dropout=0.2),
    ),
    "symmetric": (dict(hard=0.1), dict(symmetric=True, dropout=0.1)),
    "weight-norm": (dict(loss="focal"), dict(norm="weight")),
}


def shared_config(options):
    return TrainConfig(**SHORT | dict(learning_rate=1e-3) | options)
