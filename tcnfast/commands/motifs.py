"""``tcnfast motifs``: what a model has learned to look for."""

from __future__ import annotations

import argparse
from dataclasses import fields

from ..motifs.modisco_config import ModiscoConfig
from .flags import command, flags, names, require


def add(commands) -> None:
    words = "motifs in attributions (TF-MoDISco), and which known ones they are (TomTom)"
    parser = command(commands, "motifs", run, [flags("output")], help=words)
    parser.add_argument("attributions", metavar="DIR", help="folder of tcnfast attribute")
    add = parser.add_argument
    add("-t", "--targets", type=names, metavar="LABELS", help="labels to search (default all)")
    add("--motifs", metavar="MEME", help=(
        "known motifs to compare with (default: the bundled JASPAR 2024 vertebrates)"))  # fmt: skip
    words = (
        "also tell where the motifs found fit: in a BED file, or in each label's calls of a scan"
    )
    add("--regions", metavar="BED|DIR", help=words)
    add("-g", "--genome", nargs="+", default=[], metavar="FASTA", help="for --regions")
    add("--resume", action="store_true", help="go on with an unfinished run, label by label")
    group = parser.add_argument_group("TF-MoDISco", "its parameters, under its own names")
    for field in fields(ModiscoConfig):
        flag = "--" + field.name.replace("_", "-")
        kind = type(field.default)
        words = f"{field.metadata['help']} (default {field.default})".replace("%", "%%")
        group.add_argument(flag, type=kind, default=field.default, metavar="N", help=words)


def run(args: argparse.Namespace) -> int:
    """1 where a label could not be searched; the others are written all the same."""
    require(args, "output")
    config = ModiscoConfig(**{x.name: getattr(args, x.name) for x in fields(ModiscoConfig)})
    from ..motifs.motifs_run import MotifOptions, find_motifs

    options = MotifOptions(args.targets, args.motifs, args.regions, tuple(args.genome), config)
    result = find_motifs(
        args.attributions,
        args.output,
        options,
        force=args.force,
        resume=args.resume,
        progress=not (args.quiet or args.no_progress),
    )
    return 1 if result.failed else 0
