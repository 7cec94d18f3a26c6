"""The training loop: epoch after epoch, of which the best by validation is kept."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..base.errors import TcnfastError
from ..base.progress import Progress
from ..data.dataset import Dataset
from ..data.unlabelled import UnlabelledTiles
from ..engines import cpu_engine
from ..engines.plan import Plan
from ..engines.ranks import ALONE, Ranks
from ..genome.genome import Region
from ..genome.labels import BOUND
from ..model.metrics import MIN_POSITIVES
from ..model.tcn import TCN
from . import checkpoint
from .epochs import Epoch
from .teachers import Teachers
from .train_config import TrainConfig
from .training import Training

log = logging.getLogger(__name__)


def check_valid_regions(
    dataset: Dataset, regions: list[Region], receptive_field: int, stride: int
) -> None:
    """Raise TcnfastError where no label has enough bound windows to choose an epoch by."""
    bound = np.zeros(len(dataset.labels), np.int64)
    for region in regions:
        _, targets = dataset.scored_bins(region, receptive_field, stride)
        bound += (targets == BOUND).sum(0)
    if bound.max() < MIN_POSITIVES:
        raise TcnfastError(
            f"the validation regions hold {bound.max()} bound windows of a label at most; "
            f"choosing an epoch needs {MIN_POSITIVES}"
        )


def fit(
    model: TCN,
    dataset: Dataset,
    train: list[Region],
    valid: list[Region],
    config: TrainConfig,
    device: str = "auto",
    on_epoch: Callable[[TCN, Epoch, bool], None] | None = None,
    progress: bool = True,
    saved: str | Path | None = None,
    on_resume: Callable[[list[Epoch]], None] | None = None,
    make_plan: Callable[..., Plan] = Plan,
    teachers: Teachers | None = None,
    unlabelled: UnlabelledTiles | None = None,
    ranks: Ranks = ALONE,
) -> list[Epoch]:
    """Train ``model`` in place; it ends with the weights of the epoch whose macro-AP on ``valid``
    was best, averaged ones where ``config.ema`` asks for them. Steps run on the backend that a
    plan would take, which TCNFAST_BACKEND may name.

    ``on_epoch(judged, epoch, is_best)`` is called after every epoch with the model that was
    validated. ``saved`` is a file that then gets all that training depends on; where it exists
    already, training goes on from it, after ``on_resume(earlier epochs)``, and ends with the same
    weights. ``make_plan(model, device, precision, stride)`` makes the model ready for scoring.
    ``teachers``: networks whose logits are learned beside the labels, as ``config.teacher_share``
    and ``config.temperature`` have it; ``unlabelled``: where further tiles for them come from.
    ``ranks``: the processes that share every batch, each of which calls this; only the first has
    ``saved`` and ``on_epoch``.

    Raises TcnfastError where the loss stops being finite, and where ``saved`` is broken.
    """
    check_valid_regions(dataset, valid, model.receptive_field, config.stride)
    lessons = teachers, unlabelled
    training = Training(model, dataset, train, valid, config, device, make_plan, *lessons, ranks)
    there = saved is not None and Path(saved).exists()
    state = ranks.of_first(lambda: checkpoint.read(saved) if there else None)
    if state is not None:
        checkpoint.take_up(state, training)
        log.info("going on after step %d of %d", training.step, config.steps)
        if on_resume is not None:
            on_resume(training.epochs)
    cpu_engine.keep_freed_memory()
    gc.freeze()  # what start-up left behind is not looked through again at every collection
    try:
        with Progress(config.steps, "step", progress) as bar:
            bar.begin_at(training.step)
            while not training.finished():
                is_best = training.run_epoch(bar)
                if on_epoch is not None:
                    on_epoch(training.judged, training.epochs[-1], is_best)
                if saved is not None:
                    checkpoint.save(saved, training)
    finally:
        gc.unfreeze()
    model.load_state_dict(training.best_state)
    model.eval()
    return training.epochs
