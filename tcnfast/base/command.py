"""A verb as a command: its parser, made of the declaration; what was given, checked; the call."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .errors import TcnfastError
from .options import Run, Spec, option_fields
from .tables import parse_json
from .verb import Input, Verb

TALK = ("verbose", "quiet", "no_progress", "threads", "config")


def add_command(commands: Any, name: str, verb: Verb) -> None:
    """Add the parser of ``verb`` under ``name`` to what ``add_subparsers`` returned."""
    # what is not given is absent, so that defaults stay where they are declared
    parser = commands.add_parser(
        name, help=verb.help, description=verb.help, argument_default=argparse.SUPPRESS
    )
    for argument in verb.inputs:
        _add_input(parser, argument, verb.defaults)
    groups: dict[str | None, Any] = {None: parser}
    for option, spec in verb.settings.items():
        if spec.group not in groups:
            groups[spec.group] = parser.add_argument_group(spec.group)
        _add_option(groups[spec.group], option, spec)
    _add_talk(parser)
    parser.set_defaults(verb=verb, parser=parser)


def _add_input(parser: argparse.ArgumentParser, argument: Input, defaults: dict) -> None:
    words = argument.help
    if defaults.get(argument.name) not in (None, (), ""):
        words += f" (default {defaults[argument.name]})"
    words = words.replace("%", "%%")
    metavar = argument.unit or argument.name.upper()
    if argument.flags:
        nargs = "+" if argument.many else None
        parser.add_argument(
            *argument.flags, dest=argument.name, nargs=nargs, metavar=metavar, help=words
        )
    else:
        nargs = "*" if argument.many else "?"  # whether one is needed is checked with the rest
        parser.add_argument(argument.name, nargs=nargs, metavar=metavar, help=words)


def _add_option(group, option: str, spec: Spec) -> None:
    flags = [*([spec.short] if spec.short else ()), "--" + option.replace("_", "-")]
    words = spec.help.replace("%", "%%")
    if spec.kind is bool:
        group.add_argument(*flags, dest=option, action="store_true", help=words)
        return
    default = spec.default
    if default not in (None, (), "") and "default" not in words:
        words += f" (default {default if not isinstance(default, float) else f'{default:g}'})"
    metavar = spec.unit or ("|".join(spec.choices) if spec.choices else option.upper())
    nargs = "+" if spec.many else None
    group.add_argument(*flags, dest=option, nargs=nargs, metavar=metavar, help=words)


def _add_talk(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("messages").add_argument
    add("-v", "--verbose", action="store_true", help="show tracebacks")
    add("-q", "--quiet", action="store_true", help="only warnings and errors")
    add("--no-progress", action="store_true", help="no progress bar")
    add("--threads", type=int, metavar="N", help="CPU threads (default: all)")
    add("--config", metavar="JSON", help="file of options; the command line wins")


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
            raise TcnfastError(f"{path}: {key!r} is no option of tcnfast {verb.command}")
        if getattr(args, name, None) in (None, []):
            setattr(args, name, value)
    return args


def call(args: argparse.Namespace) -> int:
    """Run the verb that the command line asked for; returns the exit code."""
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
        if argument.name not in given and argument.name not in verb.defaults:
            name = "/".join(argument.flags) or argument.unit or argument.name.upper()
            args.parser.error(f"{name} is required")
    inputs = {x.name: given[x.name] for x in verb.inputs if x.name in given}
    result = verb.function(**inputs, options=options, run=how)
    return (verb.show(result) if verb.show else None) or 0
