"""The wing of window sets: other networks than TCNs on windows of one length, and their study.

``tcnfast windows prepare|train|evaluate|study|attribute``. Nothing outside imports from here but
the command line.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..attribute import SiteOptions
from ..base.errors import TcnfastError
from ..base.options import Options, Run, as_in, names, option, setting
from ..base.verb import GENOME, MODEL, OUT, File, Files, Input, verb
from ..data.data_options import PeakOptions
from ..evaluate import EvaluateOptions
from .window_config import WindowTrainOptions

if TYPE_CHECKING:
    from ..attribute.attribution_folder import AttributionFolder
    from ..model.model_folder import ModelFolder
    from .evaluate_windows import WindowScores
    from .study_folder import StudyFolder
    from .window_build import PreparedWindows

WINDOWS = Input("windows", "folder of tcnfast windows prepare", unit="WINDOWS")


def _instead(help: str, **more) -> int | None:
    return option(None, help, kind=int, group="in place of the recipe's own values", **more)


@dataclass(frozen=True)
class WindowPrepareOptions(PeakOptions):
    """Of ``windows prepare``: where the peaks are, and what replaces the recipe's own values."""

    length: int | None = _instead("bases of a window", unit="BP", least=1)
    max_windows: int | None = _instead("at most this many windows", unit="N", least=1)
    min_peaks: int | None = _instead("refuse labels with fewer training peaks", unit="N", least=1)
    seed: int | None = _instead("seed of random draws", unit="N")
    report: bool = option(False, "print the report too; it is always in the folder")


def _print_report(found: PreparedWindows) -> None:
    sys.stdout.write(found.report or "")


@verb(
    "make a set of windows with negatives, and no sequence in two parts",
    Input("recipe", "what the set holds (docs/study.md)", unit="RECIPE.json"),
    GENOME,
    OUT,
    options=WindowPrepareOptions,
    run=("force",),
    show=_print_report,
    command="windows prepare",
    examples=(
        (
            "recipe.json -g hg38.fa --peaks peaks.bed --split folds.json -o windows",
            "a set of windows with its negatives",
        ),
        (
            "recipe.json -g hg38.fa --manifest peaks.tsv --split GRCh38 --length 500 -o windows",
            "from a manifest, windows of 500 bp",
        ),
    ),
)
def prepare(
    recipe: File, genome: Files, out: File, *, options: WindowPrepareOptions, run: Run
) -> PreparedWindows:
    """Write the window set of a recipe to a folder.

    ``length``, ``max_windows``, ``min_peaks`` and ``seed`` take the place of the recipe's own
    values.

    Returns:
        PreparedWindows: the set and its report.

    Raises:
        TcnfastError: for inputs that cannot be used, for labels with too few peaks, and for a set
            in which one sequence would lie in two parts.
    """
    from .window_build import prepare_windows

    return prepare_windows(recipe, genome, out, options, run)


@verb(
    "train a network on a set of windows",
    WINDOWS,
    OUT,
    options=WindowTrainOptions,
    run=("device", "precision", "force", "resume"),
    command="windows train",
    examples=(
        ("windows -o model", "the default network"),
        ("windows --arch wavelet --epochs 20 -o model", "another network"),
    ),
)
def train(windows: File, out: File, *, options: WindowTrainOptions, run: Run) -> ModelFolder:
    """Train a network on a window set and write a model folder.

    A TCN becomes a folder that every command takes, not calibrated. Any other network becomes one
    that ``windows evaluate`` takes and, if it is a wavelet network, ``windows attribute``. The
    scores beside the model are those of the validation part, and the test part is not touched. A
    ``faithful`` training chooses its epoch on the test part, as the original did, and has the
    scores of that part. ``resume`` goes on with the features of a wavelet network that is frozen
    but for its classifier; any other training that was stopped begins anew.

    Returns:
        ModelFolder: the model, with the course of its training and its scores as tables.

    Raises:
        TcnfastError: for bad input, and where the loss is no longer finite.
    """
    from .window_run import train_on_windows

    return train_on_windows(windows, out, options, run)


def _print_table(found: WindowScores) -> None:
    sys.stdout.write(found.table)


@dataclass(frozen=True)
class WindowEvaluateOptions(Options):
    """Of ``windows evaluate``."""

    part: str = as_in(EvaluateOptions, "part", help="part of the set to score")


@verb(
    "scores of a network on a set of windows: TSV on stdout",
    WINDOWS,
    MODEL,
    OUT,
    options=WindowEvaluateOptions,
    run=("device", "precision", "force"),
    show=_print_table,
    command="windows evaluate",
    examples=(
        ("windows -m model", "scores on the validation part"),
        ("windows -m model --part test -o scores", "and on the test part, into a folder"),
    ),
)
def evaluate(
    windows: File,
    model: File,
    out: File | None = None,
    *,
    options: WindowEvaluateOptions,
    run: Run,
) -> WindowScores:
    """Score a model folder on a part of a window set.

    Calls are made at the cutoff of the best F1 (MCC: of the best MCC) on the validation part; on
    that part itself they are therefore a little too good. The model may have more labels than the
    set. With ``out`` a folder is written: scores.tsv, predictions.tsv with the logit of every
    window, and run.json.

    Returns:
        WindowScores: the scores, a label a row: ``frame()`` is a pandas table, ``table`` TSV text.

    Raises:
        TcnfastError: for a model and a set that do not fit each other, and for bad input.
    """
    from .evaluate_windows import evaluate_windows

    return evaluate_windows(windows, model, out, options.part, run)


@dataclass(frozen=True)
class StudyOptions(Options):
    """Of ``windows study``."""

    data: tuple[str, ...] = option(
        (),
        "folders to search for the sets, before that of STUDY",
        unit="DIR",
        kind=str,
        many=True,
    )
    test: bool = option(
        False, "when all is trained: score the test parts, once; write results, tables, figures"
    )
    finished: bool = option(
        False, "with test: score the cells that are trained, though others are not; repeat it later"
    )
    tables: bool = option(
        False, "only write tables.md and figures again; STUDY is then the folder of a study"
    )

    def check(self) -> None:
        if self.finished and not self.test:
            raise TcnfastError(f"{setting('finished', True)} goes with {setting('test', True)}")
        if self.tables and (self.test or self.data):
            raise TcnfastError(f"{setting('tables', True)} takes no other option")


@verb(
    "train several networks on window sets, and test their differences",
    Input("study", "what to compare: sets, models, seeds (docs/study.md)", unit="STUDY.json"),
    Input("out", "folder of the study; what is trained there is kept", OUT.flags, unit="DIR"),
    options=StudyOptions,
    run=("device",),
    command="windows study",
    examples=(
        ("study.json -o study", "train what is missing, validate"),
        ("study.json --test -o study", "score the test parts, once"),
    ),
)
def study(study: File, out: File | None = None, *, options: StudyOptions, run: Run) -> StudyFolder:
    """Tune, train and compare the networks of a study file on its window sets.

    What is trained already is kept; what is missing is trained, and validation.csv written.
    ``test`` scores the test parts of all that is trained, once, and writes results.csv, tables.md
    and figures; with ``finished`` of those trainings alone that are there. A cell of the study is a
    folder below ``out``, there whole or not at all; a wider study adds cells.

    Returns:
        StudyFolder: the study, whose scores, statistics and curves are tables.

    Raises:
        TcnfastError: for a study that cannot be read, for a cell of other settings, and where a
            model would be tested on a set twice.
    """
    from .study_run import run_study, write_report

    if options.tables:
        return write_report(Path(study))
    if out is None:
        raise TcnfastError(f"{setting('out')} is required")
    return run_study(study, out, options, run)


@dataclass(frozen=True)
class GradCamOptions(SiteOptions):
    """Of ``windows attribute``."""

    layers: tuple[str, ...] = option(
        (), "as layer4.2 or layer3; of several, the mean (default: the last block)", kind=names
    )


@verb(
    "Grad-CAM of a wavelet network, on the bases",
    GENOME,
    MODEL,
    OUT,
    options=GradCamOptions,
    run=("device", "force", "resume"),
    command="windows attribute",
    examples=(
        ("-g hg38.fa -m model -b regions.bed -o cam", "regions of a BED file"),
        ("-g hg38.fa -m model --scan calls --top 100 -o cam", "the best calls of a scan"),
    ),
)
def attribute(
    genome: Files, model: File, out: File, *, options: GradCamOptions, run: Run
) -> AttributionFolder:
    """Explain a wavelet network by Grad-CAM, on the bases, and write a folder.

    The folder has the form of that of ``tcnfast attribute``.

    Returns:
        AttributionFolder: reads the folder; its ``regions`` is a pandas table.

    Raises:
        TcnfastError: for bad input, and for a model that is no wavelet network.
    """
    from .grad_cam import explain_by_grad_cam

    return explain_by_grad_cam(genome, model, out, options, run)
