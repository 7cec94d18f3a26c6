"""Which bases a score rests on: the verb ``attribute``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..base.errors import TcnfastError
from ..base.options import Options, Run, option, seed_option, setting, targets_option
from ..base.verb import DEFAULT_MODEL, GENOME, MODEL, OUT, File, Files, verb
from ..scan import say_shard

if TYPE_CHECKING:
    from ..scan.shard_folder import ShardFolder
    from .attribution_folder import AttributionFolder

METHODS = ("ig", "ism", "gradient")
BASELINES = ("zeros", "gc", "shuffles")

_BED = "regions, for every label; a window is centred on the summit (narrowPeak) or the middle"
_SCAN = "output of tcnfast scan: each label's own calls, best first"
_STRAND = "explain the logit of the plus strand, or the mean of both strands' logits"
_METHOD = "integrated gradients, in-silico mutagenesis or the gradient alone"
_BASELINE = (
    "where the paths of ig start: all zeros, the GC content of the window, or dinucleotide "
    "shuffles of it"
)


@dataclass(frozen=True)
class SiteOptions(Options):
    """Which sites are explained: regions of a BED file, or the calls of a scan."""

    bed: str | None = option(None, _BED, unit="BED", short="-b")
    scan: str | None = option(None, _SCAN, unit="DIR")
    targets: tuple[str, ...] | None = targets_option()
    top: int | None = option(
        None, "only the first regions (of a scan, the best)", kind=int, unit="N", least=1
    )
    strand: str = option("both", _STRAND, choices=("+", "both"))

    def check(self) -> None:
        if (self.bed is None) == (self.scan is None):
            raise TcnfastError(f"give {setting('bed')} or {setting('scan')}, one of the two")


@dataclass(frozen=True)
class AttributeOptions(SiteOptions):
    """And how."""

    method: str = option("ig", _METHOD, choices=METHODS)
    baseline: str = option("zeros", _BASELINE, choices=BASELINES)
    steps: int = option(50, "points on a path of ig", unit="N", least=1)
    shuffles: int = option(10, "shuffles of each window, as baselines", unit="N", least=1)
    seed: int = seed_option("the shuffles")


@verb(
    "what each base adds to the logit at the middle of its window",
    GENOME,
    MODEL,
    OUT,
    options=AttributeOptions,
    run=("device", "cluster", "workers", "time_limit", "store", "shard", "force", "resume"),
    show=say_shard,
    examples=(
        (
            "-g hg38.fa --scan calls -t CTCF@K562 --top 500 -o why",
            "the 500 best calls of one label in a scan",
        ),
        (
            "-g hg38.fa -b regions.bed --method ism -o why",
            "regions of a BED file, by in-silico mutagenesis",
        ),
    ),
)
def attribute(
    genome: Files,
    model: File = DEFAULT_MODEL,
    out: File = "attributions/",
    *,
    options: AttributeOptions,
    run: Run,
) -> AttributionFolder | ShardFolder:
    """Attribute a network's logits to the bases of their windows, and write a folder.

    Each region gets one window; the logit in its middle depends on nothing outside of it. Values
    stand on the bases of the plus strand, in logits. For each label the folder holds <label>.npz
    (:class:`tcnfast.attribute.attributions.Attributions`), tracks/<label>.bw and, where tangermeme
    is installed, seqlets/<label>.bed; also attributions.tsv and run.json. ``resume`` goes on with
    the first label that is not finished. ``cluster`` and ``shard`` share the windows, a hundred or
    so at a time, as those of :func:`tcnfast.scan` share a genome; :func:`tcnfast.merge` makes the
    folder of its shards.

    Returns:
        AttributionFolder: reads the folder; its ``regions`` and ``seqlets()`` are pandas tables. Of
            a shard a ShardFolder.

    Raises:
        TcnfastError: for bad input, in one line.
    """
    from ..scan.store_shards import shard_at
    from .attribute_run import explain_sites
    from .methods import tcn_explainer

    about = tcn_explainer, model, genome
    return shard_at(out, run, lambda folder: explain_sites(*about, folder, options, run))
