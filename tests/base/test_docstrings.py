"""Every public callable says what it does, names each parameter, and says what it returns and
raises, in sections that read alike."""

import inspect
import re

import pytest

import tcnfast
from tcnfast.attribute.attribution_folder import AttributionFolder
from tcnfast.cli import verbs
from tcnfast.data.prepared import DatasetFolder
from tcnfast.model.ensemble import Ensemble
from tcnfast.motifs.motif_folder import MotifFolder
from tcnfast.scan.scan_folder import ScanFolder
from tcnfast.variants.variant_folder import VariantFolder
from tcnfast.windows.study_folder import StudyFolder

READERS = (AttributionFolder, DatasetFolder, Ensemble, MotifFolder, ScanFolder, StudyFolder)
CLASSES = {x.__name__: x for x in (*READERS, VariantFolder)}
CLASSES |= {x: getattr(tcnfast, x) for x in tcnfast._HOME if inspect.isclass(getattr(tcnfast, x))}
VERBS = {
    f"tcnfast.{words.replace(' ', '.')}": verb.function
    for words, verb in verbs().items()
    if words.split()[0] not in ("commands", "completion")  # for shells
}
FUNCTIONS = VERBS | {name: getattr(tcnfast, name) for name in tcnfast._HOME if name not in CLASSES}
METHODS = {
    f"{name}.{x}": getattr(method, "__func__", method)
    for name, kind in CLASSES.items()
    for x, method in vars(kind).items()
    if inspect.isfunction(getattr(method, "__func__", method))
    and (not x.startswith("_") or x == "__call__")
}
PROPERTIES = {
    f"{name}.{x}": attribute
    for name, kind in CLASSES.items()
    for x, attribute in vars(kind).items()
    if not x.startswith("_") and type(attribute).__name__ in ("property", "cached_property")
}


def sections(thing):
    """The first line of a docstring, and its sections by name; each item begins a line."""
    text = inspect.getdoc(thing) or ""
    parts = re.split(r"^(Args|Returns|Raises):\n", text, flags=re.MULTILINE)
    return parts[0].strip().partition("\n")[0], dict(zip(parts[1::2], parts[2::2], strict=True))


def named(section):
    return re.findall(r"^    \*{0,2}(\w+)(?: \([^)]*\))?:", section, re.MULTILINE)


def parameters(thing):
    return [
        x for x in inspect.signature(thing).parameters if x not in ("self", "cls") and x[0] != "_"
    ]


def problems(thing, raises):
    first, found = sections(thing)
    if not first or not first[0].isupper() and not first.startswith("``"):
        yield "does not begin with a sentence"
    missing = set(parameters(thing)) - set(named(found.get("Args", "")))
    if missing:
        yield f"does not name {', '.join(sorted(missing))}"
    extra = set(named(found.get("Args", ""))) - set(parameters(thing))
    if extra:
        yield f"names {', '.join(sorted(extra))}, which it does not take"
    result = inspect.signature(thing).return_annotation
    if not inspect.isclass(thing) and (thing in VERBS.values() or result not in (None, "None")):
        if not re.match(r"    \S+.*: ", found.get("Returns", "")):
            yield "does not say what it returns"
    if raises and not re.match(r"    \w+: ", found.get("Raises", "")):
        yield "does not say what it raises"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name):
    assert list(problems(FUNCTIONS[name], raises=True)) == []


@pytest.mark.parametrize("name", CLASSES)
def test_classes(name):
    assert list(problems(CLASSES[name], raises=name != "TcnfastError")) == []


@pytest.mark.parametrize("name", METHODS)
def test_methods(name):
    raises = re.search(r"\braise \w", inspect.getsource(METHODS[name]))
    if name == "Genome.close":  # there is nothing to say of it
        raises = None
    assert list(problems(METHODS[name], raises=bool(raises))) == []


@pytest.mark.parametrize("name", PROPERTIES)
def test_properties(name):
    assert inspect.getdoc(PROPERTIES[name])


def test_what_is_missing_is_seen():
    def half(codes, stride) -> int:
        """Scores.

        Args:
            codes: uint8 (T,).
            length: of nothing.
        """

    assert list(problems(half, raises=True)) == [
        "does not name stride",
        "names length, which it does not take",
        "does not say what it returns",
        "does not say what it raises",
    ]
