"""TF-MoDISco motifs of attributions: the verb ``motifs``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..base.errors import TcnfastError
from ..base.options import Options, Run, genome_option, option, setting, targets_option
from ..base.verb import OUT, File, Files, Input, verb
from ..pwm import MOTIF_FILE
from .modisco_options import ModiscoOptions

if TYPE_CHECKING:
    from pathlib import Path

    from .motif_folder import MotifFolder

ATTRIBUTIONS = Input("attributions", "output folder of tcnfast attribute", unit="DIR")
_MOTIFS = f"known motifs to compare with, a {MOTIF_FILE} (default: jaspar)"
_REGIONS = "also list where the motifs match, in a BED file or in each label's calls of a scan"


@dataclass(frozen=True)
class MotifOptions(ModiscoOptions):
    """What the motifs depend on, besides attributions."""

    targets: tuple[str, ...] | None = targets_option("labels to search (default: all)")
    motifs: str | None = option(None, _MOTIFS, unit="FILE|NAME")
    regions: str | None = option(None, _REGIONS, unit="BED|DIR")
    genome: tuple[str, ...] = genome_option("FASTA or .2bit files, for the regions")

    def check(self) -> None:
        super().check()
        if bool(self.regions) != bool(self.genome):
            raise TcnfastError(f"hits need both, {setting('regions')} and {setting('genome')}")


def _exit_code(found: MotifFolder) -> int:
    return 1 if found.failed else 0


@verb(
    "motifs in attributions (TF-MoDISco), and which known ones they are (TomTom)",
    ATTRIBUTIONS,
    OUT,
    options=MotifOptions,
    run=("force", "resume"),
    show=_exit_code,
    examples=(
        ("why -o motifs", "motifs of every label of tcnfast attribute"),
        (
            "why -t CTCF@K562 --regions calls -g hg38.fa -o motifs",
            "of one label, and where they fit in its calls",
        ),
    ),
)
def motifs(attributions: File, out: File, *, options: MotifOptions, run: Run) -> MotifFolder:
    """Find the motifs in attributions with TF-MoDISco, label by label, and write a folder.

    The folder holds motifs.tsv, matches.tsv (the known motifs most like each), labels.tsv,
    motifs.meme (the trimmed frequencies), matches.meme (the known motifs of matches.tsv),
    patterns/<label>.npz, seqlets/<label>.bed and, with ``regions``, hits/<label>.bed. A label that
    cannot be searched, for want of attributions or of seqlets, is named in a warning and in
    ``failed`` of the result. The other labels go on; the command then exits with 1.

    Returns:
        MotifFolder: reads the folder; ``motifs``, ``matches`` and ``summary`` are pandas tables.

    Raises:
        TcnfastError: for bad input, in one line.
    """
    from .motifs_run import find_motifs

    return find_motifs(attributions, out, options, run)


RUNS = Input("folders", "outputs of tcnfast attribute and tcnfast motifs", many=True, unit="RUN")


@dataclass(frozen=True)
class ConvertOptions(Options):
    """Of ``tcnfast convert``."""

    targets: tuple[str, ...] | None = targets_option("labels to write (default: all)")


@verb(
    "attributions and motifs as modisco, finemo and tangermeme read them",
    RUNS,
    OUT,
    options=ConvertOptions,
    run=("force",),
    examples=(
        ("why -o peers", "windows and attributions of every label"),
        ("why motifs -t CTCF@K562 -o peers", "of one label, with its motifs, for finemo call-hits"),
    ),
)
def convert(folders: Files, out: File = "converted/", *, options: ConvertOptions, run: Run) -> Path:
    """Write attributions and motifs as modisco, finemo and tangermeme read them.

    Each label gets files of its own (:mod:`tcnfast.motifs.peer_files`). Of attributions
    <label>.sequences.npz and <label>.attributions.npz (one-hot and hypothetical contributions,
    (n, 4, L)), <label>.narrowPeak and <label>.regions.npz; of motifs <label>.modisco.h5.

    Returns:
        Path: the folder that was written.

    Raises:
        TcnfastError: for other folders, and for labels that they lack.
    """
    from .convert_run import convert_folders

    return convert_folders(folders, out, options.targets, run)
