"""One HTML page about a model and what it has learned: the verb ``report``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..base.options import Options, Run, genome_option, option, targets_option
from ..base.verb import File, Files, Input, verb

FOLDERS = Input(
    "folders",
    "outputs of tcnfast motifs, attribute, evaluate and scan; a model folder",
    many=True,
    unit="RUN",
)
MODEL = Input("model", "model folder or bundled name", ("-m", "--model"), unit="MODEL")
PAGE = Input("out", "the page to write", ("-o", "--output"), unit="HTML")
_GENOME = "FASTA or .2bit files: draw predicted tracks of the example loci (needs the model)"


@dataclass(frozen=True)
class ReportOptions(Options):
    """What the page shows besides the folders."""

    genome: tuple[str, ...] = genome_option(_GENOME)
    peaks: str | None = option(
        None, "real peaks to draw: a table with labels, as tcnfast train takes", unit="BED"
    )
    targets: tuple[str, ...] | None = targets_option("labels to show (default: all)")
    loci: int = option(3, "example loci of each label, each with another motif", unit="N")
    title: str | None = option(None, "of the page (default: the model's name)")


@verb(
    "one HTML page: model, scores, motifs as logos, example loci",
    FOLDERS,
    MODEL,
    PAGE,
    options=ReportOptions,
    run=("force",),
    examples=(
        (
            "calls why motifs -m model -o report.html",
            "one page about a model and three of its runs",
        ),
        ("calls -m encode-v2 -g hg38.fa -t CTCF --loci 5", "with predicted tracks of five loci"),
    ),
)
def report(
    folders: Files = (),
    model: File | None = None,
    out: File = "report.html",
    *,
    options: ReportOptions,
    run: Run,
) -> Path:
    """Write one HTML page about the folders of other commands.

    ``folders`` names at most one folder of each kind, in any order; ``model`` is needed where the
    model's folder is not among them. The page holds all it shows: drawings are inline SVG, and
    nothing is fetched when it is opened.

    Returns:
        Path: the page.

    Raises:
        TcnfastError: for folders of other kinds, for labels that no folder has, and for a page that
            exists already, unless ``force``.
    """
    from .report_run import make_report

    return make_report(folders, model, out, options, run)
