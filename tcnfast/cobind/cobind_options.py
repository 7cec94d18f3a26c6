"""Options of the three forms of ``tcnfast cobind``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..base.errors import TcnfastError
from ..base.options import Options, names, option, seed_option, setting, targets_option
from ..data.data_options import DataOptions

KINDS = ("shuffled", "genome", "random")
_BACKGROUND = (
    "windows of the genome with their dinucleotides shuffled, or as they are, or independent bases "
    "(default: shuffled with a genome, else random)"
)
_MOTIFS = "MEME file or folder of tcnfast motifs (default: JASPAR 2024 vertebrates, bundled)"


@dataclass(frozen=True)
class PairsOptions(DataOptions):
    """Of ``tcnfast cobind pairs``."""

    scan: str | None = option(
        None, "folder of tcnfast scan: its calls, as predicted pairs", unit="DIR"
    )
    targets: tuple[str, ...] | None = targets_option()
    part: str | None = option(
        None,
        "stay in this part of the split (default: all contigs that have peaks)",
        choices=("train", "valid", "test"),
    )
    bin: int = option(
        200, "two labels meet where they bind one bin of this many bases", unit="BP", least=1
    )
    block: int = option(
        1000,
        "what changes places under the nulls that keep GC, a multiple of the bin",
        unit="BP",
        least=1,
    )
    replicates: int = option(1000, "replicates of each null", unit="N", least=20)
    min_sites: int = option(20, "leave out labels of fewer bound bins", unit="N", least=1)
    fdr: float = option(0.05, "largest q, under every null, of an edge of the network", unit="Q")
    fold: float = option(
        1.5, "least observed over expected, under the strictest null, of an edge", unit="X"
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


def motif_pairs(value: str | Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Kind of an option: pairs of motifs, as "CTCF+SP1,MAX+REST"."""
    parts = [part.split("+") for part in names(value)] if isinstance(value, str) else value
    if not parts or any(len(pair) != 2 or not all(pair) for pair in parts):
        raise ValueError("write two motifs with + between, as CTCF+SP1")
    return tuple((str(first), str(second)) for first, second in parts)


@dataclass(frozen=True)
class CooperationOptions(Options):
    """Of ``tcnfast cobind motifs``."""

    motifs: str | None = option(None, _MOTIFS, unit="MEME|DIR")
    genome: tuple[str, ...] = option(
        (),
        "draw backgrounds from these FASTA or .2bit files (default: random sequence)",
        kind=str,
        unit="FASTA",
        short="-g",
        many=True,
    )
    names: tuple[str, ...] | None = option(
        None, "all pairs of these motifs, by name or id", kind=names, unit="MOTIFS"
    )
    pairs: tuple[tuple[str, str], ...] | None = option(
        None, "these pairs, as CTCF+ZNF143,MAX+SP1", kind=motif_pairs, unit="PAIRS"
    )
    top: int = option(
        6, "else all pairs of the N motifs that change the logits most", unit="N", least=2
    )
    background: str | None = option(None, _BACKGROUND, choices=KINDS)
    backgrounds: int = option(
        50, "backgrounds: half choose the best gap, half measure it", unit="N", least=1
    )
    max_gap: int = option(100, "longest gap between the sites", unit="BP", least=0)
    margin: float = option(
        1.0,
        "synergy: an interaction whose whole interval is larger; additive: smaller",
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
    motifs: str | None = option(None, _MOTIFS, unit="MEME|DIR")
    names: tuple[str, ...] | None = option(
        None,
        "motifs, by name or id (default: the first named for each label's factor)",
        kind=names,
        unit="MOTIFS",
    )
    max_sites: int = option(200, "sites of a label, drawn at random", unit="N", least=1)
    min_sites: int = option(
        20, "least sites of a label, and of those with a motif", unit="N", least=1
    )
    draws: int = option(5, "scrambles of each motif, and of random pieces", unit="N", least=1)
    reach: int = option(100, "where a motif counts, on either side of a summit", unit="BP", least=1)
    seed: int = seed_option("all draws")

    def check(self) -> None:
        if self.min_sites < 6:
            raise TcnfastError(
                f"{setting('min_sites')} {self.min_sites}: fewer than 6 pairs can prove nothing"
            )
