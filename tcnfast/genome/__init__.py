"""Coordinates and sequence: FASTA, .2bit, codes, intervals, peaks against windows."""

from __future__ import annotations

from pathlib import Path

from ..base.options import Run
from ..base.verb import File, Files, Input, NoOptions, verb

FASTA = Input("fasta", "plain, gzip or bgzip; hg38.fa and hg38.fa.gz get hg38.2bit", many=True)
FILE = Input("out", "another name for the .2bit of one FASTA", ("-o", "--output"), unit="FILE")


@verb(
    "write the .2bit of a FASTA file beside it",
    FASTA,
    FILE,
    run=("force",),
    examples=(
        ("hg38.fa.gz", "write hg38.2bit beside a FASTA file"),
        ("chr20.fa -o small.2bit", "under another name"),
    ),
)
def index(
    fasta: Files,
    out: File | None = None,
    *,
    options: NoOptions,
    run: Run,
) -> list[Path]:
    """Write FASTA files as UCSC .2bit, which is read several times faster.

    Name the .2bit file from then on, as in ``tcnfast scan hg38.2bit``. It lies beside its FASTA
    file, or at ``out``. One that is there already is compared with its FASTA file, and written anew
    only with ``force``.

    Returns:
        list[Path]: the .2bit files, one for each FASTA file.

    Raises:
        GenomeError: for a file that is no nucleotide FASTA, and for a .2bit file that does not hold
            the sequence of its FASTA file.
    """
    from .index_fasta import index_files

    return index_files(fasta, out, run)
