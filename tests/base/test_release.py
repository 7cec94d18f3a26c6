"""What is written for a release says one thing: the version, the address, the licence."""

import re
import tomllib
from pathlib import Path

import pytest

from tcnfast import __version__

pytestmark = pytest.mark.checkout

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
HOME = PROJECT["urls"]["Homepage"]


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


def test_files_agree_on_the_address_and_the_licence():
    assert f"repository-code: {HOME}\n" in text("CITATION.cff")
    assert f"license: {PROJECT['license']}\n" in text("CITATION.cff")
    assert all(address.startswith(HOME) for address in PROJECT["urls"].values())


def test_the_addresses_inside_the_project_lead_to_files():
    for address in PROJECT["urls"].values():
        match = re.match(re.escape(HOME) + r"/(?:blob|tree)/main/(.+)", address)
        assert match is None or (ROOT / match[1]).exists(), address
