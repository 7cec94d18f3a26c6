"""What --help of a command shows: the same words and lines on every Python."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterator, Sequence
from textwrap import fill, wrap

from .verb import Verb

WORDS_AT = 24  # column, at most, of what an argument is for


class ShowHelp(argparse.Action):
    """Prints the page of ``verb``, whose ``groups`` are arguments by heading, and ends."""

    def __init__(self, option_strings: Sequence[str], verb: Verb, groups: dict, **about):
        super().__init__(option_strings, nargs=0, **about | dict(dest=argparse.SUPPRESS))
        self.verb, self.groups = verb, groups

    def __call__(self, parser, namespace, values, option_string=None) -> None:
        width = shutil.get_terminal_size().columns - 2  # as argparse has it
        print(help_page(self.verb, self.groups, width), end="")
        parser.exit()


def help_page(verb: Verb, groups: dict[str, list[argparse.Action]], width: int) -> str:
    """Usage, sentence, arguments and examples of ``verb``, in lines of at most ``width``
    characters but for usage and examples, which stay as they are, to be copied."""
    parts = [f"usage: {usage(verb)}", fill(verb.sentence, max(width, 11))]
    names = {argument: f"  {_name(argument)}" for group in groups.values() for argument in group}
    at = min(max(map(len, names.values())) + 2, WORDS_AT, max(width - 20, 4))
    for heading, group in groups.items():
        lines = [x for argument in group for x in _lines(names[argument], argument, at, width)]
        parts += ["\n".join([f"{heading}:", *lines])] if group else []
    if verb.examples:
        shown = [f"  {does}:\n    tcnfast {verb.command} {words}" for words, does in verb.examples]
        parts.append("\n".join(["examples:", *map(str.rstrip, shown)]))
    return "\n\n".join(parts) + "\n"


def usage(verb: Verb) -> str:
    return f"tcnfast {verb.synopsis} [options]"


def _lines(name: str, argument: argparse.Action, at: int, width: int) -> Iterator[str]:
    said = (argument.help or "").replace("%%", "%")  # argparse wants it doubled
    words = wrap(said, max(width - at, 11))
    if len(name) <= at - 2:
        name, words = f"{name:<{at}}{words[0]}", words[1:]
    yield name
    yield from (" " * at + line for line in words)


def _name(argument: argparse.Action) -> str:
    """``-t, --targets LABELS``, or the metavar of a positional."""
    unit = argument.metavar
    if not argument.option_strings:
        return str(unit)
    value = {0: "", "+": f" {unit} [{unit} ...]"}.get(argument.nargs, f" {unit}")
    return ", ".join(argument.option_strings) + value
