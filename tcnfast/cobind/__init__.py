"""Co-binding: which factors act together, and through which motifs.

Three questions, each a command and a function here:

``tcnfast cobind pairs``    do two labels lie together more often than by chance, in peaks and in
                            the calls of a scan? :func:`pairs`
``tcnfast cobind motifs``   do two motifs in one sequence do more than the sum of both, and at which
                            distance? :func:`motifs`
``tcnfast cobind sites``    at real sites, how far does a label fall when a motif, its own or a
                            partner's, is scrambled? :func:`sites`
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..base.errors import TcnfastError
from ..base.options import (
    Options,
    Run,
    as_in,
    genome_option,
    names,
    option,
    seed_option,
    setting,
    targets_option,
)
from ..base.verb import DEFAULT_MODEL, GENOME, MODEL, OUT, File, Files, verb
from ..data.data_options import DATA, DataOptions
from ..data.fold_files import SPLIT_PARTS
from ..pwm import MOTIF_FILE

if TYPE_CHECKING:
    from .cooperation import CooperationTable
    from .influence import InfluenceTable
    from .pair_table import PairTable

KINDS = ("shuffled", "genome", "random")
_BACKGROUND = (
    "windows of the genome with their dinucleotides shuffled, or as they are, or independent bases "
    "(default: shuffled with a genome, else random)"
)
_MOTIFS = f"folder of tcnfast motifs, or a {MOTIF_FILE} (default: jaspar)"
_DEVICE = ("device", "precision", "backend", "force")


@dataclass(frozen=True)
class PairsOptions(DataOptions):
    """Of ``tcnfast cobind pairs``."""

    scan: str | None = option(
        None, "folder of tcnfast scan: its calls, as predicted pairs", unit="DIR"
    )
    targets: tuple[str, ...] | None = targets_option()
    part: str | None = option(
        None,
        "use only this part of the split (default: all contigs that have peaks)",
        choices=SPLIT_PARTS,
    )
    bin: int = option(
        200, "width of a bin; two labels meet where both bind the same bin", unit="BP", least=1
    )
    block: int = option(
        1000,
        "length of the blocks that are shuffled by nulls that keep GC; a multiple of the bin",
        unit="BP",
        least=1,
    )
    replicates: int = option(1000, "replicates of each null", unit="N", least=20)
    min_sites: int = option(20, "leave out labels of fewer bound bins", unit="N", least=1)
    fdr: float = option(0.05, "largest q of an edge of the network, under every null", unit="Q")
    fold: float = option(
        1.5,
        "smallest observed over expected of an edge, under the strictest null",
        unit="X",
    )
    seed: int = seed_option("the replicates")

    def check(self) -> None:
        if self.ambiguous:
            raise TcnfastError(f"{setting('ambiguous')}: co-occurrence counts bound peaks only")
        if self.block % self.bin:
            raise TcnfastError(
                f"{setting('block')} {self.block}: must be a multiple of the bin, {self.bin} bp"
            )
        if not 0 < self.fdr < 1:
            raise TcnfastError(f"{setting('fdr')} {self.fdr}: must lie between 0 and 1")


@verb(
    "which labels lie together more often than by chance: tables, heat maps, networks",
    DATA,
    OUT,
    options=PairsOptions,
    run=("force",),
    command="cobind pairs",
    examples=(
        ("-d data -o pairs", "pairs of labels in the peaks of a dataset"),
        ("-g hg38.fa --scan calls -t @K562 -o pairs", "pairs of labels in the calls of a scan"),
    ),
)
def pairs(
    data: File | None = None, out: File = "pairs/", *, options: PairsOptions, run: Run
) -> dict[str, PairTable]:
    """Test which labels lie together more often than by chance, in peaks and in a scan's calls.

    ``data`` is a folder of ``tcnfast prepare``; leave it out where ``genome`` and ``peaks`` name
    files. Without peaks only the scan is looked at. The folder ``out`` gets, for peaks and for
    calls, a table, a heat map and a network, and summary.json.

    Returns:
        dict[str, PairTable]: "observed" of peaks and "predicted" of calls, as far as they were
            asked for; ``table`` of each is a pandas table, a pair a row.

    Raises:
        TcnfastError: for bad input, in one line.
    """
    from .pairs_run import co_occurrence

    return co_occurrence(data, out, options, run)


def motif_pairs(value: str | Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Kind of an option: pairs of motifs, as "CTCF+SP1,MAX+REST"."""
    parts = [part.split("+") for part in names(value)] if isinstance(value, str) else value
    if not parts or any(len(pair) != 2 or not all(pair) for pair in parts):
        raise ValueError("write two motifs with + between, as CTCF+SP1")
    return tuple((str(first), str(second)) for first, second in parts)


@dataclass(frozen=True)
class CooperationOptions(Options):
    """Of ``tcnfast cobind motifs``."""

    motifs: str | None = option(None, _MOTIFS, unit="FILE|NAME|DIR")
    genome: tuple[str, ...] = genome_option(
        "draw backgrounds from these FASTA or .2bit files (default: random sequence)"
    )
    names: tuple[str, ...] | None = option(
        None, "all pairs of these motifs, by name or id", kind=names, unit="MOTIFS"
    )
    pairs: tuple[tuple[str, str], ...] | None = option(
        None, "these pairs, as CTCF+ZNF143,MAX+SP1", kind=motif_pairs, unit="PAIRS"
    )
    top: int = option(
        6, "otherwise all pairs of the N motifs that change the logits most", unit="N", least=2
    )
    background: str | None = option(None, _BACKGROUND, choices=KINDS)
    backgrounds: int = option(
        50, "backgrounds: half choose the best gap, half measure it", unit="N", least=1
    )
    max_gap: int = option(100, "longest gap between the sites", unit="BP", least=0)
    margin: float = option(
        1.0,
        "synergy: the whole interval is above this; additive: the whole interval is nearer to 0",
        unit="LOGITS",
    )
    permutations: int = option(
        999, "permutations of the gaps, for the p-value of the helical period", unit="N", least=1
    )
    seed: int = seed_option("the backgrounds")

    def check(self) -> None:
        if self.names is not None and self.pairs is not None:
            raise TcnfastError(f"{setting('names')} and {setting('pairs')} exclude each other")
        if self.names is not None and len(self.names) < 2:
            raise TcnfastError(f"{setting('names')}: a pair needs two motifs")
        if not self.margin > 0:
            raise TcnfastError(f"{setting('margin')} {self.margin}: must be above 0")


@verb(
    "pairs of motifs inserted at all gaps, orders and orientations: do they cooperate?",
    MODEL,
    OUT,
    options=CooperationOptions,
    run=_DEVICE,
    command="cobind motifs",
    examples=(
        ("-m model --pairs CTCF+ZNF143 -o cooperation", "one pair of motifs at all gaps"),
        (
            "-m model --top 8 -g hg38.fa -o cooperation",
            "the eight motifs that matter most, in real backgrounds",
        ),
    ),
)
def motifs(
    model: File = DEFAULT_MODEL, out: File = "motifs/", *, options: CooperationOptions, run: Run
) -> CooperationTable:
    """Insert pairs of motifs into backgrounds and measure which cooperate.

    Every pair is inserted at all gaps, orders and orientations. The folder ``out`` says which label
    reacts with more, or less, than the sum of both: cooperation.tsv, profiles.tsv, interaction.npz,
    pictures and a page, index.html.

    Returns:
        CooperationTable: ``table`` and ``profiles`` are pandas tables; effects are in logits.

    Raises:
        TcnfastError: for bad input, in one line.
    """
    from .cooperation_run import motif_cooperation

    return motif_cooperation(model, out, options, run)


@dataclass(frozen=True)
class InfluenceOptions(Options):
    """Of ``tcnfast cobind sites``."""

    scan: str | None = option(None, "sites: the calls of a folder of tcnfast scan", unit="DIR")
    peaks: tuple[str, ...] = option(
        (), "or these labelled peak tables", kind=str, unit="BED", many=True
    )
    targets: tuple[str, ...] | None = targets_option(
        "labels whose sites are looked at (default: all with enough)"
    )
    motifs: str | None = as_in(CooperationOptions, "motifs")
    names: tuple[str, ...] | None = option(
        None,
        "motifs, by name or id (default: the first named for each label's factor)",
        kind=names,
        unit="MOTIFS",
    )
    max_sites: int = option(200, "sites of a label, drawn at random", unit="N", least=1)
    min_sites: int = option(
        20, "fewest sites of a label, and fewest of them that have a motif", unit="N", least=1
    )
    draws: int = option(5, "scrambles of each motif, and of random pieces", unit="N", least=1)
    reach: int = option(100, "how far from a summit a motif counts", unit="BP", least=1)
    seed: int = seed_option("all draws")

    def check(self) -> None:
        if self.min_sites < 6:
            raise TcnfastError(
                f"{setting('min_sites')} {self.min_sites}: fewer than 6 pairs can prove nothing"
            )


@verb(
    "at real sites: how much does a label's score fall when a motif is scrambled?",
    GENOME,
    MODEL,
    OUT,
    options=InfluenceOptions,
    run=_DEVICE,
    command="cobind sites",
    examples=(
        ("-g hg38.fa -m model --scan calls -o influence", "at the calls of a scan"),
        (
            "-g hg38.fa -m model --peaks peaks.bed -t CTCF --names CTCF,ZNF143 -o influence",
            "at peaks, two motifs",
        ),
    ),
)
def sites(
    genome: Files,
    model: File = DEFAULT_MODEL,
    out: File = "sites/",
    *,
    options: InfluenceOptions,
    run: Run,
) -> InfluenceTable:
    """Scramble each motif at the real sites of each label and measure how far the logit falls.

    The fall is compared with that under scrambles of random pieces of the same width. The folder
    ``out`` gets influence.tsv, a picture and a page, index.html.

    Returns:
        InfluenceTable: ``table`` is a pandas table, a label and a motif a row; changes are in
            logits. ``rows`` are the same as objects.

    Raises:
        TcnfastError: for bad input, in one line.
    """
    from .sites_run import motif_influence

    return motif_influence(genome, model, out, options, run)
