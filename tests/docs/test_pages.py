"""Every command and every snippet of the README, the tutorials and the questions, run in order as
they stand. Where what they print has changed, as by another model, this writes it into the pages:

    TCNFAST_REFRESH=1 pytest -m "slow or not slow" tests/docs/test_pages.py
"""

import os
import re
from pathlib import Path

import pytest
from support.cli import of_shell
from support.command_server import command_server
from support.snippets import Runner, blocks_of, mismatch, refreshed, same_line

from tcnfast.base.command import asked
from tcnfast.base.options import speaking_of_flags
from tcnfast.cli import build_parser, verbs

pytestmark = pytest.mark.checkout

ROOT = Path(__file__).resolve().parents[2]
FILES = (ROOT / "docs" / "reference" / "files.md").read_text()
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("[!i]*.md"))  # the index has no code
FAQ = ROOT / "docs" / "faq.md"
# seconds, not minutes; a page of the README's commands is in every run of the tests
QUICK = ["README.md"]
REFRESH = "TCNFAST_REFRESH" in os.environ
PAGES = [
    pytest.param(page, marks=[] if page.name in QUICK else pytest.mark.slow, id=page.stem)
    for page in (ROOT / "README.md", *TUTORIALS, FAQ)
]


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """A folder with the program ``tcnfast``."""
    with command_server(tmp_path_factory.mktemp("bin")) as folder:
        yield folder


@pytest.mark.parametrize("page", PAGES)
def test_the_blocks_of_a_page_run_in_order(page, programs, tmp_path, monkeypatch):
    folder = tmp_path / "clean"
    folder.mkdir()
    (folder / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(folder)
    runner = Runner(folder, [programs])
    blocks = blocks_of(page)
    assert any(block.why is None for block in blocks)
    for block in blocks:
        if block.why is not None:
            continue
        printed = runner.run(block)
        wrong = None if block.shown is None else mismatch(block.shown, printed)
        if wrong and REFRESH and (now := refreshed(block.shown, printed)):
            page.write_text(page.read_text().replace(block.shown, now, 1))
            continue
        assert wrong is None, f"{page.name}:{block.line}\n{wrong}\n\nprinted:\n{printed}"
    undocumented = {
        f"{table.relative_to(folder)}: {column}"
        for table in folder.rglob("*.tsv")
        for column in header_of(table)
        if f"`{column}`" not in FILES and table.parent != folder
    }
    assert undocumented == set(), "docs/reference/files.md has every column"


def header_of(table: Path) -> list[str]:
    """Columns of a table; of several of one kind, as `delta_logit:CTCF@K562`, the kind."""
    lines = [line for line in table.read_text().splitlines() if not line.startswith("#")]
    names = lines[0].split("\t") if lines else []
    return [
        re.sub(r":.*", ":<label>", re.sub(r"@precision=.*", "@precision=0.5", x)) for x in names
    ]


def test_the_commands_of_the_how_to_pages_parse():
    """They name files of the reader's own, so they cannot be run."""
    parser = build_parser()
    found = 0
    for page in sorted((ROOT / "docs" / "howto").glob("*.md")):
        for block in re.findall(r"^```text\n(.*?)^```", page.read_text(), re.S | re.M):
            for line in block.replace("\\\n", " ").splitlines():
                words = of_shell(line)
                if words[:1] == ["tcnfast"]:
                    with speaking_of_flags():
                        asked(parser.parse_args(words[1:]))  # SystemExit where a word is wrong
                    found += 1
    assert found > 30


def test_the_commands_in_the_text_of_the_questions_parse():
    """What stands in a sentence; blocks are run."""
    parser = build_parser()
    lines = re.findall(r"`(tcnfast \S[^`\n]*)`", FAQ.read_text())
    for line in lines:
        with speaking_of_flags():
            asked(parser.parse_args(of_shell(line)[1:]))
    assert len(lines) >= 3
    flags = set(re.findall(r"`(--[a-z-]+)", FAQ.read_text()))
    known = {flag for verb in verbs().values() for flag in flags_of_verb(verb)}
    assert flags and flags <= known


def flags_of_verb(verb):
    """The long flags of a command."""
    return {f"--{name.replace('_', '-')}" for name in verb.settings}


def test_no_page_installs_from_an_index():
    """tcnfast is on no package index."""
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    wrong = [
        page.name for page in pages if re.search(r"pip install ['\"]?tcnfast", page.read_text())
    ]
    assert set(wrong) <= {"stumbles.md"}


# the rules by which output is compared


@pytest.mark.parametrize(
    "shown, printed, same",
    [
        ("12 calls in scan", "12 calls in scan", True),
        ("1,249 calls in ...", "1,240 calls in /tmp/x", True),
        ("1249 calls", "1100 calls", False),
        ("CTCF 0.57 A", "CTCF   0.56\tA", True),
        ("CTCF 0.57 A", "CTCF 0.57 B", False),
        ("K562 12", "K563 12", False),
        ("p 3e-05", "p 3e-04", False),
        ("7 peaks", "8 peaks", True),
        ("7 peaks", "9 peaks", False),
    ],
)
def test_a_line_is_compared_by_words_and_nearly_by_numbers(shown, printed, same):
    assert same_line(shown, printed) == same


def test_output_is_compared_line_by_line():
    assert mismatch("a\n...\nd\n", "a\nb\nc\nd\n") is None
    assert mismatch("a\n...\n", "a\nb\n") is None
    assert "shown:   e" in mismatch("a\n...\ne\n", "a\nb\n")
    assert "not shown: b" in mismatch("a\n", "a\nb\n")
    assert "(no more lines)" in mismatch("a\nb\n", "a\n")


@pytest.mark.parametrize(
    "shown, printed, now",
    [
        ("a 1.00\n", "b 2\n", "b 2\n"),  # nothing is left out: all of it
        ("12 calls in ...\n", "19 calls in /tmp/x\n", "19 calls in ...\n"),
        ("12 of 100 in ...\n", "19 of 101 in /x\n", "19 of 100 in ...\n"),  # the near one stays
        ("12 calls in ...\n", "19 sites in /tmp/x\n", None),
        ("CTCF 1\n...\nMAX 2\n", "CTCF 5\nJUN 3\nMAX 7\n", "CTCF 5\n...\nMAX 7\n"),
        ("CTCF 1\n...\n", "CTCF 5\nJUN 3\n", "CTCF 5\n...\n"),
        ("...\nMAX 2\n", "MAX 7\nJUN 3\n", None),
    ],
)
def test_a_page_is_refreshed_by_numbers_alone(shown, printed, now):
    assert refreshed(shown, printed) == now
    if now is not None:
        assert mismatch(now, printed) is None


def test_a_block_that_fails_fails(programs, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```bash\nX=3\n```\n\n```bash\necho $X; tcnfast scna\n```\n")
    runner = Runner(tmp_path, [programs])
    first, second = blocks_of(page)
    runner.run(first)
    with pytest.raises(AssertionError, match="exit code 2") as caught:
        runner.run(second)
    assert "\n3\n" in str(caught.value) and "scna" in str(caught.value)


def test_what_is_not_run_says_why():
    for page in (ROOT / "README.md", *TUTORIALS, FAQ):
        short = [b.line for b in blocks_of(page) if b.why is not None and len(b.why) <= 10]
        assert not short, page.name
