"""What this machine is and how fast it scans."""

from __future__ import annotations

from dataclasses import dataclass

from ..base.options import Options, Run, option
from ..base.verb import MODEL, Input, verb

SHOWN = Input("model", "show this model's labels and thresholds", ("-m", "--model"), unit="MODEL")


@verb(
    "show which devices, backends and models are here",
    SHOWN,
    examples=(
        ("", "versions, devices, backends, extras, models"),
        ("-m encode-v1", "labels and thresholds of a model"),
    ),
)
def info(model=None, *, options, run):
    """Print on stdout what this machine has and can run; with ``model``, that model's labels."""
    from .info import show_model, show_system

    show_model(model) if model else show_system()


@verb(
    "the bundled models: species, assembly, labels, size, grades",
    examples=(
        ("", "a table"),
        ("> models.tsv", "into a file"),
    ),
)
def models(*, options, run):
    """Print on stdout which models come with the package, as a TSV."""
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
def labels(pattern=None, model="encode-v1", *, options, run):
    """Print on stdout the labels of ``model``, or those that ``pattern`` stands for, as a TSV: AP
    on validation, and at the default cutoff of a scan the precision and recall of calls, and calls
    a megabase. Raises TcnfastError where there is no such label."""
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
def bench(model="encode-v1", *, options: BenchOptions, run: Run):
    """Time every backend that can run here in each precision, and eager PyTorch: a SpeedTable.

    ``model``: folder or bundled name, of an ensemble its first member. "pruned" scores every
    ``stride`` bases, "dense" every base. Ratio: how many times faster than the fastest PyTorch of
    the same form and precision; error: the largest, as a share of the spread of the scores. A
    second part compares ways to score both strands: this network on each strand, and a symmetric
    network of its width in one pass, in the direct form, halved, and with zeros left out. Takes
    less than a minute.
    """
    from .speed_table import measure

    return measure(model, run.device, options.stride)
