"""``tcnfast variants``: what variants change."""

from __future__ import annotations

import argparse
import logging

from .flags import command, flags, names, positive, require


def add(commands) -> None:
    parents = [flags("output", "stride")]
    parser = command(commands, "variants", run, parents, help="effects of variants on every label")
    add = parser.add_argument
    add("variants", metavar="VCF", help="VCF, or a table chrom pos ref alt [id]; plain or gzip")
    add("-g", "--genome", nargs="+", metavar="FASTA", help="the assembly the variants are on")
    add("-m", "--model", help="model folder or bundled name (default encode-v1)")
    words = "the window centred on the variant, or every step that sees it (default centre)"
    add("--mode", choices=("centre", "full"), default="centre", help=words)
    words = "plus strand only, or the mean or maximum of both strands' logits (default mean)"
    add("--rc", choices=("none", "mean", "max"), default="mean", help=words)
    add("-t", "--targets", type=names, metavar="LABELS", help="labels to tell of (default all)")
    words = "what a call is: f1 (the best F1), precision=P, fdr=P or a probability P (default f1)"
    add("--cutoff", default="f1", metavar="RULE", help=words)
    words = "table, table of columns, or the VCF with INFO fields (default tsv)"
    add("--format", choices=("tsv", "parquet", "vcf"), default="tsv", help=words)
    words = (
        "of each label in a table: delta_logit, delta_prob, ref_prob, alt_prob; in mode full "
        "max_delta_logit and sum_delta_logit (default the first)"
    )
    add("--columns", type=names, metavar="NAMES", help=words)
    words = "also a page of the N alleles that change a probability most, with logos"
    add("--explain", type=positive, default=0, metavar="N", help=words)
    add("--device", default="auto", help="auto, cpu, cuda[:i] (default auto)")
    add("--resume", action="store_true", help="go on with an unfinished run")


def run(args: argparse.Namespace) -> None:
    require(args, "genome")
    from ..variants.variants_run import score_variants

    options = ("mode", "stride", "rc", "targets", "cutoff", "format", "columns", "explain")
    folder = score_variants(
        args.variants,
        list(args.genome),
        args.model,
        args.output or "variants",
        device=args.device,
        force=args.force,
        resume=args.resume,
        progress=not (args.quiet or args.no_progress),
        **{name: getattr(args, name) for name in options},
    )
    logging.info("effects in %s", folder)
