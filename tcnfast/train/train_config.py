"""Settings of training, checked: what ``tcnfast train`` takes and a card records."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from ..base.errors import TcnfastError
from ..base.options import as_in, option, setting
from ..data.data_options import DataOptions
from ..data.tile_options import TILES, TileOptions, count
from ..model.tcn_config import SHAPE, TCNConfig, TCNShape
from ..pwm import MOTIF_FILE

LOSSES = ("bce", "focal", "asymmetric")
OPTIMISERS = ("adamw", "muon")
PRECISIONS = ("auto", "fp32", "bf16")
SCHEDULE, LOSS, TEACHERS = "schedule", "loss", "teachers"  # headings of the help

_ACCUMULATE = "batches whose gradients make one step; batch norm sees each batch alone"
_PATIENCE = "stop after this many epochs without a better one; 0: never"
_EMA = "validate and keep a moving average of the weights, as 0.999; 0: none"
_OPTIMISER = "muon: for the kernels of all but the first convolution, AdamW for the rest"
_MARGIN = "probability below which asymmetric loss ignores unbound labels (default 0.05)"
_STRAND_LOSS = "weight of the mean squared difference of the two strands' logits"
_TEACHER = "models whose mean logits are learned beside the labels"
_TEACHER_SHARE = "weight of the teachers' loss where a label is known; 1 elsewhere (default 0.5)"
_TEMPERATURE = "divides the teachers' and the student's logits (default 1)"
_TEACHER_FLOOR = (
    "on a label, only those teachers speak whose validation AP is at least this share of the best "
    "teacher's (default 0: all)"
)
NO_TEST = "leave the test part alone, for a network that is not to be published: a trial, a teacher"
_UNLABELLED = "more sequence, FASTA or .2bit; validation and test regions in it are left out"


def _of_loss(help: str, unit: str = "G", **limit: float) -> float | None:
    return option(None, help, kind=float, unit=unit, least=0, group=LOSS, **limit)


@dataclass(frozen=True)
class TrainConfig(TileOptions):
    """Settings of :func:`tcnfast.train.fit.fit`. An epoch is ``epoch_steps`` optimiser steps.

    The defaults were chosen on validation (docs/training.md). ``warmup`` is the
    share of the steps in which the learning rate rises; it then falls to zero as a cosine.
    ``clip``: largest norm of the gradient.
    """

    steps: int = count(30_000, "optimiser steps", SCHEDULE)
    epoch_steps: int = count(2_500, "steps of an epoch", SCHEDULE)
    patience: int = count(0, _PATIENCE, SCHEDULE, "EPOCHS", 0)
    learning_rate: float = option(3e-3, "highest learning rate", unit="R", group=SCHEDULE)
    weight_decay: float = option(0.05, "weight decay of kernels", unit="R", group=SCHEDULE)
    optimiser: str = option("adamw", _OPTIMISER, choices=OPTIMISERS, group=SCHEDULE)
    ema: float = option(0.0, _EMA, unit="DECAY", least=0, below=1, group=SCHEDULE)
    accumulate: int = count(1, _ACCUMULATE, SCHEDULE)
    warmup: float = 0.05
    clip: float = 1.0
    precision: str = "auto"

    loss: str = option("bce", "loss of a label (docs/training.md)", choices=LOSSES, group=LOSS)
    gamma: float | None = _of_loss("exponent of focal loss (default 2)")
    gamma_positive: float | None = _of_loss("exponent of asymmetric loss, bound (default 0)")
    gamma_negative: float | None = _of_loss("exponent of asymmetric loss, unbound (default 4)")
    margin: float | None = _of_loss(_MARGIN, "P", below=1)
    positive_weight: float = option(1.0, "weight of bound labels", unit="W", group=LOSS)
    strand_loss: float = option(0.0, _STRAND_LOSS, unit="W", least=0, group=LOSS)
    teacher_share: float | None = option(
        None, _TEACHER_SHARE, kind=float, unit="SHARE", least=0, group=TEACHERS
    )
    temperature: float | None = option(None, _TEMPERATURE, kind=float, unit="T", group=TEACHERS)
    teacher_floor: float | None = option(
        None, _TEACHER_FLOOR, kind=float, unit="SHARE", least=0, group=TEACHERS
    )

    def check(self) -> None:
        TileOptions.check(self)
        problem = self._problem()
        if problem:
            raise TcnfastError(problem)

    def check_shared(self, processes: int) -> None:
        """Raise TcnfastError where processes cannot share a batch evenly."""
        pieces = self.batch_size // (1 if self.strands == "one" else 2)
        if pieces % processes:
            both = "" if self.strands == "one" else ", both strands of a tile in one"
            raise TcnfastError(
                f"{self.named('batch_size')}: {processes} processes cannot share it evenly{both}"
            )

    def _problem(self) -> str | None:
        named = self.named
        if not 0 <= self.warmup <= 1:
            return f"{named('warmup')}: must be within 0 and 1"
        if self.precision not in PRECISIONS:
            return f"{named('precision')}: training takes auto, fp32 or bf16"
        if not self.positive_weight > 0:
            return f"{named('positive_weight')}: must be above 0"
        owners = {"gamma": "focal"} | dict.fromkeys(
            ("gamma_positive", "gamma_negative", "margin"), "asymmetric"
        )
        for name, owner in owners.items():
            if getattr(self, name) is not None and self.loss != owner:
                return f"{named(name)}: belongs to loss {owner}, not {self.loss}"
        if self.strands == "one" and self.strand_loss:
            return f"{named('strand_loss')}: needs {setting('strands')} both or mean"
        for name in ("teacher_share", "teacher_floor"):
            if getattr(self, name) is not None and getattr(self, name) > 1:
                return f"{named(name)}: must be within 0 and 1"
        if self.temperature is not None and not self.temperature > 0:
            return f"{named('temperature')}: must be above 0"
        return None


@dataclass(frozen=True)
class TrainOptions(DataOptions, TrainConfig, TCNShape):
    """Of ``tcnfast train``: data, shape and settings."""

    first_kernel: int = as_in(TCNShape, "first_kernel", default=15)
    motifs: str | None = option(
        None,
        f"start the first filters from motifs of the labels' factors: a {MOTIF_FILE}",
        unit="FILE|NAME",
        group=SHAPE,
    )
    min_peaks: int = count(200, "drop labels with fewer training peaks", TILES)
    teacher: tuple[str, ...] = option(
        (), _TEACHER, kind=str, unit="MODEL", many=True, group=TEACHERS
    )
    unlabelled: tuple[str, ...] = option(
        (), _UNLABELLED, kind=str, unit="FASTA", many=True, group=TEACHERS
    )
    no_test: bool = option(False, NO_TEST)
    tensorboard: str | None = option(None, "write TensorBoard events there", unit="DIR")

    def check(self) -> None:
        DataOptions.check(self)
        TrainConfig.check(self)
        self.shape(["label"])
        self._check_teachers()
        if self.symmetric and self.strands != "one":
            raise TcnfastError(
                f"{setting('strands', self.strands)}: the strands of a symmetric network score the "
                f"same; leave out {setting('strands')} or {setting('symmetric', True)}"
            )

    def _check_teachers(self) -> None:
        given = dict(
            teacher_share=self.teacher_share is not None,
            temperature=self.temperature is not None,
            teacher_floor=self.teacher_floor is not None,
            unlabelled=bool(self.unlabelled),
        )
        for name in [name for name in given if given[name] and not self.teacher]:
            raise TcnfastError(f"{setting(name)}: needs {setting('teacher')}")
        if self.unlabelled and self.strands != "one":
            raise TcnfastError(f"{setting('unlabelled')}: needs {setting('strands', 'one')}")

    def shape(self, labels: list[str], **more: int) -> TCNConfig:
        """The shape of a network with these labels."""
        return TCNConfig(labels=labels, **asdict(self.narrowed(TCNShape)), **more)
