"""What an allele changes: the verb ``variants``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..base.errors import TcnfastError
from ..base.options import (
    Options,
    Run,
    names,
    option,
    setting,
    strand_option,
    stride_option,
    targets_option,
)
from ..base.verb import DEFAULT_MODEL, GENOME, MODEL, OUT, File, Files, Input, verb
from ..model.thresholds import parse_cutoff

if TYPE_CHECKING:
    from ..model.ensemble import Ensemble
    from ..model.tcn import TCN
    from .variant_folder import VariantFolder

FORMATS = ("tsv", "parquet", "vcf")
COLUMNS = {  # by mode; the first is written unless others are asked for
    "centre": ("delta_logit", "delta_prob", "ref_prob", "alt_prob"),
    "full": ("max_delta_logit", "sum_delta_logit", "delta_prob", "ref_prob", "alt_prob"),
}
MOST_EXPLAINED = 200  # alleles of a page

_VARIANTS = "VCF, or a table chrom pos ref alt [id]; plain or gzip"
_MODE = "centre: score the window centred on the variant; full: every window that holds it"
_CUTOFF = (
    "where calls start: f1 (the best F1), best, precision=P, fdr=P, recall=P or a probability P"
)
_FORMAT = "tsv, parquet, or vcf: the input with INFO fields"
_COLUMNS = (
    "of each label in a table: delta_logit, delta_prob, ref_prob, alt_prob; in mode full "
    "max_delta_logit and sum_delta_logit (default: the first)"
)
_EXPLAIN = "also write a page, with logos, of the N alleles that change a probability most"


@dataclass(frozen=True)
class VariantOptions(Options):
    """What a user may ask for and the result depends on."""

    mode: str = option("centre", _MODE, choices=tuple(COLUMNS))
    stride: int = stride_option()
    strand: str = strand_option()
    targets: tuple[str, ...] | None = targets_option("labels to write (default: all)")
    cutoff: str = option("f1", _CUTOFF, kind=parse_cutoff, unit="RULE")
    format: str = option("tsv", _FORMAT, choices=FORMATS)
    columns: tuple[str, ...] | None = option(None, _COLUMNS, kind=names, unit="NAMES")
    explain: int = option(0, _EXPLAIN, unit="N", least=0, below=MOST_EXPLAINED + 1)

    def check(self) -> None:
        known = COLUMNS[self.mode]
        for name in self.columns or ():
            if name not in known:
                raise TcnfastError(
                    f"{setting('columns')}: no column {name!r}; mode {self.mode} has "
                    f"{', '.join(known)}"
                )
        if not self.columns:
            object.__setattr__(self, "columns", known[:1])


@verb(
    "effects of variants on every label",
    Input("variants", _VARIANTS, unit="VCF"),
    GENOME,
    MODEL,
    OUT,
    options=VariantOptions,
    run=("device", "force", "resume"),
    examples=(
        ("variants.vcf.gz -g hg38.fa -o effects", "change of each label's logit, a table"),
        (
            "variants.vcf -g hg38.fa --format vcf --mode full -t CTCF,@K562 -o effects",
            "INFO fields in a VCF, over every window that holds the allele",
        ),
    ),
)
def variants(
    variants: File,
    genome: Files,
    model: TCN | Ensemble | File = DEFAULT_MODEL,
    out: File = "variants/",
    *,
    options: VariantOptions,
    run: Run,
) -> VariantFolder:
    """Score what every allele of a VCF file, or of a table ``chrom pos ref alt [id]``, changes.

    ``model`` is a folder, a bundled name, a TCN or an Ensemble. ``mode`` "centre" compares the
    window centred on the first base of REF with either allele in it. "full" compares every step of
    the contig, ``stride`` bases apart, whose window holds a base of the allele, and gives the
    largest and the summed difference of logits and the best logit of each allele. A call is gained
    where only ALT reaches the label's cutoff, and lost where only REF does.

    The folder holds variants.tsv (or .parquet, .vcf) in the order of the input, skipped.tsv (every
    allele that is not scored, with the reason), top.html where ``explain`` asks for it, and
    run.json. An allele whose REF is not in the genome has ref_match "no" and no scores. Memory does
    not grow with the file.

    Returns:
        VariantFolder: the folder; its ``table()`` and ``skipped()`` are pandas tables.

    Raises:
        TcnfastError: for bad input, and where REF hardly ever fits, because the genome is then of
            another assembly.
    """
    from .variants_run import score_variants

    return score_variants(variants, genome, model, out, options, run)
