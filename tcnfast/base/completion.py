"""Completion of commands, flags and file names in shells, made of the parser by shtab."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from .command import metavar_of
from .errors import TcnfastError
from .extras import install
from .options import Spec

SHELLS = ("bash", "zsh", "fish", "tcsh")
_FILES = ("FASTA", "BED", "DIR", "TSV", "JSON", "VCF", "FILE", "MODEL", "HTML", "RUN", "WINDOWS")


def completion_script(
    parser: argparse.ArgumentParser, commands: Sequence[argparse.ArgumentParser], shell: str
) -> str:
    """What a shell sources so that it completes ``tcnfast``. ``parser``: of the whole command line;
    values of options and kinds of files are written into the arguments of its ``commands``. Raises
    TcnfastError where shtab is not installed."""
    try:
        import shtab
    except ImportError:
        raise TcnfastError(f"completion needs shtab: {install('completion')}") from None
    for command in commands:
        settings = command.get_default("verb").settings
        for action in command.get_default("arguments"):
            _describe(action, settings.get(action.dest), shtab.FILE)
    return shtab.complete(parser, shell=shell)


def _describe(action: argparse.Action, spec: Spec | None, files: object) -> None:
    if action.nargs == 0:  # a flag without a value
        return
    unit = metavar_of(action.dest, spec) if spec else str(action.metavar)
    if spec is not None and spec.choices:
        action.choices = list(spec.choices)
    elif any(word in _FILES for word in unit.replace(".", "|").split("|")):
        action.complete = files
