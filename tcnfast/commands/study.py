"""``tcnfast study``: networks compared on window sets."""

from __future__ import annotations

import argparse

from .flags import command, flags, require


def add(commands) -> None:
    words = "train several networks on window sets, and test their differences"
    parser = command(commands, "study", run, [flags()], help=words)
    add = parser.add_argument
    words = "what to compare: sets, models, seeds (docs/study.md)"
    add("study", nargs="?", metavar="STUDY.json", help=words)
    words = "folder of the study; trainings that are there already are kept"
    add("-o", "--output", metavar="DIR", help=words)
    words = "where to look for the paths of STUDY.json, before the folder that it lies in"
    add("--data", nargs="+", metavar="DIR", default=[], help=words)
    add("--device", default="auto", help="auto, cpu, cuda[:i] (default auto)")
    words = "when all is trained: score the test parts, once, and write results, tables, figures"
    add("--test", action="store_true", help=words)
    words = "only write tables.md and the figures again, from the CSV files in DIR"
    add("--tables", metavar="DIR", help=words)


def run(args: argparse.Namespace) -> None:
    from ..windows.study_run import run_study, write_report

    if args.tables:
        if args.study or args.output or args.test:
            args.parser.error("--tables goes alone")
        write_report(args.tables)
        return
    require(args, "study", "output")
    run_study(args.study, args.output, data=args.data, device=args.device, test=args.test)
