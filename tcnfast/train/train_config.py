"""Settings of training, checked: what `tcnfast train` takes and a card records."""

from __future__ import annotations

from dataclasses import dataclass

from ..base.errors import TcnfastError

LOSSES = ("bce", "focal", "asymmetric")
EDGES = ("hard", "soft", "mask")
STRANDS = ("one", "both", "mean")


@dataclass(frozen=True)
class TrainConfig:
    """Settings of :func:`tcnfast.train.fit.fit`. An epoch is ``epoch_steps`` optimiser steps.

    ``edge``: what a bound bin is that no peak covers whole. "hard": bound like any other; "soft":
    its target is the share that the best peak covers (of the peak, where that is shorter); "mask":
    it is left out if that share is under three quarters. Bins of which peaks cover less than the
    label rule asks for are ambiguous and left out at all times.
    ``strands``: "one", a random strand of every tile; "both", the two strands of half as many
    tiles, each with its own loss; "mean", the same, with the loss of the mean of their logits.
    ``strand_loss`` weighs the mean squared difference of the two strands' logits.
    ``hard``: share of tiles laid over the worst false positives of the epoch before (hard.py).
    ``mutate``: share of a tile's bases that are drawn anew at first; falls to none (tiles.py); its
    default and those of the other options were chosen on validation (docs/training.md).
    ``ema``: decay of the moving average of weights (ema.py), 0 for none.
    ``accumulate``: batches of ``tiles`` tiles whose gradients are averaged for one step; batch norm
    takes its statistics from each batch alone. ``patience``: epochs without a better one after
    which training stops, 0 for never.
    """

    steps: int = 30_000
    epoch_steps: int = 2_500
    tiles: int = 64  # tiles a batch
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
    loss: str = "bce"  # see losses.py for this and the next five
    gamma: float | None = None  # focal
    gamma_positive: float | None = None  # asymmetric, as are the next two
    gamma_negative: float | None = None
    margin: float | None = None
    positive_weight: float = 1.0
    edge: str = "hard"
    strands: str = "one"
    strand_loss: float = 0.0
    hard: float = 0.0
    mutate: float = 0.05
    ema: float = 0.0
    accumulate: int = 1
    patience: int = 0

    def __post_init__(self) -> None:
        problem = self._problem()
        if problem:
            raise TcnfastError(problem)

    def _problem(self) -> str | None:
        for name in ("steps", "epoch_steps", "tiles", "tile_steps", "accumulate"):
            if getattr(self, name) < 1:
                return f"{name} {getattr(self, name)}: must be at least 1"
        if self.precision not in ("auto", "fp32", "bf16"):
            return f"precision {self.precision!r}: training takes auto, fp32 or bf16"
        for name, choices in (("loss", LOSSES), ("edge", EDGES), ("strands", STRANDS)):
            if getattr(self, name) not in choices:
                return f"{name} {getattr(self, name)!r}: must be one of {', '.join(choices)}"
        for name in ("enriched", "warmup", "hard", "mutate"):
            if not 0 <= getattr(self, name) <= 1:
                return f"{name} {getattr(self, name)}: must be within 0 and 1"
        for name in ("strand_loss", "patience", "gamma", "gamma_positive", "gamma_negative"):
            if not (getattr(self, name) or 0) >= 0:
                return f"{name} {getattr(self, name)}: must not be below 0"
        if not 0 <= self.ema < 1:
            return f"ema {self.ema}: must be 0 or more and below 1, as 0.999"
        if not 0 <= (self.margin or 0) < 1:
            return f"margin {self.margin}: must be 0 or more and below 1"
        if not self.positive_weight > 0:
            return f"positive_weight {self.positive_weight}: must be above 0"
        return self._conflict()

    def _conflict(self) -> str | None:
        """Two settings that do not go together."""
        if self.enriched + self.hard > 1:
            return f"enriched {self.enriched} and hard {self.hard}: shares of the tiles over 1"
        owners = dict(gamma="focal", gamma_positive="asymmetric", gamma_negative="asymmetric",
                      margin="asymmetric")  # fmt: skip
        for name, owner in owners.items():
            if getattr(self, name) is not None and self.loss != owner:
                return f"{name} {getattr(self, name)}: belongs to loss {owner}, not {self.loss}"
        if self.strands == "one" and self.strand_loss:
            return f"strand_loss {self.strand_loss}: needs strands both or mean"
        if self.strands != "one" and self.tiles % 2:
            return f"tiles {self.tiles}: must be even, as strands {self.strands} pairs them"
        return None
