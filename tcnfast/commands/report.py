"""``tcnfast report``: one page to look at."""

from __future__ import annotations

import argparse

from .flags import command, flags, names, require


def add(commands) -> None:
    words = "one HTML page: model, scores, motifs as logos, example loci"
    parser = command(commands, "report", run, [flags("output")], help=words)
    words = "folders of tcnfast motifs, attribute, evaluate and scan; a model folder"
    parser.add_argument("folders", nargs="*", metavar="RUN", help=words)
    add = parser.add_argument
    add("-m", "--model", help="model folder or bundled name")
    add("-g", "--genome", nargs="+", default=[], metavar="FASTA", help=(
        "draw predicted tracks of the example loci"))  # fmt: skip
    add("--peaks", metavar="BED", help="table of real peaks, as tcnfast train takes, to draw")
    add("-t", "--targets", type=names, metavar="LABELS", help="labels to show (default all)")
    add("--loci", type=int, default=3, metavar="N", help="examples of each label (default 3)")
    add("--title", help="of the page (default: the model's name)")


def run(args: argparse.Namespace) -> None:
    require(args, "output")
    from ..report.report_run import ReportOptions, make_report

    make_report(
        args.folders,
        args.output,
        ReportOptions(
            args.model, tuple(args.genome), args.peaks, args.targets, args.loci, args.title
        ),
        force=args.force,
    )
