"""The command line: arguments in, one call, exit code out. Heavy imports wait for their command.

Exit codes: 0 done, 1 failed (one line on stderr, the traceback with -v), 2 usage, 130 interrupted.
stdout is data, stderr is talk.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    argv = list(sys.argv[1:] if argv is None else argv)
    parser = build_parser()
    args = parser.parse_args(argv)
    level = logging.WARNING if args.quiet else logging.INFO
    logging.basicConfig(level=level, format="tcnfast: %(message)s", stream=sys.stderr, force=True)
    try:
        if args.config:
            args = parser.parse_args(_with_config(args, argv))
        _set_threads(args)
        return args.run(args) or 0
    except KeyboardInterrupt:
        print("tcnfast: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:
        if args.verbose:
            logging.exception("failed")
        print(f"tcnfast: error: {_one_line(error)}", file=sys.stderr)
        return 1


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    else:
        text = str(error) or type(error).__name__
    from .errors import TcnfastError

    if not isinstance(error, (TcnfastError, OSError)):
        text = f"{type(error).__name__}: {text} (a defect of tcnfast? -v shows where)"
    return " ".join(text.split())


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tcnfast",
        description="Transcription-factor binding from DNA, genome-wide.",
    )
    parser.add_argument("--version", action="version", version=_LazyVersion("%(prog)s"))
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add in (_add_scan, _add_train, _add_evaluate, _add_info):
        add(commands)
    return parser


class _LazyVersion(str):
    def __mod__(self, _) -> str:
        from importlib.metadata import version

        return f"tcnfast {version('tcnfast')}"


def _flags(*groups: str) -> argparse.ArgumentParser:
    """A parent parser with the named groups of flags, which mean the same in every command."""
    flags = argparse.ArgumentParser(add_help=False)
    for group in ("talk", *groups):
        _GROUPS[group](flags.add_argument)
    return flags


def _talk_flags(add) -> None:
    add("-v", "--verbose", action="store_true", help="show tracebacks")
    add("-q", "--quiet", action="store_true", help="only warnings and errors")
    add("--no-progress", action="store_true", help="no progress bar")
    add("--threads", type=_positive, metavar="N", help="CPU threads (default: all)")
    add("--config", metavar="JSON", help="file of flags; the command line wins")


def _output_flags(add) -> None:
    add("-o", "--output", metavar="DIR", help="output folder")
    add("--force", action="store_true", help="replace an existing output")


def _device_flags(add) -> None:
    add("--device", default="auto", help="auto, cpu, cuda[:i], mps (default auto)")
    add("--precision", default="auto", help="auto, fp32, bf16, fp64 (default auto)")


def _plan_flags(add) -> None:
    add("--backend", default="auto", help="auto, cpu or reference (default auto)")
    words = "plus strand only, or the mean or maximum of both strands' logits (default mean)"
    add("--rc", choices=("none", "mean", "max"), default="mean", help=words)


def _stride_flags(add) -> None:
    words = "spacing of scores, a power of two (default 32)"
    add("--stride", type=_positive, default=32, metavar="BP", help=words)


def _data_flags(add) -> None:
    add("-g", "--genome", nargs="+", metavar="FASTA", help="FASTA files")
    words = (
        "peak tables with a #chrom start end header and a label, or tf and cell, column; "
        "a label is taken from the first table that has it"
    )
    add("--peaks", nargs="+", metavar="BED", help=words)
    words = "tables alike of relaxed peaks: bins that only they touch are not scored"
    add("--ambiguous", nargs="+", metavar="BED", default=[], help=words)
    add("--blacklist", metavar="BED", help="regions to leave out")
    add("--split", metavar="JSON", help="regions: train, valid, test")


_GROUPS = {
    "talk": _talk_flags,
    "output": _output_flags,
    "device": _device_flags,
    "plan": _plan_flags,
    "stride": _stride_flags,
    "data": _data_flags,
}


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} must be at least 1")
    return value


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def _command(commands, name: str, run, parents, **words) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, parents=parents, **words)
    parser.set_defaults(run=run, parser=parser)
    return parser


def _with_config(args: argparse.Namespace, argv: list[str]) -> list[str]:
    """The command line with the flags of --config in front, so that what the user typed wins."""
    from .errors import TcnfastError

    try:
        with open(args.config) as file:
            values = json.load(file)
    except ValueError as error:
        raise TcnfastError(f"{args.config}: not JSON ({error})") from None
    if not isinstance(values, dict):
        raise TcnfastError(f"{args.config}: must hold flags and their values, as {{...}}")
    flags = {word: action for action in args.parser._actions for word in action.option_strings}
    words: list[str] = []
    for key, value in values.items():
        flag = "--" + key.replace("_", "-")
        if flag not in flags or flag in ("--config", "--help"):
            raise TcnfastError(f"{args.config}: {key!r} is no flag of tcnfast {args.command}")
        if isinstance(value, bool):
            words += [flag] if value else []
        elif isinstance(value, list) and flags[flag].nargs == "+":
            words += [flag, *map(str, value)]
        else:
            text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
            words.append(f"{flag}={text}")
    at = argv.index(args.command) + 1
    return [*argv[:at], *words, *argv[at:]]


def _require(args: argparse.Namespace, *names: str) -> None:
    missing = [name for name in names if not getattr(args, name)]
    if missing:
        args.parser.error(f"--{missing[0].replace('_', '-')} is required")


def _set_threads(args: argparse.Namespace) -> None:
    if args.threads:
        import torch

        torch.set_num_threads(args.threads)


def _add_scan(commands) -> None:
    parents = [_flags("output", "device", "plan", "stride")]
    parser = _command(commands, "scan", _scan, parents, help="call binding along a genome")
    parser.add_argument("genome", nargs="+", metavar="FASTA", help="plain, gzip or bgzip")
    add = parser.add_argument
    add("-m", "--model", help="model folder or bundled name (default encode-v1)")
    add("-c", "--chroms", type=_names, metavar="NAMES", help=(
        "comma-separated, or all (default: no _alt, _random, Un, M contigs)"))  # fmt: skip
    add("-t", "--targets", type=_names, metavar="LABELS", help="labels to report (default all)")
    add("--tracks", type=_names, metavar="LABELS", help="also write bigWig tracks of these, or all")
    add("--track-floor", type=float, default=0.01, metavar="P", help=(
        "tracks hold probabilities of at least P; 0: all (default 0.01)"))  # fmt: skip
    add("--within", metavar="BED", help="call only inside these regions, e.g. open chromatin")
    add("--min-length", type=_positive, default=64, metavar="BP", help="as in MACS3 bdgpeakcall")
    add("--max-gap", type=int, default=64, metavar="BP", help="as in MACS3 bdgpeakcall")
    add("--batch-size", type=_positive, default=1, metavar="N", help="segments scored at once")
    add("--resume", action="store_true", help="go on with an unfinished scan")


def _scan(args: argparse.Namespace) -> None:
    from .scan import scan

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


def _add_train(commands) -> None:
    parents = [_flags("output", "device", "stride", "data")]
    parser = _command(commands, "train", _train, parents, help="train a model on peak files")
    add = parser.add_argument
    for name, default in (("channels", 64), ("kernel-size", 3), ("blocks", 8)):
        add(f"--{name}", type=_positive, default=default, metavar="N", help=f"default {default}")
    add("--first-kernel", type=_positive, default=15, metavar="N", help="default 15")
    add("--norm", default="batch", help="batch or weight (default batch)")
    add("--alignment", default="centred", help="centred or causal (default centred)")
    add("--dropout", type=float, default=0.1, metavar="P", help="default 0.1")
    words = "MEME file: first filters start at the motifs named for the labels' factors"
    add("--motifs", metavar="MEME", help=words)
    add("--min-peaks", type=_positive, default=200, metavar="N", help=(
        "drop labels with fewer training peaks (default 200)"))  # fmt: skip
    add("--steps", type=_positive, default=30_000, metavar="N", help="default 30000")
    add("--epoch-steps", type=_positive, default=2_500, metavar="N", help="default 2500")
    add("--batch-size", type=_positive, default=64, metavar="N", help="tiles a step (default 64)")
    add("--tile-steps", type=_positive, default=16, metavar="N", help="scores a tile (default 16)")
    add("--enriched", type=float, default=0.7, metavar="SHARE", help=(
        "share of tiles laid over a bound peak (default 0.7)"))  # fmt: skip
    add("--label-power", type=float, default=0.5, metavar="P", help=(
        "1 draws peaks evenly, 0 labels evenly (default 0.5)"))  # fmt: skip
    add("--learning-rate", type=float, default=3e-3, metavar="R", help="default 0.003")
    add("--weight-decay", type=float, default=0.05, metavar="R", help="default 0.05")
    add("--seed", type=int, default=0, metavar="N", help="default 0")


def _train(args: argparse.Namespace) -> None:
    _require(args, "genome", "peaks", "split", "output")
    from .train_run import train_model

    shape = ("channels", "kernel_size", "blocks", "first_kernel", "norm", "alignment", "dropout")
    config = ("steps", "epoch_steps", "tile_steps", "enriched", "label_power", "stride",
              "learning_rate", "weight_decay", "seed", "precision")  # fmt: skip
    train_model(
        args.genome,
        args.peaks,
        args.split,
        args.output,
        ambiguous=args.ambiguous,
        blacklist=args.blacklist,
        motifs=args.motifs,
        min_peaks=args.min_peaks,
        shape={name: getattr(args, name) for name in shape},
        config={"tiles": args.batch_size, **{name: getattr(args, name) for name in config}},
        device=args.device,
        force=args.force,
        progress=not (args.quiet or args.no_progress),
    )


def _add_evaluate(commands) -> None:
    parents = [_flags("device", "plan", "stride", "data")]
    parser = _command(
        commands, "evaluate", _evaluate, parents, help="AP and AUROC of a model, TSV on stdout"
    )
    parser.add_argument("-m", "--model", help="model folder or bundled name")
    parser.add_argument(
        "--part", choices=("train", "valid", "test"), default="valid", help="default valid"
    )


def _evaluate(args: argparse.Namespace) -> None:
    _require(args, "genome", "peaks", "split", "model")
    from .train_run import evaluate_model

    evaluate_model(
        args.model,
        args.genome,
        args.peaks,
        args.split,
        args.part,
        ambiguous=args.ambiguous,
        blacklist=args.blacklist,
        rc=args.rc,
        stride=args.stride,
        device=args.device,
        precision=args.precision,
        backend=args.backend,
    )


def _add_info(commands) -> None:
    parser = _command(commands, "info", _info, [_flags()], help="what is here: devices, models")
    parser.add_argument("-m", "--model", help="show this model's labels and thresholds")


def _info(args: argparse.Namespace) -> None:
    from . import info

    info.show_model(args.model) if args.model else info.show_system()


if __name__ == "__main__":
    sys.exit(main())
