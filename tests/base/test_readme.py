"""What README and docs show: the snippet runs, links lead somewhere, the first screen stays one."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = [
    README,
    *ROOT.glob("*.md"),
    *ROOT.glob("docs/*.md"),
    *(ROOT / name / "README.md" for name in ("benchmarks", "kernels", "csrc/cpu", "examples/data")),
]


def test_the_python_snippet_runs(tmp_path):
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.S)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    code += "\nassert len(logits) == dense.shape[2] and logits.shape[1] == dense.shape[1] == 112\n"
    code += "assert len(scan.summary) and scan.tracks['CTCF@K562'].exists()\n"
    words = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", sorted(set(PAGES)), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_of_the_pages_lead_to_files(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text)
    missing = [
        link
        for link in links
        if not link.startswith(("http", "mailto:")) and not (page.parent / link).exists()
    ]
    assert missing == []


def test_the_first_page_is_one_screen():
    words = re.sub(r"[|`*#>-]+", " ", README.read_text()).split()
    assert len(words) <= 900
