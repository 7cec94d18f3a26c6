"""What is written for a release says one thing: the version, the address, the licence."""

import re
import tomllib
from pathlib import Path

import pytest

from tcnfast import __version__

pytestmark = pytest.mark.checkout

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
FILES = ("pyproject.toml", "CITATION.cff", "recipe/meta.yaml", "README.md", "CHANGELOG.md")


def text(name):
    return (ROOT / name).read_text()


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("CITATION.cff", r"^version: (\S+)$"),
        ("CHANGELOG.md", r"^## (\S+)"),
        ("recipe/meta.yaml", r"set version = \"(\S+)\""),
    ],
)
def test_every_file_names_the_version_of_the_package(name, pattern):
    assert re.search(pattern, text(name), re.MULTILINE)[1] == __version__


def test_pyproject_holds_no_version_of_its_own():
    assert "version" not in PROJECT and PROJECT["dynamic"] == ["version"]


def test_the_citation_names_the_licence():
    assert f"license: {PROJECT['license']}\n" in text("CITATION.cff")


def test_no_file_names_an_address_of_the_project():
    """It has none yet. Who publishes it enters the address in all of these files (urls of
    pyproject.toml, repository-code of CITATION.cff, url and home of the recipe), and here."""
    found = [name for name in FILES if re.search(r"https?://[^\s)\"]*tcnfast", text(name))]
    assert found == [] and "urls" not in PROJECT and "repository-code" not in text("CITATION.cff")
