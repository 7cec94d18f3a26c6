"""Messages say how to get what is missing, in words that work for the way tcnfast is installed."""

import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

import tcnfast
from tcnfast.base.extras import install

PACKAGE = Path(tcnfast.__file__).parent
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def not_installed(monkeypatch):
    def distribution(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", distribution)


def test_extras_of_an_installed_package_go_by_its_name():
    assert install("motifs") == "pip install 'tcnfast[motifs]'"


def test_without_an_installed_package_the_folder_is_named(not_installed):
    assert install("motifs") == f"pip install '{PACKAGE.resolve().parent}[motifs]'"


@pytest.mark.checkout
def test_messages_name_extras_that_exist():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = set(project["optional-dependencies"])
    named = set()
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text()
        named |= set(re.findall(r"\binstall\(['\"](\w+)['\"]\)", text))
        if path.name != "extras.py":
            assert not re.search(r"pip install ['\"]?(tcnfast|\.)", text), path.name
    assert {"motifs", "plots", "zarr", "gpu"} <= named <= extras
