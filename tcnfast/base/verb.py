"""One form for every verb: a function, a command and ``python -m tcnfast.VERB`` of one declaration.

A verb is a plain function of its inputs, ``out``, its options and its run::

    @verb("call binding along a genome", GENOME, MODEL, OUT, options=ScanOptions, run=("device",))
    def scan(genome, model=DEFAULT_MODEL, out="scan/", *, options: ScanOptions, run: Run):
        from .scan_genome import scan_genome
        return scan_genome(genome, model, out, options, run)

The user calls ``scan("hg38.fa", stride=64, device="cpu")``, or hands over ``options=`` and
``run=`` made before. The command line is made from ``scan.verb``. The body imports what it needs
when it is called, so that importing a room costs nothing.
"""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple, TypeVar

from .errors import TcnfastError
from .input_files import is_pipe, kept_pipes
from .options import Options, Run, Spec, option_fields, setting, several
from .store import check_slashes

R = TypeVar("R")

File = str | os.PathLike[str]  # a file, a folder, or a bundled name
Files = File | Sequence[File]  # one or several

DEFAULT_MODEL = "encode-v2"  # the bundled model that a verb takes where none is named

VERBS: dict[str, Verb] = {}  # every declared verb by its command's words, in order of import


@dataclass(frozen=True)
class Input:
    """An argument of a verb that is no option: files and folders. ``unless``: the option that
    stands in its place; without it, one that has no default must be given.

    ``flags``: none for a positional argument. ``many``: one or several; the function gets a tuple.
    Its signature says whether the argument must be given.
    """

    name: str
    help: str
    flags: tuple[str, ...] = ()
    many: bool = False
    unit: str | None = None
    unless: str | None = None

    @property
    def metavar(self) -> str:
        """What the help shows for its value."""
        return self.unit or self.name.upper()


GENOME = Input("genome", "FASTA or .2bit files", ("-g", "--genome"), many=True, unit="FASTA")
MODEL = Input("model", "model folder or bundled name", ("-m", "--model"), unit="MODEL")
OUT = Input("out", "output folder", ("-o", "--output"), unit="DIR")


class Example(NamedTuple):
    """``words`` behind the command, as a shell has them, and what they do."""

    words: str
    does: str


@dataclass(frozen=True)
class Verb:
    """What the command line needs to know of a verb. ``show`` prints a result on stdout (data) and
    may return an exit code; it runs for the command only."""

    command: str
    help: str
    inputs: tuple[Input, ...]
    options: type[Options]
    run: tuple[str, ...]
    function: Callable
    show: Callable[[Any], int | None] | None
    examples: tuple[Example, ...] = ()

    @property
    def sentence(self) -> str:
        """``help`` as a sentence."""
        end = "" if self.help.endswith("?") else "."
        return f"{self.help[0].upper()}{self.help[1:]}{end}"

    @property
    def synopsis(self) -> str:
        """Command and inputs, as ``scan FASTA... [-m MODEL] [-o DIR]``."""
        words = [self.command]
        for x in self.inputs:
            part = f"{x.flags[0]} {x.metavar}" if x.flags else x.metavar
            part += "..." if x.many else ""
            words.append(f"[{part}]" if x.name in self.defaults else part)
        return " ".join(words)

    @property
    def settings(self) -> dict[str, Spec]:
        """The options by name, then those of the run that apply."""
        every = option_fields(Run)
        return option_fields(self.options) | {name: every[name] for name in self.run}

    @property
    def defaults(self) -> dict[str, Any]:
        """Of the inputs that need not be given."""
        parameters = inspect.signature(self.function).parameters
        found = {x.name: parameters[x.name].default for x in self.inputs if x.unless is None}
        return {
            name: value for name, value in found.items() if value is not inspect.Parameter.empty
        }


@dataclass(frozen=True)
class NoOptions(Options):
    """Of a verb that has none."""


def verb(
    help: str,
    *inputs: Input,
    options: type[Options] = NoOptions,
    run: tuple[str, ...] = (),
    show: Callable[[Any], int | None] | None = None,
    command: str | None = None,
    examples: Sequence[tuple[str, str]] = (),
) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """Make a function ``f(*inputs, options, run)`` a verb; see the module.

    ``command``: its words on the command line, as "cobind pairs" (default: the function's name).
    ``examples``: (words behind the command, what they do), shown by --help; each must parse.
    Keywords that are no option of the verb raise TypeError.
    """

    def declare(function: Callable[..., R]) -> Callable[..., R]:
        kind, applies = options, run
        many = {x.name for x in inputs if x.many}
        parameters = inspect.signature(function).parameters.values()
        own = [x for x in parameters if x.name not in ("options", "run")]
        assert [x.name for x in own] == [x.name for x in inputs], function

        @functools.wraps(function)
        def call(*args, options=None, run=None, **words):
            asked = {name: words.pop(name) for name in option_fields(kind) if name in words}
            how = {name: words.pop(name) for name in (*applies, "progress") if name in words}
            for given, whole in ((asked, options), (how, run)):
                if given and whole is not None:
                    raise TypeError(f"{function.__name__}(): {next(iter(given))} is given twice")
            options = kind(**asked) if options is None else options
            run = Run(**how) if run is None else run
            bound = inspect.signature(function).bind(*args, options=options, run=run, **words)
            for name in many & {x for x, value in bound.arguments.items() if value is not None}:
                bound.arguments[name] = several(bound.arguments[name])
            for x in inputs:  # a Path of a URL is refused before anything is made of it
                for value in _each(bound.arguments.get(x.name)):
                    check_slashes(value)
            if run.shard is not None or run.cluster is not None:
                _check_no_pipes([*bound.arguments.values(), *vars(options).values()], run)
            with kept_pipes():
                return function(*bound.args, **bound.kwargs)

        name = command or function.__name__
        shown = tuple(Example(*example) for example in examples)
        declared = Verb(name, help, inputs, kind, applies, call, show, shown)
        call.verb = VERBS[name] = declared
        call.__signature__ = _signature(function, own, declared)
        call.__doc__ = inspect.cleandoc(function.__doc__ or help) + "\n\n" + _described(declared)
        return call

    return declare


def _check_no_pipes(values: Iterable[object], run: Run) -> None:
    """Raise TcnfastError for an input that other processes could not read again."""
    for value in values:
        for path in _each(value):
            if isinstance(path, (str, os.PathLike)) and is_pipe(path):
                name = "cluster" if run.shard is None else "shard"
                raise TcnfastError(
                    f"{path}: is a pipe, which is read once; with {setting(name)} it is needed "
                    "again: give a file"
                )


def _each(value: object) -> Sequence[object]:
    return value if isinstance(value, (list, tuple)) else (value,)


def _signature(function: Callable, own: list, declared: Verb) -> inspect.Signature:
    keyword = inspect.Parameter.KEYWORD_ONLY
    types = {x.name: x.type for x in (*fields(declared.options), *fields(Run))}
    made = [
        inspect.Parameter(name, keyword, default=spec.default, annotation=types[name])
        for name, spec in declared.settings.items()
    ]
    whole = [
        inspect.Parameter("options", keyword, default=None, annotation=declared.options),
        inspect.Parameter("run", keyword, default=None, annotation=Run),
    ]
    return inspect.signature(function).replace(parameters=[*own, *made, *whole])


def _described(declared: Verb) -> str:
    """The section of a docstring that names every argument."""
    lines = ["Args:"]
    about = [(x.name, x) for x in declared.inputs]
    for name, spec in (*about, *declared.settings.items()):
        unit = f" ({spec.unit})" if spec.unit else ""
        lines.append(f"    {name}{unit}: {spec.help}")
    lines += [
        "    options: all options at once, in place of the single ones",
        "    run: how it runs, in place of device, force and the like",
    ]
    return "\n".join(lines)
