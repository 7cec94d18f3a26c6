"""How good a model is on regions that it was not trained on."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..base.options import Run, option, seed_option, stride_option
from ..base.verb import MODEL, OUT, verb
from ..data.data_options import DATA, DataOptions
from ..model.thresholds import parse_cutoff

if TYPE_CHECKING:
    from .evaluation_report import Evaluation


@dataclass(frozen=True)
class EvaluateOptions(DataOptions):
    """Of ``tcnfast evaluate``."""

    part: str = option("valid", "part of the split to score", choices=("train", "valid", "test"))
    cutoff: str = option(
        "f1",
        "cutoff for precision and recall: f1, precision=P, fdr=P or a probability",
        kind=parse_cutoff,
        unit="RULE",
    )
    against: str | None = option(
        None,
        "another model: differences on the same windows, with intervals and p values",
        unit="MODEL",
    )
    motifs: str | None = option(
        None,
        "MEME file: AP of the best single motif, and of CpG content, beside each label",
        unit="MEME",
    )
    resamples: int = option(
        1000, "resamples of 1-Mb blocks for the intervals; 0: no intervals", unit="N", least=0
    )
    seed: int = seed_option("the resamples")
    strand: str = option(
        "both", "score +, -, or both strands: the mean of their logits", choices=("+", "-", "both")
    )
    stride: int = stride_option()


def _print_table(evaluation: Evaluation) -> None:
    sys.stdout.write(evaluation.table())


@verb(
    "scores of a model: TSV on stdout, with an output folder plots too",
    DATA,
    MODEL,
    OUT,
    options=EvaluateOptions,
    run=("device", "precision", "backend", "force"),
    show=_print_table,
)
def evaluate(
    data=None, model="encode-v1", out=None, *, options: EvaluateOptions, run: Run
) -> Evaluation:
    """Score every label of ``model`` on one part of the split.

    ``data``: folder of ``tcnfast prepare``; None where ``genome``, ``peaks`` and ``split`` name
    files. With ``out`` a folder is written: scores.tsv, summary.json, plots and run.json. Raises
    TcnfastError for bad input.
    """
    from .evaluate_run import evaluate_model

    return evaluate_model(data, model, out, options, run)
