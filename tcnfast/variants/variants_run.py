"""Variant effects: what an allele changes in every label, streamed from VCF to VCF or table."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

from ..base import run_record
from ..base.errors import TcnfastError
from ..base.run_folder import OutputFolder
from ..genome.genome import Genome
from ..model.ensemble import Ensemble
from ..model.load_model import load_model
from ..model.model_folder import ModelFolder
from ..model.tcn import TCN
from .effects import EffectScorer
from .records import VariantFile
from .variant_job import VariantJob, VariantOptions

log = logging.getLogger(__name__)

DEFAULT_MODEL = "encode-v1"


def score_variants(
    variants: str | os.PathLike[str],
    genome: str | os.PathLike[str] | list[str],
    model: TCN | Ensemble | str | os.PathLike[str] | None = None,
    out: str | os.PathLike[str] = "variants/",
    *,
    device: str = "auto",
    force: bool = False,
    resume: bool = False,
    progress: bool = False,
    **options,
) -> Path:
    """Score every allele of a VCF file, or of a table ``chrom pos ref alt [id]``; returns ``out``.

    ``options``: ``mode`` "centre" compares the window centred on the first base of REF with either
    allele in it; "full" every step of the contig, ``stride`` bases apart, whose window holds a base
    of the allele (largest and summed difference of logits, best logit of each allele). ``rc`` as in
    a scan. ``targets``: labels to tell of. ``cutoff``: what counts as a call, as in a scan; a call
    is gained where only ALT reaches it and lost where only REF does. ``format``: "tsv", "parquet"
    or "vcf"; ``columns``: what a table holds of each label. ``explain``: a page of so many alleles,
    those that change a probability most, with what their bases contribute with REF and with ALT.

    Writes ``variants.tsv`` (or .parquet, .vcf), in input order, ``skipped.tsv`` (every allele that
    is not scored, with the reason), ``top.html`` where asked for, and ``run.json``. An allele whose
    REF is not in the genome has ref_match "no" and no scores. Memory does not grow with the file.
    Raises TcnfastError for bad input, and where REF hardly ever fits: the genome is then of another
    assembly.
    """
    started = time.monotonic()
    chosen = VariantOptions(**options)
    folder = None
    if not isinstance(model, (TCN, Ensemble)):
        folder = ModelFolder(model or DEFAULT_MODEL)
        model = load_model(folder)
    scorer = EffectScorer(model, chosen.mode, chosen.stride, chosen.rc, device)
    file = VariantFile(variants)
    if chosen.format == "vcf" and not file.is_vcf:
        raise TcnfastError(f"{file.path}: is a table; --format vcf needs a VCF")
    paths = genome if isinstance(genome, list) else [genome]
    with Genome(*paths) as opened:
        job = VariantJob(file, opened, model, scorer, chosen)
        key = job.key(folder.hash if folder else run_record.state_hash(model))
        output = OutputFolder(out, key, force, resume)
        if output.complete:
            log.info("%s is complete already", output.folder)
            return output.folder
        try:
            job.run(output.work, progress)
            job.assemble(output, started)
        except BaseException:
            if any(output.work.glob("part.*.json")):
                log.warning("finished chunks are kept in %s; go on with --resume", output.work)
            else:
                output.discard()
            raise
    return output.folder
