"""Shards put together: of a scan, an attribution or an evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..base.errors import TcnfastError
from ..base.options import Options, Run, setting
from ..base.verb import OUT, File, Files, Input, verb
from ..scan import say_how_many

if TYPE_CHECKING:
    from ..attribute.attribution_folder import AttributionFolder
    from ..evaluate.evaluation_report import Evaluation
    from ..model.ensemble import Ensemble
    from ..model.tcn import TCN
    from ..scan.scan_folder import ScanFolder
    from ..scan.shard_folder import Whole


def _say(result: object) -> None:
    from ..scan.scan_folder import ScanFolder

    if isinstance(result, ScanFolder):
        say_how_many(result)


@verb(
    "put shards together: the same bytes as of one process",
    Input(
        "shards",
        "folders or URLs that --shard wrote, all of one run; s3://bucket/run/* names all in it",
        many=True,
        unit="DIR",
    ),
    Input(
        "genome", "FASTA or .2bit files, where they have moved", ("-g", "--genome"), True, "FASTA"
    ),
    Input("model", "model, where it has moved", ("-m", "--model"), unit="MODEL"),
    OUT,
    run=("force", "resume"),
    show=_say,
    examples=(
        ("shards/* -o scan/", "all shards of a scan, each made by scan --shard"),
        ("shards/* -g moved/hg38.fa -o scan/", "the genome lies elsewhere now"),
        ("parts/* -o why/", "shards of tcnfast attribute, or of evaluate"),
    ),
)
def merge(
    shards: Files,
    genome: Files | None = None,
    model: TCN | Ensemble | File | None = None,
    out: File = "scan/",
    *,
    options: Options,
    run: Run,
) -> ScanFolder | AttributionFolder | Evaluation:
    """Make one output of its ``shards``, folders that ``scan``, ``attribute`` or ``evaluate`` with
    ``shard`` wrote, in any order.

    Everything but times is the same, byte for byte, as one process would have written. The shards
    stay; those at URLs are fetched. ``genome`` and ``model`` are those that the shards name, unless
    given. Needs no GPU.

    Returns:
        ScanFolder: reads the folder of the whole scan; an AttributionFolder or an Evaluation where
            the shards are of those.

    Raises:
        TcnfastError: where a shard is missing, there twice, damaged, or of another run.
    """
    from ..scan.shard_folder import Whole, whole_set
    from ..scan.store_shards import shards_here

    with shards_here(shards) as found:
        return _merge(Whole(whole_set(found), out, genome, model, run))


def _merge(whole: Whole) -> ScanFolder | AttributionFolder | Evaluation:
    if whole.verb == "attribute":
        from ..attribute.attribute_run import merge_attributions

        return merge_attributions(whole)
    if whole.verb == "evaluate":
        from ..evaluate.evaluate_run import merge_evaluations

        if whole.run.resume:
            raise TcnfastError(f"{setting('resume', True)}: an evaluation is merged at once")
        return merge_evaluations(whole)
    from ..scan.merge_shards import merge_shards

    return merge_shards(whole)
