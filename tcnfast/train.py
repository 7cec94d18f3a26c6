"""The training loop: dense supervision of tiles, masked BCE, AdamW, best epoch by validation."""

from __future__ import annotations

import copy
import gc
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from . import engine
from .dataset import Dataset
from .errors import TcnfastError
from .evaluate import evaluate
from .genome import Region
from .labels import AMBIGUOUS, BOUND
from .metrics import MIN_POSITIVES, LabelScores
from .model import TCN
from .plan import Plan
from .progress import Progress
from .tiles import TileSampler

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainConfig:
    """Settings of :func:`fit`. An epoch is ``epoch_steps`` optimiser steps."""

    steps: int = 30_000
    epoch_steps: int = 2_500
    tiles: int = 64  # tiles a step
    tile_steps: int = 16  # scores a tile
    enriched: float = 0.7  # share of tiles laid over a bound peak
    label_power: float = 0.5  # see TileSampler
    stride: int = 32
    learning_rate: float = 3e-3
    weight_decay: float = 0.05
    warmup: float = 0.05  # share of the steps; then cosine decay to zero
    clip: float = 1.0  # gradient norm
    seed: int = 0
    precision: str = "auto"

    def __post_init__(self) -> None:
        for name in ("steps", "epoch_steps", "tiles", "tile_steps"):
            if getattr(self, name) < 1:
                raise TcnfastError(f"{name} {getattr(self, name)}: must be at least 1")
        if self.precision not in ("auto", "fp32", "bf16"):
            raise TcnfastError(f"precision {self.precision!r}: training takes auto, fp32 or bf16")
        for name in ("enriched", "warmup"):
            if not 0 <= getattr(self, name) <= 1:
                raise TcnfastError(f"{name} {getattr(self, name)}: must be within 0 and 1")


@dataclass(frozen=True)
class Epoch:
    """What one epoch gave."""

    step: int
    loss: float
    seconds: float
    scores: LabelScores


def masked_bce(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean binary cross-entropy of logits (N, labels, P) over the labels (N, P, labels), uint8,
    that are not ambiguous."""
    targets = targets.transpose(1, 2)
    known = (targets != AMBIGUOUS).to(logits.dtype)
    truth = (targets == BOUND).to(logits.dtype)
    loss = F.binary_cross_entropy_with_logits(logits, truth, weight=known, reduction="sum")
    return loss / known.sum().clamp_min(1)


def learning_rate_at(step: int, config: TrainConfig) -> float:
    """Linear warm-up, then cosine decay to zero, as a share of the peak rate."""
    warmup = max(1, round(config.warmup * config.steps))
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + np.cos(np.pi * (step - warmup) / max(1, config.steps - warmup)))


def label_rates(sampler: TileSampler, batches: int = 16) -> Tensor:
    """Share of bound windows of each label among the tiles that training draws."""
    bound = known = 0
    for step in range(batches):
        _, targets = sampler.batch(step)
        bound = bound + (targets == BOUND).sum((0, 1))
        known = known + (targets != AMBIGUOUS).sum((0, 1))
    return torch.from_numpy((bound + 0.5) / (known + 1.0)).float()


def decay_groups(model: TCN, weight_decay: float) -> list[dict]:
    """Weight decay for kernels and the head's matrix; none for biases and norms."""
    # one number a channel is a bias or a gain, whatever its shape: weight norm's are (C, 1, 1)
    decayed = [p for p in model.parameters() if p.numel() > len(p)]
    free = [p for p in model.parameters() if p.numel() == len(p)]
    return [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": free, "weight_decay": 0.0},
    ]


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
    on_epoch=None,
    progress: bool = True,
) -> list[Epoch]:
    """Train ``model`` in place; it ends with the weights of the epoch whose macro-AP on ``valid``
    was best. ``on_epoch(model, epoch, is_best)`` is called after every epoch. Steps run on the
    backend that a plan would take, which TCNFAST_BACKEND may name.

    Raises TcnfastError where the loss stops being finite.
    """
    check_valid_regions(dataset, valid, model.receptive_field, config.stride)
    torch.manual_seed(config.seed)
    sampler = TileSampler(
        dataset,
        train,
        model.receptive_field,
        config.stride,
        config.tiles,
        config.tile_steps,
        config.enriched,
        config.label_power,
        config.seed,
    )
    plan_options = dict(device=device, precision=config.precision, stride=config.stride)
    probe = Plan(model, **plan_options)
    model.to(probe.device)
    model.set_label_rates(label_rates(sampler))
    optimiser = torch.optim.AdamW(
        decay_groups(model, config.weight_decay),
        lr=config.learning_rate,
        betas=(0.9, 0.99),
        fused=probe.device.type in ("cpu", "cuda"),
    )
    network = model if probe.backend == "cpu" else model.unfused()
    log.info("training on device %s, backend %s, precision %s", probe.device,
             probe.backend if network.engine else "reference", probe.precision)  # fmt: skip
    for reason in probe.passed_over:
        log.warning("WARNING: %s", reason)
    engine.keep_freed_memory()
    gc.freeze()  # what start-up left behind is not looked through again at every collection
    epochs: list[Epoch] = []
    best_state, best_ap = None, -1.0
    started, losses = time.monotonic(), []
    with ThreadPoolExecutor(1) as reader, Progress(config.steps, "step", progress) as bar:
        upcoming = reader.submit(sampler.batch, 0)
        for step in range(config.steps):
            codes, targets = (torch.from_numpy(x).to(probe.device) for x in upcoming.result())
            upcoming = reader.submit(sampler.batch, step + 1)
            for group in optimiser.param_groups:
                group["lr"] = config.learning_rate * learning_rate_at(step, config)
            losses.append(_step(network, optimiser, codes, targets, config, probe))
            if not np.isfinite(losses[-1]):
                raise TcnfastError(f"loss is {losses[-1]} at step {step + 1}; lower learning_rate")
            bar.update(1, f"loss {losses[-1]:.4f}")
            if (step + 1) % config.epoch_steps and step + 1 < config.steps:
                continue
            loss, losses = float(np.mean(losses)), []
            scores = evaluate(Plan(model.eval(), **plan_options), dataset, valid)
            epoch = Epoch(step + 1, loss, time.monotonic() - started, scores)
            epochs.append(epoch)
            is_best = epoch.scores.macro("ap") > best_ap
            if is_best:
                best_ap, best_state = scores.macro("ap"), copy.deepcopy(model.state_dict())
            if on_epoch is not None:
                on_epoch(model, epoch, is_best)
    gc.unfreeze()
    model.load_state_dict(best_state)
    model.eval()
    return epochs


def _step(model, optimiser, codes, targets, config: TrainConfig, probe: Plan) -> float:
    model.train()
    amp = probe.precision == "bf16"
    with torch.autocast(probe.device.type, torch.bfloat16, enabled=amp):
        logits = model.dense(codes, config.stride)
    loss = masked_bce(logits.float(), targets)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip)
    optimiser.step()
    return loss.item()
