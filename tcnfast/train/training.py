"""A training that can stop after any epoch: dense supervision of tiles."""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import numpy as np
import torch

from ..base.errors import TcnfastError
from ..base.finite import check_finite
from ..base.options import setting
from ..base.progress import Progress
from ..data.dataset import Dataset
from ..data.training_tiles import TileSampler
from ..data.unlabelled import UnlabelledTiles
from ..engines.backend import TRAINING, choose
from ..engines.plan import Plan
from ..engines.ranks import ALONE, Ranks
from ..evaluate.predict import evaluate
from ..genome.genome import Region
from ..genome.labels import AMBIGUOUS, BOUND
from ..model.tcn import TCN
from .ema import WeightAverage
from .epochs import Epoch
from .hard import find_hard
from .losses import batch_loss
from .optimisers import make_optimiser
from .teachers import Teachers
from .train_config import TrainConfig

SCALING_BATCHES = 16  # that teachers' logits are fitted to

T = TypeVar("T")

log = logging.getLogger(__name__)


def learning_rate_at(step: int, config: TrainConfig) -> float:
    """Linear warm-up, then cosine decay to zero, as a share of the peak rate."""
    warmup = max(1, round(config.warmup * config.steps))
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + np.cos(np.pi * (step - warmup) / max(1, config.steps - warmup)))


def label_rates(sampler: TileSampler, batches: int = 16) -> torch.Tensor:
    """Share of bound windows of each label among the tiles that training draws."""
    bound = known = 0
    for step in range(batches):
        _, targets, cover = sampler.batch(step)
        truth = targets == BOUND
        bound = bound + (truth if cover is None else truth * cover).sum((0, 1))
        known = known + (targets != AMBIGUOUS).sum((0, 1))
    return torch.from_numpy((bound + 0.5) / (known + 1.0)).float()


class Training:
    """A training that can stop after any epoch: ``step``, ``epochs``, ``best_state`` and the state
    of ``model``, ``average`` (None without), ``optimiser`` and ``sampler`` are all it depends on.
    """

    def __init__(
        self,
        model: TCN,
        dataset: Dataset,
        train: list[Region],
        valid: list[Region],
        config: TrainConfig,
        device: str = "auto",
        make_plan: Callable[..., Plan] = Plan,
        teachers: Teachers | None = None,
        unlabelled: UnlabelledTiles | None = None,
        ranks: Ranks = ALONE,
    ) -> None:
        torch.manual_seed(config.seed)
        self.ranks, model.ranks = ranks, ranks.name
        self.model, self.dataset, self.valid, self.config = model, dataset, valid, config
        batches = config.steps * config.accumulate
        self.teachers, reach = teachers, teachers.reach if teachers else 0
        self.sampler = TileSampler(
            dataset, train, model.receptive_field, config, batches, reach, unlabelled
        )
        options = dict(device=device, precision=config.precision, stride=config.stride)
        self._plan = partial(make_plan, **options)
        self.probe = self._plan(model)
        if ranks.count > 1:  # or raise before any work
            of_probe = self.probe.backend, self.probe.device, self.probe.precision
            choose(TRAINING, *of_probe, shared=True)
        model.to(self.probe.device)
        model.set_label_rates(label_rates(self.sampler))
        if teachers:  # the last batches: of true sequence, with no base drawn anew
            last = range(max(0, batches - SCALING_BATCHES), batches)
            teachers.scale_to(self.sampler.batch(index) for index in last)
        self.average = WeightAverage(model, config.ema) if config.ema else None
        self.optimiser = make_optimiser(model, config, self.probe.device)
        self._network = model.unfused() if self.probe.backend == "reference" else model
        log.info("training on device %s, backend %s, precision %s", *self.runs_on())
        ranks.check_alike("backend and precision", self.runs_on()[1:])
        if ranks.count > 1:
            words = "each batch is shared by %d processes"
            log.info(words, ranks.count)
        for reason in self.probe.passed_over:
            log.warning("WARNING: %s", reason)
        self.step, self.epochs, self.best_state = 0, [], None
        self._earlier, self._started = 0.0, time.monotonic()

    def runs_on(self) -> tuple[str, str, str]:
        """Device, backend and precision of the steps."""
        backend = self.probe.backend if self._network.engine else "reference"
        return str(self.probe.device), backend, self.probe.precision

    @property
    def judged(self) -> TCN:
        """The model that is validated and kept: with averaged weights, where they are averaged."""
        return self.model if self.average is None else self.average.model

    @property
    def best(self) -> int:
        """Index of the best epoch."""
        return int(np.argmax([epoch.scores.macro("ap") for epoch in self.epochs]))

    @property
    def seconds(self) -> float:
        """Time spent, earlier runs of a resumed training included."""
        return self._earlier + time.monotonic() - self._started

    def continue_at(self, step: int, epochs: list[Epoch], best_state: dict, seconds: float) -> None:
        """Take up the count of a training that stopped."""
        self.step, self.epochs, self.best_state = step, epochs, best_state
        self._earlier, self._started = seconds, time.monotonic()

    def finished(self) -> bool:
        """Whether all steps are done, or patience has run out."""
        patience = self.config.patience
        if patience and self.epochs and len(self.epochs) - 1 - self.best >= patience:
            log.info("no better epoch in %d: training stops early", patience)
            return True
        return self.step >= self.config.steps

    def run_epoch(self, bar: Progress) -> bool:
        """Steps up to the end of the epoch, then validation; returns whether it is the best one."""
        loss = self._run_steps(bar)
        # the last step's loss was finite, and yet its gradient may have carried the weights away
        what = f"the network after step {self.step}"
        check_finite(self.judged.state_dict(), what, f"lower {setting('learning_rate')}")
        self._agree()
        config, plan = self.config, self._plan(self.judged.eval())
        scores = self.ranks.of_first(lambda: evaluate(plan, self.dataset, self.valid))
        self.epochs.append(Epoch(self.step, loss, self.seconds, scores))
        is_best = self.best == len(self.epochs) - 1
        if is_best:
            self.best_state = copy.deepcopy(self.judged.state_dict())
        if config.hard and self.step < config.steps:
            seed = [config.seed, len(self.epochs), 1]
            given = plan, self.dataset, self.sampler.regions, config.tile_steps, seed
            self.sampler.set_hard(self.ranks.of_first(lambda: find_hard(*given)))
        return is_best

    def _agree(self) -> None:
        """Processes of unlike machines may differ in the last bits: the first one's count."""
        models = [self.model] if self.average is None else [self.model, self.average.model]
        for model in models:
            self.ranks.share(model.state_dict().values())

    def _run_steps(self, bar: Progress) -> float:
        """Steps up to the end of the epoch; returns their mean loss."""
        first, losses = self.step, []
        # read one step late, so that an accelerator has the next step to do meanwhile
        for loss in _one_late(self._steps()):
            losses.append(float(loss))
            if not np.isfinite(losses[-1]):
                step = first + len(losses)
                raise TcnfastError(f"loss is {losses[-1]} at step {step}; lower learning_rate")
            bar.update(1, f"loss {losses[-1]:.4f}")
        return float(np.mean(losses))

    def _steps(self) -> Iterator[torch.Tensor]:
        """Take the steps up to the end of the epoch; yields the loss of each, on the device."""
        config = self.config
        end = min(config.steps, self.step + config.epoch_steps)
        indices = range(self.step * config.accumulate, end * config.accumulate)
        batches = _read_ahead(self._batch, indices)
        while self.step < end:
            for group in self.optimiser.param_groups:
                group["lr"] = config.learning_rate * learning_rate_at(self.step, config)
            some = [next(batches) for _ in range(config.accumulate)]
            given = self.optimiser, some, config, self.probe, self.ranks
            loss = take_step(self._network, *given)
            if self.average is not None:
                self.average.update(self.model)
            self.step += 1
            yield loss

    def _batch(self, index: int) -> list[torch.Tensor | None]:
        """A batch of the sampler, and what teachers say of it, as tensors on their way to the
        device."""
        batch = self.sampler.batch(index, self.ranks.rows)
        tensors = [None if x is None else torch.from_numpy(x) for x in batch]
        if self.teachers:
            tensors.append(self.teachers.logits(tensors[0], self.config.tile_steps).cpu())
        if reach := self.sampler.reach:
            tensors[0] = tensors[0][:, reach:-reach].contiguous()
        if self.probe.device.type == "cuda":
            tensors = [None if x is None else x.pin_memory() for x in tensors]
        return tensors


def _read_ahead(make: Callable[[int], T], indices: Iterable[int]) -> Iterator[T]:
    """What ``make`` gives for each index; the next one is made in a thread while one is in use."""
    with ThreadPoolExecutor(1) as reader:
        upcoming = []
        for index in indices:
            upcoming.append(reader.submit(make, index))
            if len(upcoming) == 2:
                yield upcoming.pop(0).result()
        yield from (future.result() for future in upcoming)


def _one_late(items: Iterator[T]) -> Iterator[T]:
    """The items, each after the one behind it was made."""
    before = next(items)
    for item in items:
        yield before
        before = item
    yield before


def take_step(
    network,
    optimiser,
    batches: list,
    config: TrainConfig,
    probe: Plan,
    ranks: Ranks = ALONE,
) -> torch.Tensor:
    """One optimiser step on the mean loss of the batches, which is returned, on the device."""
    network.train()
    amp = probe.precision == "bf16"
    optimiser.zero_grad(set_to_none=True)
    total = 0.0
    for batch in batches:
        codes, targets, cover, *taught = (
            None if x is None else x.to(probe.device, non_blocking=True) for x in batch
        )
        with torch.autocast(probe.device.type, torch.bfloat16, enabled=amp):
            logits = network.dense(codes, config.stride)
        lesson = targets, cover, config, taught[0] if taught else None, ranks
        loss = batch_loss(logits.float(), *lesson) / len(batches)
        loss.backward()
        total = total + loss.detach()
    if ranks.count > 1:
        _add_up([total, *(p.grad for p in network.parameters() if p.grad is not None)], ranks)
    torch.nn.utils.clip_grad_norm_(network.parameters(), config.clip)
    optimiser.step()
    return total


@torch.no_grad()
def _add_up(tensors: list[torch.Tensor], ranks: Ranks) -> None:
    """Add the tensors up over all processes, in place and all at once."""
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    ranks.add_up(flat)
    parts = flat.split([tensor.numel() for tensor in tensors])
    for tensor, part in zip(tensors, parts, strict=True):
        tensor.copy_(part.view_as(tensor))
