"""Peaks of any lab to the dataset folder, and the tiles that training draws from it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ..base.options import Run
from ..base.verb import GENOME, OUT, verb
from .data_options import PrepareOptions

if TYPE_CHECKING:
    from .prepared import DatasetFolder


def _print_report(folder: DatasetFolder) -> None:
    if folder.report:
        sys.stdout.write(folder.report + "\n")


@verb(
    "make a dataset folder of peak files, a genome and a split",
    GENOME,
    OUT,
    options=PrepareOptions,
    run=("force",),
    show=_print_report,
    examples=(
        (
            "-g hg38.fa --encode metadata.tsv --assembly GRCh38 --split GRCh38 -o data",
            "peaks of a folder of ENCODE downloads",
        ),
        (
            "-g hg38.fa --peaks peaks.bed --blacklist blacklist.bed --split folds.json -o data",
            "one table of peaks with labels, and a split of your own",
        ),
    ),
)
def prepare(genome, out="data/", *, options: PrepareOptions, run: Run) -> DatasetFolder:
    """Write the dataset folder ``out`` (see :mod:`tcnfast.data.prepared`), which ``train`` and
    ``evaluate`` take.

    Raises TcnfastError for inputs that cannot be used; what is merely suspicious is logged as a
    warning.
    """
    from .prepare import prepare_dataset

    return prepare_dataset(genome, out, options, run)
