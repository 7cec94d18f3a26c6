"""What this machine is and how fast it scans."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..base.options import Options, Run, option
from ..base.verb import DEFAULT_MODEL, MODEL, File, Input, NoOptions, verb

if TYPE_CHECKING:
    from .speed_table import SpeedTable

SHOWN = Input("model", "show this model's labels and thresholds", ("-m", "--model"), unit="MODEL")


@verb(
    "show which devices, backends and models are here",
    SHOWN,
    examples=(
        ("", "versions, devices, backends, extras, models"),
        ("-m encode-v2", "labels and thresholds of a model"),
    ),
)
def info(model: File | None = None, *, options: NoOptions, run: Run) -> None:
    """Print on stdout what this machine has and which backends can run.

    With ``model``, the labels and thresholds of that model are printed instead.

    Returns:
        None: it prints.

    Raises:
        TcnfastError: where there is no such model.
    """
    from .info import show_model, show_system

    show_model(model) if model else show_system()


@verb(
    "the bundled models: which one is the default, species, assembly, labels, size, grades",
    examples=(
        ("", "a table"),
        ("> models.tsv", "into a file"),
    ),
)
def models(*, options: NoOptions, run: Run) -> None:
    """Print on stdout which models come with the package, as a TSV.

    Returns:
        None: it prints; ``tcnfast.ModelFolder.bundled()`` gives the names.

    Raises:
        TcnfastError: where a bundled model is damaged.
    """
    from .catalogue import show_models

    show_models()


PATTERN = Input("pattern", "a label, a factor, @cell or a pattern (E2F*)", unit="PATTERN")


@verb(
    "the labels of a model: grade, AP, what calls are worth",
    PATTERN,
    MODEL,
    examples=(
        ("", "all labels of the bundled model"),
        ("CTCF -m model", "those of one factor, of a model of your own"),
    ),
)
def labels(
    pattern: str | None = None, model: File = DEFAULT_MODEL, *, options: NoOptions, run: Run
) -> None:
    """Print on stdout the labels of a model, or those that a pattern stands for, as a TSV.

    A row has the label's AP on validation and, at the default cutoff of a scan, the precision and
    recall of calls, and calls a megabase.

    Returns:
        None: it prints; ``tcnfast.ModelFolder(model).table()`` is a pandas table of the labels.

    Raises:
        TcnfastError: where the model has no such label.
    """
    from .catalogue import show_labels

    show_labels(model, pattern)


@dataclass(frozen=True)
class BenchOptions(Options):
    """What ``bench`` measures."""

    stride: int = option(32, "spacing of the pruned scores, a power of two", unit="BP", least=2)


@verb(
    "measure how fast this machine scans, beside PyTorch",
    MODEL,
    options=BenchOptions,
    run=("device",),
    show=print,
    examples=(
        ("", "the bundled model on this machine"),
        ("-m model --device cuda --stride 64", "a model of your own on a GPU"),
    ),
)
def bench(model: File = DEFAULT_MODEL, *, options: BenchOptions, run: Run) -> SpeedTable:
    """Time every backend that can run here in each precision, beside eager PyTorch.

    Of an ensemble the first member is timed. "pruned" scores every ``stride`` bases, "dense" every
    base. The ratio says how many times faster a backend is than the fastest PyTorch of the same
    form and precision; the error is the largest, as a share of the spread of the scores. A second
    part compares ways to score both strands: this network on each strand, and a symmetric network
    of its width in one pass, in the direct form, halved, and with zeros left out. It takes less
    than a minute.

    Returns:
        SpeedTable: the measurements; ``print`` shows them as a table.

    Raises:
        TcnfastError: where there is no such model or device.
    """
    from .speed_table import measure

    return measure(model, run.device, options.stride)
