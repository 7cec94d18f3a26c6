"""Messages say how to get what is missing, in words that work for the way tcnfast is installed."""

import re
from importlib import metadata
from pathlib import Path

import pytest

import tcnfast
from tcnfast.base.extras import install

PACKAGE = Path(tcnfast.__file__).parent


@pytest.fixture
def not_installed(monkeypatch):
    def distribution(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", distribution)


def test_extras_of_an_installed_package_go_by_its_name():
    assert install("motifs") == "pip install 'tcnfast[motifs]'"


def test_without_an_installed_package_the_folder_is_named(not_installed):
    assert install("motifs") == f"pip install '{PACKAGE.resolve().parent}[motifs]'"


def test_messages_name_extras_that_exist():
    extras = set(metadata.metadata("tcnfast").get_all("Provides-Extra"))
    named = set()
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text()
        named |= set(re.findall(r"\binstall\(['\"](\w+)['\"]\)", text))
        if path.name != "extras.py":
            assert not re.search(r"pip install ['\"]?(tcnfast|\.)", text), path.name
    assert {"motifs", "plots", "zarr", "gpu"} <= named <= extras
