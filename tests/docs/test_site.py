"""The documentation site: it builds without a warning, is whole, and needs no network."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.chrome import complaints, open_page

import tcnfast
from tcnfast.cli import verbs

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.checkout, pytest.mark.build]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the pages, built strictly."""
    for name in ("sphinx", "myst_parser", "pydata_sphinx_theme"):
        pytest.importorskip(name, reason="the extra docs is not installed")
    folder = tmp_path_factory.mktemp("docs")
    words = [sys.executable, ROOT / "docs" / "site", folder / "site"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and "WARNING" not in done.stderr, done.stderr
    return folder / "site" / "html"


def test_every_command_and_every_public_name_has_its_place(site):
    for words in verbs():
        text = (site / "reference" / "commands" / f"{words.replace(' ', '-')}.html").read_text()
        assert f"tcnfast {words}" in text
        for name in verbs()[words].settings:
            assert f"--{name.replace('_', '-')}" in text
    text = "".join(path.read_text() for path in site.glob("reference/python/*.html"))
    for name in set(tcnfast.__all__) - {"cobind"}:
        home = tcnfast._HOME.get(name)
        path = f"tcnfast.{home}.{name}" if home else f"tcnfast.{name}"
        assert f'id="{path}"' in text, path
    for form in ("pairs", "motifs", "sites"):
        assert f'id="tcnfast.cobind.{form}"' in text


def test_no_page_asks_the_network(site):
    """Links may lead away; what a page loads may not."""
    loads = re.compile(
        r"<(?:script|img|iframe|source)[^>]+src=\"([^\"]+)|<link[^>]+href=\"([^\"]+)"
    )
    asked = {
        source
        for page in site.rglob("*.html")
        for pair in loads.findall(page.read_text())
        for source in pair
        if re.match("(https?:)?//", source)
    }
    assert asked == set()
    for style in site.rglob("*.css"):
        assert not re.search(r"(@import|url\()\s*[\"']?(https?:)?//", style.read_text()), style


def test_every_page_of_docs_is_in_the_navigation(site):
    """The site has no page that only a search finds."""
    lost = []
    for page in (ROOT / "docs").rglob("*.md"):
        place = page.relative_to(ROOT / "docs").with_suffix("")
        source = site.parent / "source" / f"{place}.md"
        if source.read_text().startswith("---\norphan: true"):
            lost.append(str(place))
    assert lost == []


@pytest.mark.browser
@pytest.mark.parametrize("size", ["desktop", "phone"])
@pytest.mark.parametrize("page", ["index", "tutorials/scan", "reference/commands/train", "study"])
def test_a_page_opens_from_disk(chrome, site, page, size):
    """Without a complaint or a request, and no wider than the screen."""
    open_page(chrome, site / f"{page}.html", size)
    assert complaints(chrome) == []
    width = "return document.documentElement.scrollWidth - window.innerWidth"
    assert chrome.execute_script(width) <= 0
