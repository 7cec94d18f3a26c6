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

from .commands import (
    attribute,
    average,
    bench,
    cobind,
    evaluate,
    index,
    info,
    motifs,
    prepare,
    report,
    scan,
    study,
    train,
    variants,
)


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
    from .base.errors import TcnfastError

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
    for module in (
        index,
        prepare,
        train,
        evaluate,
        study,
        scan,
        attribute,
        motifs,
        report,
        average,
        cobind,
        variants,
        bench,
        info,
    ):
        module.add(commands)
    return parser


class _LazyVersion(str):
    def __mod__(self, _) -> str:
        from importlib.metadata import version

        return f"tcnfast {version('tcnfast')}"


def _with_config(args: argparse.Namespace, argv: list[str]) -> list[str]:
    """The command line with the flags of --config in front, so that what the user typed wins."""
    from .base.errors import TcnfastError

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
            raise TcnfastError(f"{args.config}: {key!r} is no flag of {args.parser.prog}")
        if isinstance(value, bool):
            words += [flag] if value else []
        elif isinstance(value, list) and flags[flag].nargs == "+":
            words += [flag, *map(str, value)]
        else:
            text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
            words.append(f"{flag}={text}")
    at = argv.index(args.command) + 1
    return [*argv[:at], *words, *argv[at:]]


def _set_threads(args: argparse.Namespace) -> None:
    if args.threads:
        import torch

        torch.set_num_threads(args.threads)


if __name__ == "__main__":
    sys.exit(main())
