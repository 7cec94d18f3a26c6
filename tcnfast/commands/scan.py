"""``tcnfast scan``: call binding along a genome."""

from __future__ import annotations

import argparse
import logging

from .flags import command, flags, names, positive


def add(commands) -> None:
    parents = [flags("output", "device", "plan", "stride")]
    parser = command(commands, "scan", run, parents, help="call binding along a genome")
    parser.add_argument("genome", nargs="+", metavar="FASTA", help="plain, gzip or bgzip")
    add = parser.add_argument
    add("-m", "--model", help="model folder or bundled name (default encode-v1)")
    add("-c", "--chroms", type=names, metavar="NAMES", help=(
        "comma-separated, or all (default: no _alt, _random, Un, M contigs)"))  # fmt: skip
    add("-t", "--targets", type=names, metavar="LABELS", help="labels to report (default all)")
    add("--tracks", type=names, metavar="LABELS", help="also write bigWig tracks of these, or all")
    add("--track-floor", type=float, default=0.01, metavar="P", help=(
        "tracks hold probabilities of at least P; 0: all (default 0.01)"))  # fmt: skip
    words = "call at f1 (the best F1), precision=P, fdr=P or a probability P (default f1)"
    add("--cutoff", default="f1", metavar="RULE", help=words)
    add("--within", metavar="BED", help="call only inside these regions, e.g. open chromatin")
    add("--min-length", type=positive, default=64, metavar="BP", help="as in MACS3 bdgpeakcall")
    add("--max-gap", type=int, default=64, metavar="BP", help="as in MACS3 bdgpeakcall")
    add("--batch-size", type=positive, default=1, metavar="N", help="segments scored at once")
    add("--resume", action="store_true", help="go on with an unfinished scan")


def run(args: argparse.Namespace) -> None:
    from ..scan import scan

    result = scan(
        args.genome,
        args.model,
        args.output or "scan",
        stride=args.stride,
        rc=args.rc,
        chroms=args.chroms,
        targets=args.targets,
        tracks=args.tracks,
        track_floor=args.track_floor,
        within=args.within,
        min_length=args.min_length,
        max_gap=args.max_gap,
        cutoff=args.cutoff,
        batch_size=args.batch_size,
        device=args.device,
        precision=args.precision,
        backend=args.backend,
        force=args.force,
        resume=args.resume,
        progress=not (args.quiet or args.no_progress),
    )
    calls = sum(row["calls"] for row in result.summary if row["chrom"] == "all")
    logging.info("%d calls in %s", calls, result.folder)
