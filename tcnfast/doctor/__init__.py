"""What a file is, whether it is sound, what is odd and how to mend it: the verb ``doctor``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..base.options import Options, Run, genome_option, option
from ..base.verb import Files, Input, verb

if TYPE_CHECKING:
    from .findings import Examined

FILES = Input("files", "files, model folders and outputs of tcnfast", many=True, unit="FILE")


@dataclass(frozen=True)
class DoctorOptions(Options):
    """Of ``tcnfast doctor``."""

    genome: tuple[str, ...] = genome_option(
        "FASTA or .2bit files that the contigs of the other files are compared with"
    )
    json: bool = option(False, "what was found as JSON, for programs")


def _print(found: Examined) -> int:
    print(found)
    return 0 if found.sound else 1


@verb(
    "what files are, whether they are sound, what is odd and how to mend it",
    FILES,
    options=DoctorOptions,
    show=_print,
    examples=(
        ("hg38.fa peaks.bed variants.vcf.gz", "three files"),
        ("peaks/*.narrowPeak -g hg38.2bit", "peak files, against the genome they should be of"),
        ("model calls --json", "a model folder and a scan, for a program"),
    ),
)
def doctor(files: Files, *, options: DoctorOptions, run: Run) -> Examined:
    """Read files from end to end with the readers that every command uses, and say what was found.

    Takes FASTA, .2bit, BED, narrowPeak, tables of peaks, VCF and tables of variants, motif files
    (MEME, JASPAR, TRANSFAC, HOMER), bigWig, splits, manifests, ENCODE's metadata.tsv; and folders
    of models, data sets, scans, attributions and motifs. Nothing is written but the index of a
    FASTA in ``genome``. The command exits with 1 where a file is not sound, which is one that some
    command would refuse.

    Returns:
        Examined: a list with Findings about each file; its str is what the command prints.

    Raises:
        TcnfastError: where ``genome`` cannot be read.
    """
    from .examine import examine_files

    return examine_files(files, options.genome, options.json)
