"""The command line: arguments in, one call, exit code out. Heavy imports wait for their command.

Exit codes are those of base/command.py. stdout is data, stderr is talk.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module

from .base.command import add_command, asked, call, refuse_unknown, said_once, with_config
from .base.completion import SHELLS
from .base.errors import SaidElsewhere, TcnfastError, Terminated, did_you_mean
from .base.options import Options, Run, option, speaking_of_flags
from .base.talk import Talk, last_word
from .base.verb import VERBS, Input, NoOptions, Verb, verb
from .base.version import __version__

# commands in the order of the help, and the room that declares each
ROOMS = {
    "scan": "scan",
    "index": "genome",
    "merge": "merge",
    "prepare": "data",
    "train": "train",
    "evaluate": "evaluate",
    "average": "train",
    "attribute": "attribute",
    "motifs": "motifs",
    "convert": "motifs",
    "report": "report",
    "variants": "variants",
    "cobind": "cobind",
    "export": "export",
    "models": "bench",
    "labels": "bench",
    "doctor": "doctor",
    "info": "bench",
    "bench": "bench",
    "windows": "windows",
    "commands": "cli",
    "completion": "cli",
}
WORDS_OF_FAMILIES = {
    "cobind": "factors that bind together: in peaks and calls, in inserted motifs, at real sites",
    "windows": "window sets: make them, train other networks on them, compare networks",
}


def main(argv: Sequence[str] | None = None) -> int:
    _open_what_is_closed()
    alone, argv = argv is None, list(sys.argv[1:] if argv is None else argv)
    with speaking_of_flags(), _stops_are_exceptions(alone) as stops:
        try:
            parser = build_parser()
            with said_once(argv):
                _check_command(argv)
                args, unknown = parser.parse_known_args(argv)
                refuse_unknown(args, unknown)
            return _run(args)
        except KeyboardInterrupt as stop:
            stops.heard = True  # before any call, where Python would raise the next one
            return _stopped(stop)


def _open_what_is_closed() -> None:
    """Standard streams that were closed before the start lead to nowhere: Python has None for them,
    and files that a run opens would take their numbers, with what libraries print there."""
    if None in (sys.stdin, sys.stdout, sys.stderr):
        while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
            pass
        os.close(number)
        sys.stdin = sys.stdin or open(os.devnull)
        sys.stdout = sys.stdout or open(os.devnull, "w")
        sys.stderr = sys.stderr or open(os.devnull, "w")


AGAIN = 0.05  # seconds until a stop that Python dropped is sent again: the callback is over
BEFORE_COMMAND = ("-h", "--help", "--version")  # the only flags that may stand there


def _check_command(argv: Sequence[str]) -> None:
    """End with a usage error, and what was meant, where the first words name no command."""
    if argv and argv[0].startswith("-") and not any(x.startswith(argv[0]) for x in BEFORE_COMMAND):
        near = did_you_mean(argv[0], BEFORE_COMMAND)
        mend = near or f"flags stand behind the command, as in tcnfast scan hg38.fa {argv[0]}"
        print("usage: tcnfast [--help] [--version] COMMAND ...", file=sys.stderr)
        last_word(f"error: tcnfast has no {argv[0]!r}; {mend}")
        sys.exit(2)
    words = argv[: next((i for i, word in enumerate(argv) if word.startswith("-")), len(argv))]
    known = [command.split() for command in verbs()]
    for place in range(len(words)):
        before = list(words[:place])
        names = dict.fromkeys(x[place] for x in known if x[:place] == before and len(x) > place)
        if not names:
            return
        if words[place] not in names:
            family = " ".join(["tcnfast", *before])
            mend = did_you_mean(words[place], names) or f"it has {', '.join(names)}"
            print(f"usage: {family} [--help] {{{','.join(names)}}} ...", file=sys.stderr)
            last_word(f"error: {family} has no {words[place]!r}; {mend}")
            sys.exit(2)


def run_room(package: str) -> None:
    """``python -m tcnfast.ROOM``: the command of that room."""
    sys.exit(main([package.split(".")[-1], *sys.argv[1:]]))


def _run(args: argparse.Namespace) -> int:
    try:
        with said_once([args.verb.command]):
            args = with_config(args)
        level = logging.WARNING if getattr(args, "quiet", False) else logging.INFO
        logging.basicConfig(level=level, handlers=[Talk()], force=True)
        _set_threads(args)
        with said_once([args.verb.command]):
            wanted = asked(args)
        return call(args, *wanted)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except SaidElsewhere:
        return 1
    except Exception as error:
        if stop := _stop_behind(error):
            raise stop from None
        if getattr(args, "verbose", False):
            logging.exception("failed")
        last_word(f"error: {_in_words(error)}")
        return 1


def _stopped(stop: KeyboardInterrupt) -> int:
    """Says what stopped the command; gives its exit code."""
    terminated = isinstance(stop, Terminated)
    last_word("terminated" if terminated else "interrupted")
    return 128 + (signal.SIGTERM if terminated else signal.SIGINT)


def _stop_behind(error: BaseException | None) -> KeyboardInterrupt | None:
    """What stopped the command, where a library that was cleaning up failed over it."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error


@dataclass
class Stops:
    """``heard``: that a command was stopped is known, further signals change nothing."""

    heard: bool = False


@contextmanager
def _stops_are_exceptions(alone: bool) -> Iterator[Stops]:
    """SIGTERM stops a command as Ctrl-C does: what is finished is kept, its processes end.

    Where Python drops an exception (in a callback of a C library, or as an object is deleted), a
    stop would be lost: it is sent again. ``alone``: the process ends with the command; Ctrl-C while
    it does, after a stop, is no traceback.
    """
    stops = Stops()
    if threading.current_thread() is not threading.main_thread():
        yield stops  # only the main thread may say what a signal does
        return

    def stop(number: int, _: object) -> None:
        if not stops.heard:
            raise Terminated if number == signal.SIGTERM else KeyboardInterrupt

    def dropped(what: sys.UnraisableHookArgs) -> None:
        if not issubclass(what.exc_type, KeyboardInterrupt):
            return tell_dropped(what)
        number = signal.SIGTERM if issubclass(what.exc_type, Terminated) else signal.SIGINT
        later = threading.Timer(AGAIN, os.kill, (os.getpid(), number))
        later.daemon = True
        later.start()

    before = {signal.SIGTERM: signal.signal(signal.SIGTERM, stop)}
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # nobody else wants it
        before[signal.SIGINT] = signal.signal(signal.SIGINT, stop)
    tell_dropped, sys.unraisablehook = sys.unraisablehook, dropped
    try:
        yield stops
    finally:
        sys.unraisablehook = tell_dropped
        if alone and stops.heard and signal.SIGINT in before:
            before[signal.SIGINT] = signal.SIG_DFL
        for number, handler in before.items():
            signal.signal(number, handler)


def _in_words(error: Exception) -> str:
    if isinstance(error, FileNotFoundError) and error.filename is None and not _is_somewhere():
        text = "the folder that you are in is not there any more; cd into another"
    elif isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    else:
        text = str(error) or type(error).__name__
    if not isinstance(error, (TcnfastError, OSError)):
        text = f"{type(error).__name__}: {text} (a defect of tcnfast? -v shows where)"
    return " ".join(text.split())


def _is_somewhere() -> bool:
    """Whether there is a working folder."""
    try:
        return bool(os.getcwd())
    except FileNotFoundError:
        return False


def build_parser() -> argparse.ArgumentParser:
    return build_parsers()[0]


def build_parsers() -> tuple[argparse.ArgumentParser, list[argparse.ArgumentParser]]:
    """That of the whole command line, and those of its commands."""
    parser = argparse.ArgumentParser(
        prog="tcnfast",
        description="Transcription-factor binding from DNA, genome-wide.",
        epilog="tcnfast COMMAND --help shows what a command takes, with examples.",
    )
    parser.add_argument("--version", action="version", version=f"tcnfast {__version__}")
    first = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    families, commands = {}, []
    for words, declared in verbs().items():
        family, _, form = words.rpartition(" ")
        if family and family not in families:
            about = WORDS_OF_FAMILIES[family]
            families[family] = first.add_parser(
                family, help=about, description=about
            ).add_subparsers(dest="form", required=True, metavar="FORM")
        commands.append(add_command(families.get(family, first), form, declared))
    return parser, commands


def verbs() -> dict[str, Verb]:
    """Every verb by the words of its command, in the order of the help."""
    for room in dict.fromkeys(ROOMS.values()):
        import_module(f"tcnfast.{room}")
    return {
        words: declared
        for first in ROOMS
        for words, declared in VERBS.items()
        if words.split(" ")[0] == first
    }


@dataclass(frozen=True)
class CommandsOptions(Options):
    """Of ``tcnfast commands``."""

    json: bool = option(False, "everything that every command takes, for programs")


@verb(
    "the commands, as a table or as JSON with all that they take",
    options=CommandsOptions,
    examples=(
        ("", "a line for each command"),
        ("--json > commands.json", "flags, types, defaults, limits and examples of all"),
    ),
)
def commands(*, options: CommandsOptions, run: Run) -> None:
    """Print on stdout what the commands are; see :mod:`tcnfast.base.command_table`."""
    from .base.command_table import command_table

    table = command_table(verbs().values())
    if options.json:
        print(json.dumps(table, indent=1))
        return
    print("command", "what", "synopsis", sep="\t")
    for row in table["commands"]:
        print(row["command"], row["help"], row["synopsis"], sep="\t")


@verb(
    "what a shell needs to complete commands, flags and file names",
    Input("shell", f"one of {', '.join(SHELLS)}", unit="SHELL"),
    examples=(
        (
            "bash > ~/.local/share/bash-completion/completions/tcnfast",
            "for every bash that starts from now on",
        ),
        ("zsh > ~/.zfunc/_tcnfast", "for zsh, where ~/.zfunc is in fpath"),
    ),
)
def completion(shell: str, *, options: NoOptions, run: Run) -> None:
    """Print on stdout a script of ``shell``. Raises TcnfastError for a shell that is not known, and
    where shtab is not installed."""
    from .base.completion import completion_script

    if shell not in SHELLS:
        raise TcnfastError(f"shell {shell!r}: must be one of {', '.join(SHELLS)}")
    print(completion_script(*build_parsers(), shell))


def _set_threads(args: argparse.Namespace) -> None:
    threads = getattr(args, "threads", None)
    if threads is None:
        return
    if threads < 1:
        args.parser.error(f"--threads {threads}: must be at least 1")
    import torch

    torch.set_num_threads(threads)


if __name__ == "__main__":
    sys.exit(main())
