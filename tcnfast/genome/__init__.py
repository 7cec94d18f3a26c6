"""Coordinates and sequence: FASTA, .2bit, codes, intervals, peaks against windows."""

from __future__ import annotations

from pathlib import Path

from ..base.options import Run
from ..base.verb import Input, NoOptions, verb

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
    fasta: str | Path | list[str | Path],
    out: str | Path | None = None,
    *,
    options: NoOptions,
    run: Run,
) -> list[Path]:
    """Write a FASTA file as UCSC .2bit, which is read several times faster: name that one then,
    as in ``tcnfast scan hg38.2bit``.

    ``fasta``: one file or several, plain, gzip or bgzip. The .2bit lies beside each, or at ``out``;
    one that is there is compared with its FASTA, and written anew with ``force``. Returns the paths
    of the .2bit files. Raises GenomeError for what is no nucleotide FASTA, and for a .2bit that is
    not the sequence of its FASTA.
    """
    from .index_fasta import index_files

    return index_files(fasta, out, run)
