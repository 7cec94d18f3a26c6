"""A random genome with a motif planted under the peaks of each label, and small models for it.

A test file gets the dataset by importing it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook

from tcnfast.engines.plan import Plan
from tcnfast.evaluate.predict import evaluate
from tcnfast.genome.genome import Region
from tcnfast.model.tcn import TCN, TCNConfig

SIZE = 200_000
TRAIN = [Region("chr1", 0, 130_000)]
VALID = [Region("chr1", 130_000, SIZE)]
MOTIFS = {"ONE@x": "TGACGTCATTGC", "TWO@x": "GCCAATTGGCTA"}
SHAPE = dict(labels=list(MOTIFS), channels=32, blocks=5, first_kernel=15, dropout=0.0)
SHORT = dict(steps=6, epoch_steps=3, batch_size=8, tile_steps=4, precision="fp32")


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
