"""One training loop for every network that scores windows: the same batches, loss, optimiser,
schedule and choice of the epoch as :mod:`tcnfast.train` has for tiles."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from .. import backend as backends
from ..baselines.architectures import training_precision, window_scorer
from ..data.window_set import WindowSet
from ..engines import cpu_engine
from ..errors import TcnfastError
from ..labels import AMBIGUOUS, BOUND
from ..metrics import MIN_POSITIVES, score_labels
from ..train import decay_groups, learning_rate_at
from .ema import WeightAverage
from .epochs import Epoch
from .losses import batch_loss
from .window_batches import WindowBatches
from .window_config import WindowConfig


@dataclass(frozen=True)
class WindowTraining:
    """What a training gave: its epochs, the best of them, seconds on the wall and of the processor,
    validation included, and those of its steps alone."""

    epochs: list[Epoch]
    best: int
    seconds: float
    cpu_seconds: float
    step_cpu_seconds: float


def window_rates(labels: np.ndarray) -> torch.Tensor:
    """Share of bound windows of each label: float32 (labels,)."""
    bound, known = (labels == BOUND).sum(0), (labels != AMBIGUOUS).sum(0)
    return torch.from_numpy((bound + 0.5) / (known + 1.0)).float()


def check_parts(train: WindowSet, valid: WindowSet) -> None:
    """Raise TcnfastError where there is nothing to learn from, or to choose an epoch by."""
    for part, windows in (("train", train), ("valid", valid)):
        if not len(windows.codes):
            raise TcnfastError(f"{windows.name}: part {part} holds no window")
    bound = (train.labels == BOUND).sum(0)
    if not bound.all():
        label = train.names[int(np.argmin(bound))]
        raise TcnfastError(f"{train.name}: label {label} has no bound window in part train")
    most = (valid.labels == BOUND).sum(0).max()
    if most < MIN_POSITIVES:
        raise TcnfastError(
            f"{valid.name}: part valid holds {most} bound windows of a label at most; choosing an "
            f"epoch needs {MIN_POSITIVES}"
        )


def fit_windows(
    model: nn.Module,
    train: WindowSet,
    valid: WindowSet,
    config: WindowConfig,
    device: str = "auto",
    on_epoch: Callable[[Epoch, bool], None] | None = None,
) -> WindowTraining:
    """Train ``model``, of :func:`tcnfast.baselines.architectures.build`, in place; it ends with the
    weights of the epoch whose macro-AP on ``valid``, both strands averaged, was best.

    ``on_epoch(epoch, is_best)`` is called after every epoch. Raises TcnfastError where the loss
    stops being finite, and for parts that cannot be trained or validated on.
    """
    check_parts(train, valid)
    cpu_engine.keep_freed_memory()
    run = _Run(model, train, config, device)
    epochs, best, best_state = [], 0, None
    started, worked = time.monotonic(), time.process_time()
    for _ in range(config.epochs):
        loss = run.epoch()
        scores = score_windows(run.judged, valid, device, config.precision)
        epochs.append(Epoch(run.step, loss, time.monotonic() - started, scores))
        is_best = best_state is None or _ap(epochs[-1]) > _ap(epochs[best])
        if is_best:
            best, best_state = len(epochs) - 1, copy.deepcopy(run.judged.state_dict())
        if on_epoch is not None:
            on_epoch(epochs[-1], is_best)
        if config.patience and len(epochs) - 1 - best >= config.patience:
            break
    model.load_state_dict(best_state)
    model.eval()
    spent = time.monotonic() - started, time.process_time() - worked
    return WindowTraining(epochs, best, *spent, run.cpu_seconds)


def score_windows(model: nn.Module, windows: WindowSet, device: str, precision: str):
    """LabelScores of a model on a window set, both strands averaged."""
    logits = window_scorer(model, device, precision)(windows.codes)
    return score_labels(windows.names, logits, windows.labels)


def _ap(epoch: Epoch) -> float:
    return epoch.scores.macro("ap")


class _Run:
    """The state that steps change."""

    def __init__(
        self, model: nn.Module, train: WindowSet, config: WindowConfig, device: str
    ) -> None:
        self.device = backends.choose_device(device)
        self.precision = training_precision(self.device, config.precision)
        torch.manual_seed(config.seed)
        self.model = model.to(self.device)
        model.set_label_rates(window_rates(train.labels).to(self.device))
        self.batches = WindowBatches(train.codes, train.labels, config.batch, config.epochs,
                                     config.seed, config.shift, config.mutate)  # fmt: skip
        self.config = config.schedule(config.epochs * self.batches.per_epoch)
        self.average = WeightAverage(model, config.ema) if config.ema else None
        self.optimiser = torch.optim.AdamW(
            decay_groups(model, config.weight_decay),
            lr=config.learning_rate,
            betas=(0.9, 0.99),
            fused=self.device.type in ("cpu", "cuda"),
        )
        self.step, self.cpu_seconds = 0, 0.0

    @property
    def judged(self) -> nn.Module:
        return self.model if self.average is None else self.average.model

    def epoch(self) -> float:
        """Steps of one pass over the windows; returns their mean loss."""
        self.model.train()
        worked = time.process_time()
        losses = [self._step() for _ in range(self.batches.per_epoch)]
        self.cpu_seconds += time.process_time() - worked
        return float(np.mean(losses))

    def _step(self) -> float:
        codes, labels = (torch.from_numpy(x).to(self.device) for x in self.batches.batch(self.step))
        for group in self.optimiser.param_groups:
            group["lr"] = self.config.learning_rate * learning_rate_at(self.step, self.config)
        self.optimiser.zero_grad(set_to_none=True)
        bf16 = self.precision == "bf16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=bf16):
            logits = self.model(codes)
        loss = batch_loss(logits.float()[..., None], labels[:, None], None, self.config)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip)
        self.optimiser.step()
        if self.average is not None:
            self.average.update(self.model)
        self.step += 1
        value = loss.item()
        if not np.isfinite(value):
            raise TcnfastError(f"loss is {value} at step {self.step}; lower learning_rate")
        return value
