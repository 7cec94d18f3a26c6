"""Made by tests/base/test_types.py of the declarations; do not edit."""

from collections.abc import Sequence
from os import PathLike

from tcnfast.base.options import Options, Run
from tcnfast.base.verb import File, Files
from tcnfast.cobind.cooperation import CooperationTable
from tcnfast.cobind.influence import InfluenceTable
from tcnfast.cobind.pair_table import PairTable

def pairs(
    data: File | None = None,
    out: File = "pairs/",
    *,
    peaks: str | PathLike[str] | Sequence[str | PathLike[str]] = (),
    ambiguous: str | PathLike[str] | Sequence[str | PathLike[str]] = (),
    blacklist: str | PathLike[str] | None = None,
    split: str | PathLike[str] | None = None,
    genome: str | PathLike[str] | Sequence[str | PathLike[str]] = (),
    scan: str | PathLike[str] | None = None,
    targets: str | Sequence[str] | None = None,
    part: str | None = None,
    bin: int = 200,
    block: int = 1000,
    replicates: int = 1000,
    min_sites: int = 20,
    fdr: float = 0.05,
    fold: float = 1.5,
    seed: int = 0,
    force: bool = False,
    options: Options | None = None,
    run: Run | None = None,
) -> dict[str, PairTable]: ...
def motifs(
    model: File = "encode-v2",
    out: File = "motifs/",
    *,
    motifs: str | PathLike[str] | None = None,
    genome: str | PathLike[str] | Sequence[str | PathLike[str]] = (),
    names: str | Sequence[str] | None = None,
    pairs: str | Sequence[tuple[str, str]] | None = None,
    top: int = 6,
    background: str | None = None,
    backgrounds: int = 50,
    max_gap: int = 100,
    margin: float = 1.0,
    permutations: int = 999,
    seed: int = 0,
    device: str = "auto",
    precision: str = "auto",
    backend: str = "auto",
    force: bool = False,
    options: Options | None = None,
    run: Run | None = None,
) -> CooperationTable: ...
def sites(
    genome: Files,
    model: File = "encode-v2",
    out: File = "sites/",
    *,
    scan: str | PathLike[str] | None = None,
    peaks: str | PathLike[str] | Sequence[str | PathLike[str]] = (),
    targets: str | Sequence[str] | None = None,
    motifs: str | PathLike[str] | None = None,
    names: str | Sequence[str] | None = None,
    max_sites: int = 200,
    min_sites: int = 20,
    draws: int = 5,
    reach: int = 100,
    seed: int = 0,
    device: str = "auto",
    precision: str = "auto",
    backend: str = "auto",
    force: bool = False,
    options: Options | None = None,
    run: Run | None = None,
) -> InfluenceTable: ...
