"""Peaks of any lab to the dataset folder, and the tiles that training draws from it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ..base.options import Run
from ..base.verb import GENOME, OUT, File, Files, verb
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
def prepare(
    genome: Files, out: File = "data/", *, options: PrepareOptions, run: Run
) -> DatasetFolder:
    """Write a dataset folder from a genome and peak files, for ``train`` and ``evaluate``.

    The folder holds the codes of the contigs, the peaks of every label and the split
    (:mod:`tcnfast.data.prepared` lists its files). What is suspicious but can be used is logged as
    a warning.

    Returns:
        DatasetFolder: the folder; its ``table()`` counts the peaks of each label in each part of
            the split.

    Raises:
        TcnfastError: for inputs that cannot be used, in one line.
    """
    from .prepare import prepare_dataset

    return prepare_dataset(genome, out, options, run)
