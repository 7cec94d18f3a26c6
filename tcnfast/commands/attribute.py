"""``tcnfast attribute``: which bases a call rests on."""

from __future__ import annotations

import argparse

from .flags import command, flags, names, positive, require


def add(commands) -> None:
    words = "what each base adds to the logit at the middle of its window"
    parser = command(commands, "attribute", run, [flags("output")], help=words)
    add = parser.add_argument
    add("-m", "--model", default="encode-v1", help=(
        "model folder or bundled name (default encode-v1)"))  # fmt: skip
    add("-g", "--genome", nargs="+", metavar="FASTA", help="FASTA or .2bit files")
    add("-b", "--bed", metavar="BED", help=(
        "regions, for every label; the window is centred on the summit (narrowPeak) or the middle")
    )  # fmt: skip
    add("--scan", metavar="DIR", help="output of tcnfast scan: each label's own calls, best first")
    add("-t", "--targets", type=names, metavar="LABELS", help="labels (default all)")
    add("--top", type=positive, metavar="N", help="only the first N regions (of a scan, the best)")
    words = "integrated gradients, in-silico mutagenesis or the gradient alone (default ig)"
    add("--method", choices=("ig", "ism", "gradient"), default="ig", help=words)
    add("--baseline", choices=("zeros", "gc", "shuffles"), default="zeros", help=(
        "where paths of ig begin: no bases, the GC content of the window, or each of its "
        "dinucleotide shuffles (default zeros)"))  # fmt: skip
    add("--steps", type=positive, default=50, metavar="N", help="of a path of ig (default 50)")
    words = "for --baseline shuffles (default 10)"
    add("--shuffles", type=positive, default=10, metavar="N", help=words)
    add("--seed", type=int, default=0, metavar="N", help="of the shuffles (default 0)")
    words = "the plus strand's logit, or the mean of both strands' (default mean)"
    add("--rc", choices=("none", "mean"), default="mean", help=words)
    add("--device", default="auto", help="auto, cpu, cuda[:i] (default auto)")
    add("--resume", action="store_true", help="go on with an unfinished run, label by label")


def run(args: argparse.Namespace) -> None:
    require(args, "genome", "output")
    if (args.bed is None) == (args.scan is None):
        args.parser.error("--bed or --scan is required, one of the two")
    from ..attribute.attribute_run import attribute
    from ..attribute.methods import AttributeOptions

    attribute(
        args.model,
        args.genome,
        args.output,
        AttributeOptions(args.method, args.baseline, args.steps, args.shuffles, args.seed),
        regions=args.bed,
        scan=args.scan,
        targets=args.targets,
        top=args.top,
        rc=args.rc,
        device=args.device,
        force=args.force,
        resume=args.resume,
        progress=not (args.quiet or args.no_progress),
    )
