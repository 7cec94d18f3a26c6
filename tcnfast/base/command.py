"""A verb as a command: its parser, made of the declaration; what was given, checked; the call."""

from __future__ import annotations

import argparse
import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any

from .errors import SaidElsewhere, TcnfastError, did_you_mean
from .help_page import ShowHelp, usage
from .options import Options, Run, Spec, option_fields
from .tables import parse_json
from .verb import Input, Verb

MESSAGES = (  # flags of every command: their names, unit and help
    (("-v", "--verbose"), None, "show tracebacks"),
    (("-q", "--quiet"), None, "only warnings and errors"),
    (("--no-progress",), None, "no progress bar"),
    (("--threads",), "N", "CPU threads (default: all)"),
    (("--config",), "JSON", "file of options; the command line wins"),
)
TALK = tuple(flags[-1].removeprefix("--").replace("-", "_") for flags, _, _ in MESSAGES)
EXIT_CODES = {
    0: "done",
    1: "failed: one line on stderr says why, -v shows where; of doctor, a file that is not sound",
    2: "wrong usage: the usage of the command and one line on stderr",
    130: "interrupted",
    141: "the reader of stdout went away",
    143: "terminated",
}


def add_command(commands: Any, name: str, verb: Verb) -> argparse.ArgumentParser:
    """Add the parser of ``verb`` under ``name`` to what ``add_subparsers`` returned. Its defaults
    ``verb``, ``parser`` and ``arguments`` are the verb, itself, and what it takes."""
    # what is not given is absent, so that defaults stay where they are declared
    parser = commands.add_parser(
        name, help=verb.help, usage=usage(verb), add_help=False, argument_default=argparse.SUPPRESS
    )
    groups: dict[str, list[argparse.Action]] = {FILES: []}
    for given in verb.inputs:
        groups[FILES].append(_add_input(parser, given, verb.defaults))
    for option, spec in verb.settings.items():
        groups.setdefault(group_of(verb, option), []).append(_add_option(parser, option, spec))
    groups["messages"] = list(_add_talk(parser, verb, groups))
    arguments = [argument for group in groups.values() for argument in group]
    parser.set_defaults(verb=verb, parser=parser, arguments=arguments)
    return parser


def group_of(verb: Verb, option: str) -> str:
    """The heading that the help shows an option under."""
    return verb.settings[option].group or ("how it runs" if option in verb.run else "options")


FILES = "input and output"  # heading of a help


def refuse_unknown(args: argparse.Namespace, words: Sequence[str]) -> None:
    """End with the usage of the command that was asked for, and names that are near, where it takes
    some of its ``words`` for nothing it knows."""
    if not words:
        return
    flags = [flag for argument in args.arguments for flag in argument.option_strings]
    mend = did_you_mean(words[0].partition("=")[0], [x for x in flags if x.startswith("--")])
    mend = mend or f"tcnfast {args.verb.command} --help shows what it takes"
    args.parser.error(f"unrecognized arguments: {' '.join(words)}; {mend}")


def _add_input(parser, argument: Input, defaults: dict) -> argparse.Action:
    words = argument.help
    if defaults.get(argument.name) not in (None, (), ""):
        where = " in the working folder" if argument.name == "out" else ""
        words += f" (default {defaults[argument.name]}{where})"
    about = dict(metavar=argument.metavar, help=words.replace("%", "%%"))
    if argument.flags:
        nargs = "+" if argument.many else None
        return parser.add_argument(*argument.flags, dest=argument.name, nargs=nargs, **about)
    nargs = "*" if argument.many else "?"  # whether one is needed is checked with the rest
    return parser.add_argument(argument.name, nargs=nargs, **about)


def _add_option(parser, option: str, spec: Spec) -> argparse.Action:
    flags = flags_of(option, spec)
    words = spec.help.replace("%", "%%")
    if spec.kind is bool:
        return parser.add_argument(*flags, dest=option, action="store_true", help=words)
    default = spec.default
    if default not in (None, (), "") and "default" not in words:
        words += f" (default {default if not isinstance(default, float) else f'{default:g}'})"
    nargs = "+" if spec.many else None
    about = dict(metavar=metavar_of(option, spec), help=words)
    return parser.add_argument(*flags, dest=option, nargs=nargs, **about)


def flags_of(option: str, spec: Spec) -> list[str]:
    """The flags of an option, the long one last."""
    return [*([spec.short] if spec.short else ()), "--" + option.replace("_", "-")]


def metavar_of(option: str, spec: Spec) -> str:
    """What the help shows for the value of an option."""
    return spec.unit or ("|".join(spec.choices) if spec.choices else option.upper())


def _add_talk(
    parser: argparse.ArgumentParser, verb: Verb, groups: dict
) -> Iterator[argparse.Action]:
    page = dict(action=ShowHelp, verb=verb, groups=groups)
    yield parser.add_argument("-h", "--help", help="show this and exit", **page)
    for flags, unit, words in MESSAGES:
        kind = int if unit == "N" else str
        about = dict(metavar=unit, type=kind) if unit else dict(action="store_true")
        yield parser.add_argument(*flags, help=words, **about)


def with_config(args: argparse.Namespace) -> argparse.Namespace:
    """``args`` with what the file of --config says and the command line does not."""
    path = getattr(args, "config", None)
    if path is None:
        return args
    verb: Verb = args.verb
    try:
        values = parse_json(Path(path).read_text())
    except ValueError as error:
        raise TcnfastError(f"{path}: not JSON ({error})") from None
    if not isinstance(values, dict):
        raise TcnfastError(f"{path}: must hold options and their values, as {{...}}")
    known = {name: name for name in (*verb.settings, *TALK[:-1])}
    for argument in verb.inputs:
        long = [flag.lstrip("-").replace("-", "_") for flag in argument.flags]
        known.update({word: argument.name for word in (argument.name, *long)})
    for key, value in values.items():
        name = known.get(key.replace("-", "_"))
        if name is None:
            mend = did_you_mean(key.replace("-", "_"), known)
            words = f"{path}: {key!r} is no option of tcnfast {verb.command}"
            raise TcnfastError(f"{words}; {mend}" if mend else words)
        if getattr(args, name, None) in (None, []):
            setattr(args, name, value)
    return args


def asked(args: argparse.Namespace) -> tuple[dict[str, Any], Options, Run]:
    """Inputs, options and run that the command line asks for, checked; ends with the usage where
    they do not go together, or one is missing."""
    verb: Verb = args.verb
    given = {name: value for name, value in vars(args).items() if value not in (None, [])}
    run = {name: given[name] for name in verb.run if name in given}
    quiet = given.get("quiet", False) or given.get("no_progress", False)
    try:
        options = verb.options(**{x: given[x] for x in option_fields(verb.options) if x in given})
        how = Run(**run, progress=not quiet)
    except TcnfastError as error:
        args.parser.error(str(error))
    for argument in verb.inputs:
        instead = argument.unless is not None and getattr(options, argument.unless) is not None
        if argument.name not in given and argument.name not in verb.defaults and not instead:
            name = "/".join(argument.flags) or argument.metavar
            args.parser.error(f"{name} is required")
    return {x.name: given[x.name] for x in verb.inputs if x.name in given}, options, how


@contextmanager
def said_once(words: Sequence[str]) -> Iterator[None]:
    """Inside, of the processes of a training that torchrun started, the first one alone says what
    is wrong with the command line; ``words``: of the command, and maybe more."""
    other = os.environ.get("RANK", "0") != "0" and "TORCHELASTIC_RUN_ID" in os.environ
    if not other or list(words[:1]) != ["train"]:
        yield
        return
    try:
        with redirect_stderr(io.StringIO()):
            yield
    except (TcnfastError, OSError):
        raise SaidElsewhere from None


def call(args: argparse.Namespace, inputs: dict[str, Any], options: Options, run: Run) -> int:
    """Run the verb with what the command line asked for; returns the exit code."""
    verb: Verb = args.verb
    result = verb.function(**inputs, options=options, run=run)
    return (verb.show(result) if verb.show else None) or 0
