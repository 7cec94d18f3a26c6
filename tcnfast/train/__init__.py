"""Training: from a dataset to a model folder; several models as one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..base.options import Run, option, stride_option
from ..base.verb import OUT, File, Files, Input, verb
from ..data.data_options import DATA, DataOptions
from .train_config import NO_TEST, TrainOptions

if TYPE_CHECKING:
    from ..model.model_folder import ModelFolder

MODELS = Input("models", "model folders or bundled names", many=True, unit="MODEL")
_HOW = (
    "logits: an ensemble, the mean of the models' logits; weights: one network of their mean "
    "weights, which must come from one training run"
)


@verb(
    "train a model on peaks",
    DATA,
    OUT,
    options=TrainOptions,
    run=("device", "precision", "force", "resume"),
    examples=(
        ("-d data -o model", "train on a folder of tcnfast prepare"),
        (
            "-d data -o model --symmetric --steps 60000 --resume",
            "a network that scores both strands in one pass; go on where it stopped",
        ),
    ),
)
def train(
    data: File | None = None, out: File = "model/", *, options: TrainOptions, run: Run
) -> ModelFolder:
    """Train a network and write a calibrated model folder.

    ``data`` is a folder of ``tcnfast prepare``; leave it out where ``genome``, ``peaks`` and
    ``split`` name files. The epoch with the best macro-AP on the validation regions is kept. Test
    regions are scored once, at the end, or left alone (``no_test``). Labels with too few peaks are
    dropped, and named in the model's card. ``resume`` goes on after the last whole epoch of a
    training that was stopped, and gives the same bytes as a training without a stop.

    Returns:
        ModelFolder: the folder; its ``epochs()`` and ``scores()`` are pandas tables.

    Raises:
        TcnfastError: for bad input, and where the loss is no longer finite.
    """
    from .train_run import train_model

    return train_model(data, out, options, run)


@dataclass(frozen=True)
class AverageOptions(DataOptions):
    """Of ``tcnfast average``."""

    how: str = option("logits", _HOW, choices=("logits", "weights"))
    stride: int = stride_option()
    no_test: bool = option(False, NO_TEST)


@verb(
    "combine several models into one; with data, calibrate it",
    MODELS,
    DATA,
    OUT,
    options=AverageOptions,
    run=("device", "precision", "force"),
    examples=(
        ("model1 model2 model3 -d data -o ensemble", "an ensemble of three models, calibrated"),
        ("model1 model2 --how weights -d data -o mean", "one network of their mean weights"),
    ),
)
def average(
    models: Files,
    data: File | None = None,
    out: File = "average/",
    *,
    options: AverageOptions,
    run: Run,
) -> ModelFolder:
    """Write one model folder made of several.

    A model that is an ensemble already counts as its members. The thresholds of the members do not
    hold for their average: with ``data``, or with ``genome``, ``peaks`` and ``split``, the average
    is calibrated on the validation regions and, but for ``no_test``, scored on test. An average of
    weights also gets running statistics of its own from the data. Without data the model has no
    thresholds.

    Returns:
        ModelFolder: the folder that was written.

    Raises:
        TcnfastError: for models that cannot be averaged, and for bad input.
    """
    from .average_models import average_models

    return average_models(models, data, out, options, run)
