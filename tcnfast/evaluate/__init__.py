"""How good a model is on regions that it was not trained on."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..base.errors import TcnfastError
from ..base.options import Run, names, option, seed_option, setting, strand_option, stride_option
from ..base.verb import DEFAULT_MODEL, MODEL, OUT, File, verb
from ..data.data_options import DATA, DataOptions
from ..data.fold_files import SPLIT_PARTS
from ..model.thresholds import parse_cutoff
from ..pwm import MOTIF_FILE
from ..scan import say_shard

if TYPE_CHECKING:
    from ..scan.shard_folder import ShardFolder
    from .evaluation_report import Evaluation


@dataclass(frozen=True)
class EvaluateOptions(DataOptions):
    """Of ``tcnfast evaluate``."""

    part: str = option("valid", "part of the split to score", choices=SPLIT_PARTS)
    cutoff: str = option(
        "best",
        "cutoff for precision and recall, a rule as in tcnfast scan",
        kind=parse_cutoff,
        unit="RULE",
    )
    against: str | None = option(
        None,
        "another model: differences on the same windows, with intervals and p values",
        unit="MODEL",
    )
    within: str | None = option(
        None, "count calls only inside these regions, e.g. open chromatin", unit="BED"
    )
    grade: bool = option(
        False, "measure calls on validation, and write what scans expect into the model folder"
    )
    within_targets: tuple[str, ...] | None = option(
        None,
        "with grade and within: labels that the regions belong to (default: all)",
        kind=names,
        unit="LABELS",
    )
    motifs: str | None = option(
        None,
        f"also report each label's AP by its best single motif, and by CpG content: a {MOTIF_FILE}",
        unit="FILE|NAME",
    )
    resamples: int = option(
        1000, "resamples of 1-Mb blocks for the intervals; 0: no intervals", unit="N", least=0
    )
    seed: int = seed_option("the resamples")
    strand: str = strand_option(maximum=False)
    stride: int = stride_option()

    def check(self) -> None:
        super().check()
        if self.grade and self.part != "valid":
            raise TcnfastError(
                f"{setting('grade', True)}: grades are measured on validation regions, not on "
                f"{self.part}"
            )
        if self.within_targets and not (self.grade and self.within):
            raise TcnfastError(
                f"{setting('within_targets')} needs {setting('grade', True)} and "
                f"{setting('within')}"
            )


def _print_table(evaluation: Evaluation | ShardFolder) -> None:
    from ..scan.shard_folder import ShardFolder

    if isinstance(evaluation, ShardFolder):
        say_shard(evaluation)
        return
    sys.stdout.write(evaluation.table())


@verb(
    "score a model on held-out regions: a table on stdout; with an output folder, plots",
    DATA,
    MODEL,
    OUT,
    options=EvaluateOptions,
    run=(
        *("device", "precision", "backend", "cluster", "workers", "time_limit"),
        *("store", "shard", "force", "resume"),
    ),
    show=_print_table,
    examples=(
        ("-d data -m model --part test -o scores", "scores on the test regions, with plots"),
        ("-d data -m model --against encode-v1", "compare two models on the validation regions"),
    ),
)
def evaluate(
    data: File | None = None,
    model: File = DEFAULT_MODEL,
    out: File | None = None,
    *,
    options: EvaluateOptions,
    run: Run,
) -> Evaluation | ShardFolder:
    """Score every label of a model on one part of the split.

    ``data`` is a folder of ``tcnfast prepare``; leave it out where ``genome``, ``peaks`` and
    ``split`` name files. With ``out`` a folder is written: scores.tsv, summary.json, curves.npz,
    plots, run.json and index.html, a page about them. ``grade`` measures the model's calls and
    writes calls.tsv, grades.tsv and genome.json into the model folder, from which a scan knows what
    to expect of its calls; with ``within``, also calls.within.tsv; and what the model's card says
    of calls. ``cluster`` and ``shard`` share the scoring, a segment at a time;
    :func:`tcnfast.merge` measures what its shards scored.

    Returns:
        Evaluation: scores with 95 % intervals; its ``frame()`` is a pandas table, a label a row.
            Of a shard a ShardFolder.

    Raises:
        TcnfastError: for bad input, in one line.
    """
    from ..scan.store_shards import shard_at
    from .evaluate_run import evaluate_model

    return shard_at(out, run, lambda folder: evaluate_model(data, model, folder, options, run))
