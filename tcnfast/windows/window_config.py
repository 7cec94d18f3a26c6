"""Settings of a training on windows, checked."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from ..base.errors import TcnfastError
from ..base.options import Options, as_in, option, seed_option, setting
from ..base.tables import parse_json
from ..train.train_config import TrainConfig, TrainOptions

OURS, ARTICLE = "ours", "article"
_MUTATE = "share of a window's bases that are replaced at random, at first; falls to none"


@dataclass(frozen=True)
class WindowConfig(Options):
    """Settings of :func:`tcnfast.windows.window_fit.fit_windows`, the same for every network.

    AdamW with one cycle of rates: linear warm-up over ``warmup`` of the steps to ``learning_rate``,
    then cosine decay to zero. ``shift`` and ``mutate``: see WindowBatches.

    ``protocol``: "ours"; or "article", that of the wavelet article (Ruggeri 2025): no strands,
    shifts or mutations, a constant learning rate, no clipping, and the epoch chosen by accuracy on
    the test windows, the validation windows being trained on. That is a flaw and kept for
    comparison: the scores it gives are too good, and no model to publish.
    """

    epochs: int = option(12, "passes over the training windows", unit="N", least=1)
    batch_size: int = option(128, "windows of a batch", unit="N", least=1)
    learning_rate: float = as_in(TrainConfig, "learning_rate", group=None)
    weight_decay: float = as_in(TrainConfig, "weight_decay", group=None)
    shift: int = option(20, "move windows by up to this many bases", unit="BP", least=0)
    mutate: float = as_in(TrainConfig, "mutate", help=_MUTATE, group=None)
    ema: float = as_in(TrainConfig, "ema", group=None)
    patience: int = as_in(TrainConfig, "patience", group=None)
    max_windows: int = option(
        0, "train on this many windows at most, drawn at random; 0: all", unit="N", least=0
    )
    seed: int = seed_option("weights, batches and draws")
    warmup: float = 0.1
    clip: float = 1.0
    protocol: str = OURS
    precision: str = "auto"

    def check(self) -> None:
        if self.protocol not in (OURS, ARTICLE):
            raise TcnfastError(f"protocol {self.protocol!r}: must be {OURS} or {ARTICLE}")
        if not self.learning_rate > 0:
            raise TcnfastError(f"learning_rate {self.learning_rate}: must be above 0")
        self.schedule(1)

    @property
    def training_parts(self) -> tuple[str, ...]:
        """Parts of a window set to train on."""
        return ("train", "valid") if self.protocol == ARTICLE else ("train",)

    @property
    def choosing_part(self) -> str:
        """The part that an epoch is chosen by, and whose scores are reported."""
        return "test" if self.protocol == ARTICLE else "valid"

    def schedule(self, steps: int) -> TrainConfig:
        """The settings that the shared parts of training take: rates, loss, clipping."""
        shared = ("learning_rate", "weight_decay", "warmup", "clip", "seed", "precision", "mutate")
        shared += ("ema", "patience")
        values = {name: getattr(self, name) for name in shared}
        return TrainConfig(
            steps=steps, epoch_steps=steps, batch_size=self.batch_size, tile_steps=1, **values
        )


# the wavelet article's training (Ruggeri 2025): facts of its code
ARTICLE_TRAINING = {
    "protocol": ARTICLE,
    "epochs": 20,
    "batch_size": 32,
    "learning_rate": 1e-3,
    "weight_decay": 0.01,
}
_NETWORK = "network"
FAITHFUL_OPTIONS = ("epochs", "max_windows", "seed")  # those a faithful training takes


def network_shape(value: str | dict) -> dict:
    """Settings of a network, given as JSON or as they are; ValueError for what is neither."""
    try:
        shape = parse_json(value) if isinstance(value, str) else value
    except ValueError as error:
        raise ValueError(f"not JSON ({error})") from None
    if not isinstance(shape, dict):
        raise ValueError('must be as {"hidden": 100}')
    return shape


@dataclass(frozen=True)
class WindowTrainOptions(WindowConfig):
    """Of ``windows train``: which network, and its training."""

    epochs: int | None = as_in(
        WindowConfig,
        "epochs",
        default=None,
        help=f"passes over the windows (default {WindowConfig.epochs}; 20 if faithful)",
    )
    arch: str = option(
        "tcn",
        "tcn, danq, gkm-svm, pwm, wavelet, ...: see docs/study.md",
        unit="NAME",
        group=_NETWORK,
    )
    mapping: str = option(
        "one-hot", "its input", choices=("one-hot", "integer", "eiip"), group=_NETWORK
    )
    shape: dict[str, Any] | None = option(
        None, 'its settings, as {"hidden": 100}', kind=network_shape, unit="JSON", group=_NETWORK
    )
    faithful: bool = option(
        False,
        "with arch wavelet: train as the article did, flaws and all (docs/baselines.md)",
        group=_NETWORK,
    )
    tensorboard: str | None = as_in(TrainOptions, "tensorboard")

    def check(self) -> None:
        super().check()
        if not self.faithful:
            return
        if self.arch != "wavelet":
            raise TcnfastError(
                f"{setting('faithful', True)}: goes with {setting('arch', 'wavelet')}, the network "
                f"of the article, not {self.arch}"
            )
        for x in fields(WindowConfig):
            if x.name not in FAITHFUL_OPTIONS and getattr(self, x.name) != x.default:
                raise TcnfastError(
                    f"{setting(x.name)} does not go with {setting('faithful', True)}"
                )

    def config(self, precision: str) -> WindowConfig:
        """The settings of the training that is asked for."""
        values = {x.name: getattr(self, x.name) for x in fields(WindowConfig)}
        if self.faithful:
            values |= ARTICLE_TRAINING
        if self.epochs is not None or not self.faithful:
            values["epochs"] = self.epochs or WindowConfig.epochs
        return WindowConfig(**values | {"precision": precision})
