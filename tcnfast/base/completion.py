"""Completion of commands, flags and file names in shells, made of the parser by shtab."""

from __future__ import annotations

import argparse

from .command import metavar_of
from .errors import TcnfastError
from .extras import install
from .options import Spec

SHELLS = ("bash", "zsh", "fish", "tcsh")
_FILES = ("FASTA", "BED", "DIR", "TSV", "JSON", "VCF", "FILE", "MODEL", "HTML", "RUN", "WINDOWS")


def completion_script(parser: argparse.ArgumentParser, shell: str) -> str:
    """What a shell sources so that it completes ``tcnfast``. ``parser``: of the whole command line;
    it gets values of options and kinds of files written into its actions. Raises TcnfastError where
    shtab is not installed."""
    try:
        import shtab
    except ImportError:
        raise TcnfastError(f"completion needs shtab: {install('completion')}") from None
    for command in _commands(parser):
        settings = command.get_default("verb").settings
        for action in command._actions:
            _describe(action, settings.get(action.dest), shtab.FILE)
    return shtab.complete(parser, shell=shell)


def _commands(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """The parsers of verbs, below families too."""
    found = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                found += _commands(inner)
    return found or [parser]


def _describe(action: argparse.Action, spec: Spec | None, files: object) -> None:
    if isinstance(action, (argparse._HelpAction, argparse._StoreTrueAction)):
        return
    unit = metavar_of(action.dest, spec) if spec else str(action.metavar)
    if spec is not None and spec.choices:
        action.choices = list(spec.choices)
    elif any(word in _FILES for word in unit.replace(".", "|").split("|")):
        action.complete = files
