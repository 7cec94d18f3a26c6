"""``tcnfast prepare``: a dataset folder from peak files."""

from __future__ import annotations

import argparse

from .flags import command, flags, peak_flags, positive, require

_RULE = ("label_bin", "min_overlap", "summits")


def add(commands) -> None:
    words = "make a dataset folder of peak files, a genome and a split"
    parser = command(commands, "prepare", run, [flags("output")], help=words)
    add = parser.add_argument
    peak_flags(add)
    words = "table of peak files, BED or narrowPeak: label path [ambiguous_path] [cell], with tabs"
    add("--manifest", metavar="TSV", help=words)
    words = "metadata.tsv of ENCODE, with the downloaded files beside it"
    add("--encode", metavar="TSV", help=words)
    words = "with --encode: the assembly to take, as GRCh38, hg19 or mm10"
    add("--assembly", metavar="NAME", help=words)
    words = "with --encode: take files with an audit error too"
    add("--allow-audit-errors", action="store_true", help=words)
    words = (
        "regions or chromosomes called train, valid and test; or the usual split of hg19, GRCh38 "
        "(hg38) or mm10 by its name"
    )
    add("--split", metavar="JSON|NAME", help=words)
    words = "bases around a centre that decide a label (default 200)"
    add("--label-bin", type=positive, metavar="BP", help=words)
    words = "bases of the bin that a peak must cover, or its whole length (default 100)"
    add("--min-overlap", type=positive, metavar="BP", help=words)
    words = "replace each peak by the BP bases around its summit (default: whole peaks)"
    add("--summits", type=positive, metavar="BP", help=words)
    words = "training peaks below which train drops a label, to be named here (default 200)"
    add("--min-peaks", type=positive, default=200, metavar="N", help=words)
    words = "count labels, bases and pairs of labels: tables in the folder, text on stdout"
    add("--report", action="store_true", help=words)


def run(args: argparse.Namespace) -> None:
    require(args, "genome", "split", "output")
    forms = ("peaks", "manifest", "encode")
    if sum(bool(getattr(args, name)) for name in forms) != 1:
        args.parser.error("give one of --peaks, --manifest and --encode")
    for name in ("assembly", "allow_audit_errors"):
        if getattr(args, name) and not args.encode:
            args.parser.error(f"--{name.replace('_', '-')} goes with --encode")
    if args.ambiguous and not args.peaks:
        args.parser.error("--ambiguous goes with --peaks; a manifest has a column for it")
    from ..data.prepare import LabelRule, PeakInputs, prepare

    inputs = PeakInputs(
        args.peaks or (),
        args.ambiguous,
        args.manifest,
        args.encode,
        args.assembly,
        args.allow_audit_errors,
    )
    rule = {name: x for name in _RULE if (x := getattr(args, name)) is not None}
    prepare(
        args.output,
        args.genome,
        inputs,
        args.split,
        blacklist=args.blacklist,
        rule=LabelRule(**rule),
        min_peaks=args.min_peaks,
        report=args.report,
        force=args.force,
    )
