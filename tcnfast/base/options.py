"""Options: what a user may ask of a verb, declared once.

A verb's options are a frozen dataclass derived from :class:`Options`; each of its fields is made
by :func:`option`, which holds the default, the help text, the unit, and what values are allowed.
The command line (``tcnfast/cli.py``), the Python signature (``base/verb.py``) and the checks are
all made from these fields::

    @dataclass(frozen=True)
    class ScanOptions(Options):
        stride: int = option(32, "spacing of scores, a power of two", unit="BP", least=1)
        tracks: tuple[str, ...] | None = option(None, "labels to write tracks of", kind=names)

This module imports nothing heavy, so that ``tcnfast --help`` answers at once.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from fnmatch import fnmatchcase
from typing import Any, TypeVar

from .errors import TcnfastError, did_you_mean
from .store import check_slashes, is_url

T = TypeVar("T")

_command_line = False  # whether the user speaks to us through the command line


@contextmanager
def speaking_of_flags() -> Iterator[None]:
    """Inside, :func:`setting` names flags of the command line."""
    global _command_line
    before, _command_line = _command_line, True
    try:
        yield
    finally:
        _command_line = before


def setting(name: str, value: object = None) -> str:
    """How the user writes the option ``name``: ``--track-floor`` on the command line,
    ``track_floor`` in Python; with a ``value``, ``--rc max`` and ``rc='max'``.

    Error messages use it, so that each user reads words that work where they are.
    """
    if not _command_line:
        return name if value is None else f"{name}={value!r}"
    flag = {"out": "-o/--output"}.get(name, "--" + name.replace("_", "-"))
    return flag if value in (None, True) else f"{flag} {value}"


def several(value: str | os.PathLike[str] | Sequence[Any]) -> tuple[Any, ...]:
    """One value or a sequence of them, as a tuple."""
    return (value,) if isinstance(value, (str, os.PathLike)) else tuple(value)


def names(value: str | Sequence[str]) -> tuple[str, ...]:
    """Kind of an option that takes several names: "A,B" or a sequence of strings."""
    parts = value.split(",") if isinstance(value, str) else [str(part) for part in value]
    return tuple(part.strip() for part in parts if part.strip())


@dataclass(frozen=True)
class Spec:
    """What is known of an option: its ``default``, and

    ``help``: one phrase, without the default, which is added. ``kind``: what makes the value from
    what was given, a string on the command line. It raises ValueError for what it does not take. A
    bool is a flag that is given or not. ``unit``: what the help shows for the value, as BP.
    ``choices``, ``least`` and ``below`` (value >= least, value < below) are checked for both,
    command line and Python. ``short``: as "-t". ``many``: several words on the command line, a
    tuple in Python. ``group``: heading in the help.
    """

    default: Any
    help: str
    kind: Callable[[Any], Any]
    unit: str | None = None
    choices: Sequence[str] | None = None
    least: float | None = None
    below: float | None = None
    short: str | None = None
    many: bool = False
    group: str | None = None


def option(
    default: Any, help: str, *, kind: Callable[[Any], Any] | None = None, **about: Any
) -> Any:
    """A field of an :class:`Options` class; ``about``: the other fields of :class:`Spec`. ``kind``
    is the type of ``default`` if None, and str for None."""
    if kind is None:
        kind = str if default is None else type(default)
    return field(default=default, metadata={"option": Spec(default, help, kind, **about)})


def option_fields(options: type) -> dict[str, Spec]:
    """The fields of a dataclass that :func:`option` made, by name."""
    return {x.name: x.metadata["option"] for x in fields(options) if "option" in x.metadata}


def as_in(options: type, name: str, **changes: Any) -> Any:
    """The field ``name`` of another dataclass again; ``changes``: what of its :class:`Spec` is
    different."""
    spec = replace(option_fields(options)[name], **changes)
    return field(default=spec.default, metadata={"option": spec})


@dataclass(frozen=True)
class Options:
    """Base of every options class: makes and checks the values. Raises TcnfastError in one line.

    A subclass checks what concerns several options in :meth:`check`.
    """

    def __post_init__(self) -> None:
        for name, spec in option_fields(type(self)).items():
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, _made(name, spec, value))
        self.check()

    def check(self) -> None:
        """Raise TcnfastError where options do not go together."""

    def narrowed(self, kind: type[T]) -> T:
        """The values of these options that belong to ``kind``, a dataclass they derive from."""
        return kind(**{x.name: getattr(self, x.name) for x in fields(kind)})  # type: ignore[arg-type]


def _made(name: str, spec: Spec, value: Any) -> Any:
    if spec.many:
        value = several(value)
        return tuple(_checked(name, spec, _converted(name, spec.kind, part)) for part in value)
    if spec.kind is names:
        return tuple(_checked(name, spec, part) for part in names(value))
    return _checked(name, spec, _converted(name, spec.kind, value))


def _converted(name: str, kind: Callable[[Any], Any], value: Any) -> Any:
    if isinstance(value, os.PathLike):
        check_slashes(value)
    try:
        made = kind(value)
    except TcnfastError:  # says itself what is wrong
        raise
    except (TypeError, ValueError, OverflowError) as error:
        plain: dict[Any, str] = {int: "must be a whole number", float: "must be a number"}
        words = plain.get(kind, str(error))
        raise TcnfastError(f"{setting(name)} {value!r}: {words}") from None
    if kind in (int, float) and (isinstance(value, bool) or (kind is int and made != float(value))):
        raise TcnfastError(f"{setting(name)} {value!r}: must be a whole number")
    return made


def _checked(name: str, spec: Spec, value: Any) -> Any:
    problem = None
    if spec.choices and value not in spec.choices:
        problem = f"must be one of {', '.join(map(str, spec.choices))}"
    elif spec.least is not None and not value >= spec.least:
        problem = f"must be at least {spec.least:g}"
    elif spec.below is not None and not value < spec.below:
        problem = f"must be below {spec.below:g}"
    elif spec.kind is float and not math.isfinite(value):
        problem = "must be finite"
    if problem:
        raise TcnfastError(f"{setting(name)} {value!r}: {problem}")
    return value


STRANDS = ("+", "-", "both", "max")


def strand_option(maximum: bool = True) -> str:
    """The option ``strand``: "+", "-", "both" (the mean of the two strands' logits) or "max"."""
    how = "mean (both) or maximum (max)" if maximum else "mean"
    words = f"score +, -, or both strands: the {how} of their logits"
    return option("both", words, choices=STRANDS if maximum else STRANDS[:3])


def stride_option() -> int:
    """The option ``stride``."""
    return option(32, "spacing of scores, a power of two", unit="BP", least=1)


def genome_option(help: str = "FASTA or .2bit files", group: str | None = None) -> tuple[str, ...]:
    """The option ``genome`` of a verb that works without."""
    return option((), help, kind=str, unit="FASTA", short="-g", many=True, group=group)


def targets_option(help: str = "labels to look at (default: all)") -> tuple[str, ...] | None:
    """The option ``targets``: labels by name, factor, cell or pattern."""
    return option(None, help, kind=names, unit="LABELS", short="-t")


def chosen_labels(
    labels: Sequence[str], wanted: Sequence[str], option: str = "targets"
) -> list[str]:
    """Those of a model's labels that an option names, in their order; all for "all".

    A name is a label, a factor (``CTCF``: that factor in every cell), a cell (``@K562``: every
    factor in it), or a pattern of these (``E2F*``, ``*@HepG2``), in any case. Raises TcnfastError
    for a name that fits no label, with near ones.
    """
    if list(wanted) == ["all"]:
        return list(labels)
    if not wanted:
        raise TcnfastError(f"{setting(option)}: names no label")
    chosen: set[str] = set()
    for name in wanted:
        found = matching_labels(labels, name)
        if not found:
            raise TcnfastError(f"{setting(option)}: {no_such_label(labels, name)}")
        chosen.update(found)
    return [label for label in labels if label in chosen]


def labels_in_turn(labels: Sequence[str], wanted: Sequence[str] | None) -> list[str]:
    """The labels of :func:`chosen_labels`, in the order they are asked for; all for None."""
    if wanted is None:
        return list(labels)
    each = (chosen_labels(labels, [name]) for name in wanted)
    return list(dict.fromkeys(label for found in each for label in found))


def matching_labels(labels: Sequence[str], name: str) -> list[str]:
    """The labels that a name, a factor, a cell or a pattern stands for; see chosen_labels."""
    if name in labels:
        return [name]
    small = name.lower()
    exact = [label for label in labels if label.lower() == small]
    if exact:
        return exact
    if any(sign in name for sign in "*?["):
        small = f"*{small}" if small.startswith("@") else small
        return [x for x in labels if _fits(x.lower(), small)]
    if small.startswith("@"):
        return [label for label in labels if label.lower().endswith(small)]
    return [label for label in labels if label.lower().partition("@")[0] == small]


def _fits(label: str, pattern: str) -> bool:
    return fnmatchcase(label, pattern) or fnmatchcase(label.partition("@")[0], pattern)


def no_such_label(labels: Sequence[str], name: str) -> str:
    """That a model has no such label, and which names are near."""
    known: list[str] = []
    for label in labels:
        factor, at, cell = label.partition("@")
        known += [word for word in (label, factor, at + cell) if word]
    mend = did_you_mean(name, known) or "tcnfast labels lists them"
    return f"the model has no label {name!r}; {mend}"


def share(value: str | Sequence[int]) -> tuple[int, int]:
    """Kind of an option that is a part of the work: "3/10" or (3, 10), the third of ten."""
    parts = value.split("/") if isinstance(value, str) else value
    try:
        number, of = (int(part) for part in parts)
    except (TypeError, ValueError):
        number, of = 0, 0
    if not 1 <= number <= of:
        raise ValueError("give i/n, the i-th of n shards, as 1/10 to 10/10")
    return number, of


def seed_option(of: str) -> int:
    """The option ``seed`` of random draws, which ``of`` names."""
    return option(0, f"seed of {of}", unit="N", least=0, below=2**63)


CLUSTER = "on a cluster"  # heading of the help


@dataclass(frozen=True)
class Run(Options):
    """How a verb runs: none of this changes what is asked for. A verb says which of it applies."""

    device: str = option("auto", "auto, cpu, cuda[:i] or mps", unit="NAME")
    devices: tuple[str, ...] | None = option(
        None,
        "several devices at once, a process each, in place of device: cuda:0,cuda:1 or cpu,cpu",
        kind=names,
        unit="NAMES",
    )
    precision: str = option("auto", "auto, bf16, fp16, tf32, fp32 or fp64", unit="NAME")
    backend: str = option("auto", "auto, triton, cpu or reference", unit="NAME")
    batch_size: int = option(1, "number of segments scored at once", unit="N", least=1)
    cluster: str | None = option(
        None,
        "ray: share the work among workers of a Ray cluster, that of RAY_ADDRESS or one on this "
        "machine; all nodes must see the output folder, unless a store is named",
        choices=("ray",),
        group=CLUSTER,
    )
    workers: int | None = option(
        None,
        "workers of the cluster (default: one a GPU, or one for every --threads processors)",
        kind=int,
        unit="N",
        least=1,
        group=CLUSTER,
    )
    time_limit: float = option(
        600.0,
        "longest time for a stretch of 16 Mb; then its worker counts as lost and another does it",
        unit="SECONDS",
        least=1,
        group=CLUSTER,
    )
    store: str | None = option(
        None,
        "for nodes that share no disk: a folder such as s3://bucket/run or gs://bucket/run, from "
        "which workers get the genome and to which they write; needs fsspec's package for it",
        unit="URL",
        group=CLUSTER,
    )
    shard: tuple[int, int] | None = option(
        None, "do the I-th of N parts only; tcnfast merge joins them", kind=share, unit="I/N"
    )
    force: bool = option(False, "replace an existing output")
    resume: bool = option(False, "go on with an unfinished run: the same result as without a stop")
    progress: bool = False  # shown by the command line unless told otherwise

    def check(self) -> None:
        if self.force and self.resume:
            raise TcnfastError(
                f"{setting('force', True)} and {setting('resume', True)}: give one of the two"
            )
        for name in ("workers", "store"):
            if self.cluster is None and getattr(self, name) is not None:
                raise TcnfastError(f"{setting(name)} needs {setting('cluster', 'ray')}")
        if self.store is not None and not is_url(self.store):
            raise TcnfastError(
                f"{setting('store', self.store)}: is no URL, as s3://bucket/run; a folder that all "
                f"nodes see is given as {setting('out')}"
            )
        if self.cluster is not None and self.devices is not None:
            raise TcnfastError(
                f"{setting('cluster')} and {setting('devices')}: give one of the two; "
                f"{setting('device')} says what each worker runs on"
            )
