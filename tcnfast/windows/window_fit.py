"""One training loop for every network that scores windows: the same batches, loss, optimiser,
schedule and choice of the epoch as :mod:`tcnfast.train.fit` has for tiles."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from ..base.errors import TcnfastError
from ..base.finite import check_finite
from ..base.jit import jit
from ..base.options import setting
from ..data.training_tiles import MUTATED
from ..engines import backend as backends
from ..engines import cpu_engine
from ..genome.labels import AMBIGUOUS, BOUND
from ..model.metrics import MIN_POSITIVES, LabelScores, score_labels
from ..train.ema import WeightAverage
from ..train.epochs import Epoch
from ..train.losses import batch_loss
from ..train.optimisers import make_optimiser
from ..train.training import learning_rate_at
from .architectures import training_precision, window_scorer
from .kept_features import Work
from .window_config import ARTICLE, WindowConfig
from .window_set import PARTS, WindowSet


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
    work: Work | None = None,
) -> WindowTraining:
    """Train ``model``, of :func:`tcnfast.windows.architectures.build`, in place; it ends with the
    weights of the epoch that was best on ``valid``, both strands averaged: by macro-AP, under the
    article's protocol by accuracy. A model with a ``fit`` of its own is fitted by that, once;
    ``work`` says where it may keep what it has done.

    ``on_epoch(epoch, is_best)`` is called after every epoch. Raises TcnfastError where the loss
    stops being finite, and for parts that cannot be trained or validated on.
    """
    check_parts(train, valid)
    cpu_engine.keep_freed_memory()
    started, worked = time.monotonic(), time.process_time()
    if hasattr(model, "fit"):
        run = Once(model, train, valid, config, device, work or Work())
    else:
        run = _Run(model, train, config, device)
    epochs, merits, best_state = [], [], None
    for _ in range(run.epochs):
        loss = run.epoch()
        what = f"the network after step {run.step}"
        check_finite(run.judged.state_dict(), what, f"lower {setting('learning_rate')}")
        scores, merit = _judge(run, valid, config, device)
        epochs.append(Epoch(run.step, loss, time.monotonic() - started, scores))
        merits.append(merit)
        is_best = best_state is None or merit > max(merits[:-1])
        if is_best:
            best_state = copy.deepcopy(run.judged.state_dict())
        if on_epoch is not None:
            on_epoch(epochs[-1], is_best)
        best = int(np.argmax(merits))
        if config.patience and len(epochs) - 1 - best >= config.patience:
            break
    model.load_state_dict(best_state)
    model.eval()
    spent = time.monotonic() - started, time.process_time() - worked + run.earlier_seconds
    return WindowTraining(epochs, best, *spent, run.cpu_seconds)


def parts_to_fit(windows: WindowSet, config: WindowConfig) -> tuple[WindowSet, WindowSet]:
    """The windows to train on, as many as ``config`` allows, and those to choose by."""
    parts = [PARTS.index(part) for part in config.training_parts]
    train = windows.take(np.isin(windows.part, parts))
    if config.max_windows and config.max_windows < len(train):
        order = np.random.default_rng([config.seed, 3]).permutation(len(train))
        train = train.take(np.sort(order[: config.max_windows]))
    return train, windows.select(config.choosing_part)


def _judge(
    run: Once | _Run, windows: WindowSet, config: WindowConfig, device: str
) -> tuple[LabelScores, float]:
    """Scores on ``windows``, and the number that an epoch is chosen by."""
    logits = run.logits
    if logits is None:
        logits = window_scorer(run.judged, device, config.precision)(windows.codes)
    scores = score_labels(windows.names, logits, windows.labels)
    if config.protocol != ARTICLE:
        return scores, scores.macro("ap")
    known = windows.labels != AMBIGUOUS
    return scores, float(((logits > 0) == (windows.labels == BOUND))[known].mean())


class Once:
    """A model that fits itself: one epoch, whose loss is not known.

    ``fit(train, valid, config, work)`` is called with ``config.precision`` settled. It returns
    None, or two things: the logits of ``valid`` (mean of both strands), which are then not computed
    again, and the processor's seconds that earlier fits spent on what lies in ``work``.
    """

    epochs, step, logits, earlier_seconds = 1, 1, None, 0.0

    def __init__(
        self,
        model: nn.Module,
        train: WindowSet,
        valid: WindowSet,
        config: WindowConfig,
        device: str,
        work: Work,
    ) -> None:
        place = backends.choose_device(device)
        self.judged, self._parts, self._work = model.to(place), (train, valid), work
        self._config = replace(config, precision=training_precision(model, place, config.precision))

    def epoch(self) -> float:
        worked = time.process_time()
        told = self.judged.fit(*self._parts, self._config, self._work)
        if told is not None:
            self.logits, self.earlier_seconds = told
        self.cpu_seconds = time.process_time() - worked + self.earlier_seconds
        return float("nan")


class _Run:
    """The state that steps change."""

    logits, earlier_seconds = None, 0.0  # nothing is known before it is scored

    def __init__(
        self, model: nn.Module, train: WindowSet, config: WindowConfig, device: str
    ) -> None:
        self.device = backends.choose_device(device)
        self.precision = training_precision(model, self.device, config.precision)
        torch.manual_seed(config.seed)
        self.model = model.to(self.device)
        model.set_label_rates(window_rates(train.labels).to(self.device))
        if hasattr(model, "start"):
            model.start(train, config.seed)
        article = config.protocol == ARTICLE
        shift, mutate = (0, 0.0) if article else (config.shift, config.mutate)
        size, self.epochs = config.batch_size, config.epochs
        rest = (size, config.epochs, config.seed, shift, mutate, not article)
        self.batches = WindowBatches(train.codes, train.labels, *rest)
        self.config = config.schedule(config.epochs * self.batches.per_epoch)
        self.constant_rate, self.clip = article, math.inf if article else config.clip
        self.average = WeightAverage(model, config.ema) if config.ema else None
        self.optimiser = make_optimiser(model, self.config, self.device)
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
        share = 1.0 if self.constant_rate else learning_rate_at(self.step, self.config)
        for group in self.optimiser.param_groups:
            group["lr"] = self.config.learning_rate * share
        self.optimiser.zero_grad(set_to_none=True)
        bf16 = self.precision == "bf16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=bf16):
            logits = self.model(codes)
        loss = batch_loss(logits.float()[..., None], labels[:, None], None, self.config)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
        self.optimiser.step()
        if self.average is not None:
            self.average.update(self.model)
        self.step += 1
        value = loss.item()
        if not np.isfinite(value):
            raise TcnfastError(f"loss is {value} at step {self.step}; lower learning_rate")
        return value


class WindowBatches:
    """``codes`` uint8 (n, L) and ``labels`` uint8 (n, labels) in batches of equal size.

    Every window comes once an epoch, in an order of the epoch's own; those that do not fill a batch
    wait for another epoch. Each time it is reverse-complemented with probability 1/2 (unless
    ``strands`` is false), moved by up to ``shift`` bases either way, N coming in at the end, and a
    share of its bases is drawn anew: ``mutate`` in the mean at first, falling to none as in
    TileSampler. ``batch(index)`` depends on the seed and the index alone.
    """

    def __init__(
        self,
        codes: np.ndarray,
        labels: np.ndarray,
        batch: int,
        epochs: int,
        seed: int = 0,
        shift: int = 0,
        mutate: float = 0.0,
        strands: bool = True,
    ) -> None:
        self.codes, self.labels = np.ascontiguousarray(codes), labels
        self.size = min(batch, len(codes))
        self.per_epoch = len(codes) // self.size
        self.seed, self.shift, self.mutate = seed, shift, mutate
        self.strands = strands
        self.mutated = MUTATED * epochs * self.per_epoch
        self._order = -1, np.zeros(0, np.int64)

    def batch(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """uint8 codes (batch, L) and labels (batch, labels)."""
        epoch, place = divmod(index, self.per_epoch)
        if self._order[0] != epoch:
            rng = np.random.default_rng([self.seed, epoch, 1])
            self._order = epoch, rng.permutation(len(self.codes))
        rows = self._order[1][place * self.size : (place + 1) * self.size]
        rng = np.random.default_rng([self.seed, index, 2])
        share = 2 * self.mutate * max(0.0, 1 - index / self.mutated) if self.mutate else 0.0
        out = np.empty((len(rows), self.codes.shape[1]), np.uint8)
        _draw(rng, self.codes, rows, self.shift, share, self.strands, out)
        return out, self.labels[rows]


@jit
def _draw(rng, codes, rows, shift, share, strands, out):
    """Windows ``rows``, each with a strand, a shift and a share of mutated bases of its own."""
    length = codes.shape[1]
    for i in range(rows.size):
        flip = rng.random() < 0.5 and strands
        move = rng.integers(-shift, shift + 1)
        most = share * rng.random()
        for j in range(length):
            at = j + move
            code = codes[rows[i], at] if 0 <= at < length else 4
            if code < 4:
                if most > 0 and rng.random() < most:
                    code = rng.integers(0, 4)
                elif flip:
                    code = 3 - code
            out[i, length - 1 - j if flip else j] = code
