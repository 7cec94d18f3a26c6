"""Settings of training, checked: what ``tcnfast train`` takes and a card records."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from ..base.errors import TcnfastError
from ..base.options import Options, option, seed_option, setting, stride_option
from ..data.data_options import DataOptions
from ..model.tcn_config import FIRST_KERNEL, SHAPE, TCNConfig, TCNShape

LOSSES = ("bce", "focal", "asymmetric")
EDGES = ("hard", "soft", "mask")
STRANDS = ("one", "both", "mean")
PRECISIONS = ("auto", "fp32", "bf16")
SCHEDULE, TILES, LOSS = "schedule", "tiles", "loss"  # headings of the help

_EDGE = (
    "bound bins that no peak covers whole: hard, bound like any other; soft, target is the share "
    "that the best peak covers; mask, left out if that share is under 3/4"
)
_STRANDS = (
    "one, a random strand of each tile; both strands of half as many tiles, each with its loss; or "
    "mean, the loss of the mean of their logits"
)
_ENRICHED = "share of tiles laid over a bound peak"
_HARD = "share of tiles laid over the worst false positives of the last epoch"
_MUTATE = "share of a tile's bases drawn anew at random at first; falls to none"
_ACCUMULATE = "batches for one step; batch norm takes its statistics from each alone"
_PATIENCE = "stop after so many epochs without a better one; 0: never"
_EMA = "validate and keep a moving average of the weights, as 0.999; 0: none"
_MARGIN = "probability below which asymmetric loss ignores unbound labels (default 0.05)"
_STRAND_LOSS = "weight of the mean squared difference of the two strands' logits"


def _share(default: float, help: str, group: str) -> float:
    return option(default, help, unit="SHARE", group=group)


def _count(default: int, help: str, group: str, unit: str = "N", least: int = 1) -> int:
    return option(default, help, unit=unit, least=least, group=group)


def _of_loss(help: str, unit: str = "G", **limit: float) -> float | None:
    return option(None, help, kind=float, unit=unit, least=0, group=LOSS, **limit)


@dataclass(frozen=True)
class TrainConfig(Options):
    """Settings of :func:`tcnfast.train.fit.fit`. An epoch is ``epoch_steps`` optimiser steps.

    Bins of which peaks cover less than the label rule asks for are ambiguous and left out whatever
    ``edge`` says. The defaults were chosen on validation (docs/training.md). ``warmup`` is the
    share of the steps in which the learning rate rises; it then falls to zero as a cosine.
    ``clip``: largest norm of the gradient.
    """

    steps: int = _count(30_000, "optimiser steps", SCHEDULE)
    epoch_steps: int = _count(2_500, "steps of an epoch", SCHEDULE)
    patience: int = _count(0, _PATIENCE, SCHEDULE, "EPOCHS", 0)
    learning_rate: float = option(3e-3, "highest learning rate", unit="R", group=SCHEDULE)
    weight_decay: float = option(0.05, "weight decay of AdamW", unit="R", group=SCHEDULE)
    ema: float = option(0.0, _EMA, unit="DECAY", least=0, below=1, group=SCHEDULE)
    accumulate: int = _count(1, _ACCUMULATE, SCHEDULE)
    seed: int = seed_option("weights, tiles and dropout")
    warmup: float = 0.05
    clip: float = 1.0
    precision: str = "auto"

    stride: int = stride_option()
    batch_size: int = _count(64, "tiles of a batch", TILES)
    tile_steps: int = _count(16, "scores of a tile", TILES)
    enriched: float = _share(0.7, _ENRICHED, TILES)
    label_power: float = option(0.5, "1 draws peaks evenly, 0 labels", unit="P", group=TILES)
    hard: float = _share(0.0, _HARD, TILES)
    mutate: float = _share(0.05, _MUTATE, TILES)
    edge: str = option("hard", _EDGE, choices=EDGES, group=TILES)
    strands: str = option("one", _STRANDS, choices=STRANDS, group=TILES)

    loss: str = option("bce", "loss of a label (docs/training.md)", choices=LOSSES, group=LOSS)
    gamma: float | None = _of_loss("exponent of focal loss (default 2)")
    gamma_positive: float | None = _of_loss("exponent of asymmetric loss, bound (default 0)")
    gamma_negative: float | None = _of_loss("exponent of asymmetric loss, unbound (default 4)")
    margin: float | None = _of_loss(_MARGIN, "P", below=1)
    positive_weight: float = option(1.0, "weight of bound labels", unit="W", group=LOSS)
    strand_loss: float = option(0.0, _STRAND_LOSS, unit="W", least=0, group=LOSS)

    def check(self) -> None:
        problem = self._problem()
        if problem:
            raise TcnfastError(problem)

    def _problem(self) -> str | None:
        def named(name: str) -> str:
            return f"{setting(name)} {getattr(self, name)}"

        for name in ("enriched", "warmup", "hard", "mutate"):
            if not 0 <= getattr(self, name) <= 1:
                return f"{named(name)}: must be within 0 and 1"
        if self.precision not in PRECISIONS:
            return f"{named('precision')}: training takes auto, fp32 or bf16"
        if not self.positive_weight > 0:
            return f"{named('positive_weight')}: must be above 0"
        if self.enriched + self.hard > 1:
            return f"{named('enriched')} and {named('hard')}: shares of the tiles over 1"
        owners = {"gamma": "focal"} | dict.fromkeys(
            ("gamma_positive", "gamma_negative", "margin"), "asymmetric"
        )
        for name, owner in owners.items():
            if getattr(self, name) is not None and self.loss != owner:
                return f"{named(name)}: belongs to loss {owner}, not {self.loss}"
        if self.strands == "one" and self.strand_loss:
            return f"{named('strand_loss')}: needs {setting('strands')} both or mean"
        if self.strands != "one" and self.batch_size % 2:
            return f"{named('batch_size')}: must be even, as {named('strands')} pairs tiles"
        return None


@dataclass(frozen=True)
class TrainOptions(DataOptions, TrainConfig, TCNShape):
    """Of ``tcnfast train``: data, shape and settings."""

    first_kernel: int = option(15, FIRST_KERNEL, unit="N", group=SHAPE)
    motifs: str | None = option(
        None,
        "MEME file: first filters start at the motifs named for the labels' factors",
        unit="MEME",
        group=SHAPE,
    )
    min_peaks: int = _count(200, "drop labels with fewer training peaks", TILES)
    tensorboard: str | None = option(None, "write TensorBoard events there", unit="DIR")

    def check(self) -> None:
        DataOptions.check(self)
        TrainConfig.check(self)
        self.shape(["label"])

    def shape(self, labels: list[str], **more: int) -> TCNConfig:
        """The shape of a network with these labels."""
        return TCNConfig(labels=labels, **asdict(self.narrowed(TCNShape)), **more)
