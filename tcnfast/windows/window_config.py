"""Settings of a training on windows, checked."""

from __future__ import annotations

from dataclasses import dataclass

from ..base.errors import TcnfastError
from ..train.train_config import TrainConfig
from .window_set import PARTS

OURS, ARTICLE = "ours", "article"


@dataclass(frozen=True)
class WindowConfig:
    """Settings of :func:`tcnfast.windows.window_fit.fit_windows`, the same for every network.

    ``epochs`` passes over the training windows in batches of ``batch``; AdamW, one cycle: linear
    warm-up over ``warmup`` of the steps to ``learning_rate``, cosine decay to zero. ``shift`` and
    ``mutate``: see WindowBatches. ``ema``: decay of the moving average of weights, 0 for none.
    ``patience``: epochs without a better one after which training stops, 0 for never.
    ``max_windows``: train on so many windows at most, drawn at random; 0 for all.

    ``protocol``: "ours"; or "article", that of the wavelet article (Ruggeri 2025): no strands,
    shifts or mutations, a constant learning rate, no clipping, and the epoch chosen by accuracy on
    the windows that are called test, the validation windows being trained on. That is a flaw and
    kept for comparison: what it gives is too good, and no model to publish.
    """

    epochs: int = 12
    batch: int = 128
    learning_rate: float = 3e-3
    weight_decay: float = 0.05
    warmup: float = 0.1
    clip: float = 1.0
    shift: int = 20
    mutate: float = 0.05
    ema: float = 0.0
    patience: int = 0
    max_windows: int = 0
    protocol: str = OURS
    precision: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "batch"):
            if getattr(self, name) < 1:
                raise TcnfastError(f"{name} {getattr(self, name)}: must be at least 1")
        for name in ("shift", "max_windows"):
            if getattr(self, name) < 0:
                raise TcnfastError(f"{name} {getattr(self, name)}: must not be below 0")
        if self.protocol not in (OURS, ARTICLE):
            raise TcnfastError(f"protocol {self.protocol!r}: must be {OURS} or {ARTICLE}")
        if not self.learning_rate > 0:
            raise TcnfastError(f"learning_rate {self.learning_rate}: must be above 0")
        self.schedule(1)

    @property
    def training_parts(self) -> tuple[str, ...]:
        """Parts of a window set to train on."""
        return PARTS[:2] if self.protocol == ARTICLE else PARTS[:1]

    @property
    def choosing_part(self) -> str:
        """The part that an epoch is chosen by, and whose scores are told."""
        return PARTS[2] if self.protocol == ARTICLE else PARTS[1]

    def schedule(self, steps: int) -> TrainConfig:
        """What the shared parts of training take: rates, loss, clipping."""
        return TrainConfig(
            steps=steps, epoch_steps=steps, tiles=self.batch, tile_steps=1,
            learning_rate=self.learning_rate, weight_decay=self.weight_decay, warmup=self.warmup,
            clip=self.clip, seed=self.seed, precision=self.precision, mutate=self.mutate,
            ema=self.ema, patience=self.patience,
        )  # fmt: skip
