"""What every command takes, as data for programs: ``tcnfast commands --json``, AGENTS.md and the
pages of the documentation are made of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .command import EXIT_CODES, MESSAGES, flags_of, group_of, metavar_of
from .options import Spec, names
from .verb import Input, Verb
from .version import __version__

_TYPES = {int: "integer", float: "number", bool: "flag", str: "text", names: "names"}


def command_table(verbs: Iterable[Verb]) -> dict[str, Any]:
    """Version, exit codes, the flags that every command takes, and the commands: JSON types only.

    Of a command: ``command`` (its words), ``synopsis``, ``help``, ``examples``, ``inputs`` and
    ``options``. Of an input or option: ``name`` (the keyword in Python and the key of --config),
    ``flags`` (none: a positional argument), ``unit``, ``type`` ("names": several with commas
    between), ``many`` (several words), ``required``, ``default``, ``group`` and ``help``; of an
    option also ``choices``, ``least`` and ``below`` (value >= least, value < below).
    """
    return {
        "program": "tcnfast",
        "version": __version__,
        "exit_codes": {str(code): words for code, words in EXIT_CODES.items()},
        "messages": [
            {"flags": list(flags), "unit": unit, "help": help} for flags, unit, help in MESSAGES
        ],
        "commands": [_row(verb) for verb in verbs],
    }


def _row(verb: Verb) -> dict[str, Any]:
    return {
        "command": f"tcnfast {verb.command}",
        "synopsis": f"tcnfast {verb.synopsis} [options]",
        "help": verb.sentence,
        "examples": [
            {"command": f"tcnfast {verb.command} {x.words}".rstrip(), "does": x.does}
            for x in verb.examples
        ],
        "inputs": [_input(verb, argument) for argument in verb.inputs],
        "options": [_option(verb, name, spec) for name, spec in verb.settings.items()],
    }


def _input(verb: Verb, argument: Input) -> dict[str, Any]:
    return {
        "name": argument.name,
        "flags": list(argument.flags),
        "unit": argument.metavar,
        "type": "text",
        "many": argument.many,
        "required": argument.name not in verb.defaults,
        "default": _plain(verb.defaults.get(argument.name)),
        "group": "input and output",
        "help": argument.help,
    }


def _option(verb: Verb, name: str, spec: Spec) -> dict[str, Any]:
    return {
        "name": name,
        "flags": flags_of(name, spec),
        "unit": None if spec.kind is bool else metavar_of(name, spec),
        "type": _TYPES.get(spec.kind, "text"),
        "many": spec.many,
        "required": False,
        "default": _plain(spec.default),
        "group": group_of(verb, name),
        "help": spec.help,
        "choices": list(spec.choices) if spec.choices else None,
        "least": spec.least,
        "below": spec.below,
    }


def _plain(value: Any) -> Any:
    """A default as JSON has it; None for an empty one."""
    if isinstance(value, tuple):
        return list(value) or None
    return value if isinstance(value, (bool, int, float, str)) else None
