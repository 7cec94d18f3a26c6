"""Flags that mean the same in every command."""

from __future__ import annotations

import argparse


def flags(*groups: str) -> argparse.ArgumentParser:
    """A parent parser with the named groups of flags, which mean the same in every command."""
    parent = argparse.ArgumentParser(add_help=False)
    for group in ("talk", *groups):
        _GROUPS[group](parent.add_argument)
    return parent


def _talk_flags(add) -> None:
    add("-v", "--verbose", action="store_true", help="show tracebacks")
    add("-q", "--quiet", action="store_true", help="only warnings and errors")
    add("--no-progress", action="store_true", help="no progress bar")
    add("--threads", type=positive, metavar="N", help="CPU threads (default: all)")
    add("--config", metavar="JSON", help="file of flags; the command line wins")


def _output_flags(add) -> None:
    add("-o", "--output", metavar="DIR", help="output folder")
    add("--force", action="store_true", help="replace an existing output")


def _device_flags(add) -> None:
    add("--device", default="auto", help="auto, cpu, cuda[:i], mps (default auto)")
    add("--precision", default="auto", help="auto, bf16, fp16, tf32, fp32, fp64 (default auto)")


def _plan_flags(add) -> None:
    add("--backend", default="auto", help="auto, triton, cpu or reference (default auto)")
    words = "plus strand only, or the mean or maximum of both strands' logits (default mean)"
    add("--rc", choices=("none", "mean", "max"), default="mean", help=words)


def _stride_flags(add) -> None:
    words = "spacing of scores, a power of two (default 32)"
    add("--stride", type=positive, default=32, metavar="BP", help=words)


def _data_flags(add) -> None:
    words = "folder that tcnfast prepare wrote; instead of --genome, --peaks and --split"
    add("-d", "--data", metavar="DIR", help=words)
    peak_flags(add)
    words = "regions or chromosomes called train, valid and test; or hg19, GRCh38, mm10"
    add("--split", metavar="JSON|NAME", help=words)


def peak_flags(add) -> None:
    """Genome and peaks, where they are files."""
    add("-g", "--genome", nargs="+", metavar="FASTA", help="FASTA or .2bit files")
    words = (
        "peak tables with a #chrom start end header and a label, or tf and cell, column, "
        "or of the four columns chrom start end label; "
        "a label is taken from the first table that has it"
    )
    add("--peaks", nargs="+", metavar="BED", help=words)
    words = "tables alike of relaxed peaks: bins that only they touch are not scored"
    add("--ambiguous", nargs="+", metavar="BED", default=[], help=words)
    add("--blacklist", metavar="BED", help="regions to leave out")


_GROUPS = {
    "talk": _talk_flags,
    "output": _output_flags,
    "device": _device_flags,
    "plan": _plan_flags,
    "stride": _stride_flags,
    "data": _data_flags,
}


def positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} must be at least 1")
    return value


def names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def command(commands, name: str, run, parents, **words) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, parents=parents, **words)
    parser.set_defaults(run=run, parser=parser)
    return parser


def require(args: argparse.Namespace, *names: str) -> None:
    missing = [name for name in names if not getattr(args, name)]
    if missing:
        args.parser.error(f"--{missing[0].replace('_', '-')} is required")


def require_data(args: argparse.Namespace) -> dict:
    """The flags of the group "data" as arguments of ``open_source``: --data, or files."""
    files = ("genome", "peaks", "split")
    others = (*files, "ambiguous", "blacklist")
    if args.data is None:
        if not any(getattr(args, name) for name in files):
            args.parser.error("--data is required, or --genome, --peaks and --split")
        require(args, *files)
    for name in others:
        if args.data is not None and getattr(args, name):
            args.parser.error(f"--{name}: --data has it already; give one of the two")
    return {name: getattr(args, name) for name in ("data", *others) if getattr(args, name)}
