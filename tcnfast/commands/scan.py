"""``tcnfast scan``: call binding along a genome."""

from __future__ import annotations

import argparse
import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from .flags import command, flags, names, positive

# flags that say nothing about motifs
OF_MODELS = ("model", "tracks", "track_format", "track_floor", "cutoff", "min_length", "max_gap",
             "devices", "batch_size", "stride", "rc", "precision", "backend")  # fmt: skip


def add(commands) -> None:
    parents = [flags("output", "device", "plan", "stride")]
    parser = command(commands, "scan", run, parents, help="call binding along a genome")
    parser.add_argument("genome", nargs="+", metavar="FASTA", help="plain, gzip or bgzip; or .2bit")
    add = parser.add_argument
    add("-m", "--model", help="model folder or bundled name (default encode-v1)")
    add("-c", "--chroms", type=names, metavar="NAMES", help=(
        "comma-separated, or all (default: no _alt, _random, Un, M contigs)"))  # fmt: skip
    add("-t", "--targets", type=names, metavar="LABELS", help="labels to report (default all)")
    add("--tracks", type=names, metavar="LABELS", help="also write tracks of these, or all")
    words = "bigwig for browsers; zarr (8 bits) or zarr-fp16 for programs (default bigwig)"
    add("--track-format", default="bigwig", metavar="FORMAT", help=words)
    add("--track-floor", type=float, default=0.01, metavar="P", help=(
        "bigWigs hold probabilities of at least P; 0: all (default 0.01)"))  # fmt: skip
    words = "call at f1 (the best F1), precision=P, fdr=P or a probability P (default f1)"
    add("--cutoff", default="f1", metavar="RULE", help=words)
    add("--within", metavar="BED", help="call only inside these regions, e.g. open chromatin")
    add("--min-length", type=positive, default=64, metavar="BP", help="as in MACS3 bdgpeakcall")
    add("--max-gap", type=int, default=64, metavar="BP", help="as in MACS3 bdgpeakcall")
    add("--devices", type=names, metavar="NAMES", help=(
        "several at once, in place of --device: cuda:0,cuda:1, or 0,1; or cpu,cpu"))  # fmt: skip
    add("--batch-size", type=positive, default=1, metavar="N", help="segments scored at once")
    words = "find the hits of these motifs instead of scoring with a model; -t: ids or names"
    add("--motifs", metavar="MEME", help=words)
    words = "with --motifs: of a hit at most (default 1e-4)"
    add("--p-value", type=float, metavar="P", help=words)
    add("--background", type=background, metavar="SHARES", help=(
        "with --motifs: A,C,G,T or uniform (default: of the scanned contigs)"))  # fmt: skip
    add("--resume", action="store_true", help="go on with an unfinished scan")


def run(args: argparse.Namespace) -> None:
    if args.motifs:
        _run_motifs(args)
        return
    for name in ("p_value", "background"):
        if getattr(args, name) is not None:
            args.parser.error(f"--{name.replace('_', '-')} needs --motifs")
    from ..scan.scan_genome import scan

    with _terminated_is_an_exit():
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
            track_format=args.track_format,
            within=args.within,
            min_length=args.min_length,
            max_gap=args.max_gap,
            cutoff=args.cutoff,
            batch_size=args.batch_size,
            device=args.device,
            devices=args.devices,
            precision=args.precision,
            backend=args.backend,
            force=args.force,
            resume=args.resume,
            progress=not (args.quiet or args.no_progress),
        )
    _say_how_many("calls", result)


def _run_motifs(args: argparse.Namespace) -> None:
    for name in OF_MODELS:
        if getattr(args, name) != args.parser.get_default(name):
            flag = name.replace("_", "-")
            args.parser.error(f"--{flag} is for models; it does not go with --motifs")
    from ..scan.scan_genome import scan_motifs

    with _terminated_is_an_exit():
        result = scan_motifs(
            args.genome,
            args.motifs,
            args.output or "scan",
            p_value=1e-4 if args.p_value is None else args.p_value,
            background=args.background,
            chroms=args.chroms,
            targets=args.targets,
            within=args.within,
            device=args.device,
            force=args.force,
            resume=args.resume,
            progress=not (args.quiet or args.no_progress),
        )
    _say_how_many("hits", result)


def _say_how_many(what: str, result) -> None:
    whole = result.summary["chrom"] == "all"
    logging.info("%d %s in %s", result.summary[what][whole].sum(), what, result.path)


def background(text: str) -> list[float]:
    """Shares of A, C, G and T as the command line gives them."""
    if text == "uniform":
        return [0.25] * 4
    try:
        return [float(share) for share in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r}: write four shares, as 0.3,0.2,0.2,0.3"
        ) from None


@contextmanager
def _terminated_is_an_exit() -> Iterator[None]:
    """SIGTERM stops a scan as Ctrl-C does: what is finished is kept, processes of it end."""

    def leave(*_) -> None:
        raise SystemExit(128 + signal.SIGTERM)

    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may say what a signal does
        return
    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    except SystemExit:
        logging.warning("terminated")
        raise
    finally:
        signal.signal(signal.SIGTERM, before)
