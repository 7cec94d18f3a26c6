"""The public names have types: .pyi files made of the declarations of the verbs, which mypy holds
strictly, with a program that uses them. Running this file writes the .pyi files."""

import ast
import importlib
import inspect
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import tcnfast
from tcnfast.cli import verbs

pytestmark = pytest.mark.checkout

PACKAGE = Path(tcnfast.__file__).parent
FAMILIES = ("cobind", "windows")  # whose verbs are functions of a room of their own
OF_FILES = {"BED", "DIR", "FILE", "FASTA", "HTML", "JSON", "MEME", "TSV", "VCF", "PTH"}
HEAD = '"""Made by tests/base/test_types.py of the declarations; do not edit."""\n\n'
COMMON = {
    "from collections.abc import Sequence",
    "from os import PathLike",
    "from typing import Any",
}


def homes(room):
    """Module of each name that a room's __init__ imports, also for type checkers alone."""
    found = {}
    for node in ast.walk(ast.parse(inspect.getsource(room))):
        if isinstance(node, ast.ImportFrom) and node.level:
            package = room.__name__.split(".")[: 2 - node.level + 1]
            module = ".".join([*package, *filter(None, [node.module])])
            found |= {alias.name: module for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module not in (None, "__future__"):
            found |= {alias.name: node.module for alias in node.names}
    return found


def taken(spec, declared):
    """What Python may give for an option, as a type."""
    none = " | None" if "None" in declared else ""
    plain = declared.replace(" | None", "")
    if spec.unit == "RULE":
        return f"str | float{none}"
    if plain == "str" and OF_FILES & set((spec.unit or "").split("|")):
        return f"str | PathLike[str]{none}"
    if spec.many:
        return f"str | PathLike[str] | Sequence[str | PathLike[str]]{none}"
    if plain.startswith("tuple") and not plain.endswith(", ...]"):
        return f"str | {plain}{none}"
    if plain.startswith("tuple"):
        return f"str | Sequence[{plain.removeprefix('tuple[').removesuffix(', ...]')}]{none}"
    return declared


def signature(name, verb, home):
    """``def`` of a verb, a parameter a line, and the imports that it needs."""
    signed = inspect.signature(verb.function)
    lines, keywords = [f"def {name}("], False
    for parameter in signed.parameters.values():
        declared = str(parameter.annotation)
        if parameter.name in ("options", "run"):
            declared = f"{'Options' if parameter.name == 'options' else 'Run'} | None"
        elif parameter.name in verb.settings:
            declared = taken(verb.settings[parameter.name], declared)
        if parameter.kind is parameter.KEYWORD_ONLY and not keywords:
            lines.append("    *,")
            keywords = True
        optional = parameter.default is not parameter.empty
        value = f" = {parameter.default!r}" if optional else ""
        lines.append(f"    {parameter.name}: {declared}{value},")
    result = str(signed.return_annotation)
    lines.append(f") -> {result}: ...")
    text = "\n".join(lines)
    words = {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)}
    home = home | {"Options": "tcnfast.base.options", "Run": "tcnfast.base.options"}
    return text, {f"from {home[word]} import {word}" for word in words if word in home}


def stub(package):
    """The text of the .pyi file of ``tcnfast`` or of a family of verbs."""
    family = package.partition(".")[2]
    imports, functions = set(COMMON), []
    home = importlib.import_module(package)
    for words, verb in verbs().items():
        first, _, form = words.rpartition(" ")
        if first == family and hasattr(getattr(home, form, None), "verb"):  # some are for shells
            room = inspect.getmodule(inspect.unwrap(verb.function))
            text, needed = signature(form, verb, homes(room))
            functions.append(text)
            imports |= needed
    names = []
    if not family:
        names += [f"from tcnfast import {name} as {name}" for name in FAMILIES]
        names.append("from tcnfast.base.version import __version__ as __version__")
        names += [f"from tcnfast.{home} import {x} as {x}" for x, home in tcnfast._HOME.items()]
        imports = {line for line in imports if line.split()[-1] not in tcnfast._HOME}
    text = HEAD + "\n".join([*sorted(imports), *names]) + "\n\n" + "\n\n".join(functions) + "\n"
    return formatted(text)


def formatted(text):
    """As ruff has it: unused imports left out, the rest sorted."""
    ruff = [sys.executable, "-m", "ruff"]
    common = ["--stdin-filename", str(PACKAGE / "__init__.pyi"), "-"]
    for words in (["check", "-q", "--fix", "--select", "I,F401"], ["format", "-q"]):
        done = subprocess.run([*ruff, *words, *common], input=text, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        text = done.stdout
    return text


STUBS = {"tcnfast": PACKAGE / "__init__.pyi"}
STUBS |= {f"tcnfast.{name}": PACKAGE / name / "__init__.pyi" for name in FAMILIES}


@pytest.mark.parametrize("package", STUBS)
def test_the_types_of_verbs_are_those_of_their_declarations(package):
    written = STUBS[package].read_text()
    assert written == stub(package), "python tests/base/test_types.py writes it anew"


def test_the_types_name_all_that_is_public():
    tree = ast.parse(STUBS["tcnfast"].read_text())
    defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            defined |= {alias.asname for alias in node.names if alias.asname}
    assert defined == {*tcnfast.__all__, *FAMILIES, "__version__"}
    for family in FAMILIES:
        room = importlib.import_module(f"tcnfast.{family}")
        tree = ast.parse(STUBS[f"tcnfast.{family}"].read_text())
        for node in tree.body:
            if isinstance(node, ast.FunctionDef):
                assert hasattr(getattr(room, node.name), "verb")


USE = """
import tcnfast, tcnfast.kernels
def use() -> tcnfast.ModelFolder:
    return tcnfast.train("data", "model", steps=100)
tcnfast.scan("hg38.fa", strides=64)
"""


@pytest.mark.build
def test_types_reach_the_user_of_an_editable_install(tmp_path):
    """What type checkers cannot follow is an editable install of import hooks."""
    pytest.importorskip("mypy")
    done = subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"])
    assert done.returncode == 0
    (site,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    dependencies = [path for path in sys.path if path.endswith("site-packages")]
    (site / "dependencies.pth").write_text("\n".join(dependencies))
    source = tmp_path / "source"  # setuptools leaves folders behind
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        source.mkdir(exist_ok=True)
        shutil.copy(PACKAGE.parent / name, source)
    for name in ("tcnfast", "kernels"):
        ignored = shutil.ignore_patterns("*.so", "__pycache__", "bundled")
        shutil.copytree(PACKAGE.parent / name, source / name, symlinks=True, ignore=ignored)
    python = tmp_path / "venv" / "bin" / "python"
    environment = {name: x for name, x in os.environ.items() if name != "PYTHONPATH"}
    pip = [python, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "-e", source]
    done = subprocess.run(pip, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    (tmp_path / "use.py").write_text(USE)
    where = [python, "-c", "import tcnfast.kernels as k; print(k.__file__)"]
    done = subprocess.run(where, capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert str(source) in done.stdout, done.stderr
    mypy = [sys.executable, "-m", "mypy", "--strict", "--python-executable", python, "use.py"]
    done = subprocess.run(mypy, capture_output=True, text=True, env=environment, cwd=tmp_path)
    problems = [line for line in done.stdout.splitlines() if ": error: " in line]
    assert len(problems) == 1, done.stdout + done.stderr
    assert problems[0].startswith('use.py:5: error: Unexpected keyword argument "strides"')


if __name__ == "__main__":
    for name, path in STUBS.items():
        path.write_text(stub(name))
