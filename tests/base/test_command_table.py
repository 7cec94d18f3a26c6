"""The table of commands agrees with --help, and shells complete what the parser takes."""

import json
import re
import shlex
import shutil
import subprocess
import sys

import pytest

from tcnfast import cli
from tcnfast.base.command_table import command_table

TABLE = command_table(cli.verbs().values())


@pytest.mark.parametrize("row", TABLE["commands"], ids=lambda row: row["command"])
def test_the_table_has_what_help_shows(run, row, monkeypatch):
    monkeypatch.setenv("COLUMNS", "1000")
    out = run(*row["command"].split()[1:], "--help")[1]
    assert row["help"] in out and f"usage: {row['synopsis']}" in out
    assert all(example["command"] in out for example in row["examples"])
    shown = flags_in(out)
    flags = {flag for x in (*row["inputs"], *row["options"]) for flag in x["flags"]}
    talk = {flag for x in TABLE["messages"] for flag in x["flags"]} | {"-h", "--help"}
    assert flags | talk == set(shown)
    for x in row["options"]:
        words = shown[x["flags"][-1]]
        assert x["help"] in words
        if x["default"] not in (None, False):
            value = x["default"] if isinstance(x["default"], str) else f"{x['default']:g}"
            assert f"default {value}" in words or "default" in x["help"], words


def flags_in(text):
    """What --help says of each flag."""
    found, names = {}, []
    for line in text[: text.index("\nexamples:")].splitlines()[1:]:
        entry = re.match(r"  (-\S.*?)(?:\s{2,}(.*))?$", line)
        if entry:
            names = re.findall(r"(?:^|(?<= ))--?[a-z][a-z-]*", entry[1])
            found |= dict.fromkeys(names, entry[2] or "")
        elif line.startswith("     "):
            found |= {name: found[name] + line.strip() for name in names}
        else:
            names = []
    return found


def test_the_command_prints_the_table(run):
    code, out, err = run("commands", "--json")
    assert (code, err) == (0, "") and json.loads(out) == json.loads(json.dumps(TABLE))
    header, *rows = run("commands")[1].splitlines()
    assert header == "command\twhat\tsynopsis" and len(rows) == len(cli.verbs())


# completion


@pytest.fixture(name="complete", scope="module")
def fixture_complete(tmp_path_factory):
    """complete(line) -> what bash offers for the last word of the line."""
    shtab = pytest.importorskip("shtab", reason="completion needs shtab")
    if shutil.which("bash") is None:
        pytest.skip("bash is not here")
    assert shtab
    from tcnfast.base.completion import completion_script

    folder = tmp_path_factory.mktemp("shell")
    (folder / "genome.fa").touch()
    (folder / "tcnfast.bash").write_text(completion_script(*cli.build_parsers(), "bash"))

    def complete(line):
        words = line.split(" ")
        script = f"""
            source tcnfast.bash
            spec=$(complete -p tcnfast); name=${{spec##*-F }}; name=${{name%% *}}
            COMP_LINE={shlex.quote(line)}; COMP_POINT=${{#COMP_LINE}}
            COMP_WORDS=({shlex.join(words)}); COMP_CWORD={len(words) - 1}
            $name tcnfast {shlex.quote(words[-1])} {shlex.quote(words[-2])}
            printf '%s\\n' "${{COMPREPLY[@]}}"
        """
        done = subprocess.run(
            ["bash", "--norc", "-c", script], cwd=folder, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0 and not done.stderr, done.stderr
        return done.stdout.split()

    return complete


@pytest.mark.parametrize(
    "line, offered",
    [
        ("tcnfast sc", ["scan"]),
        ("tcnfast windows tr", ["train"]),
        ("tcnfast scan --str", ["--stride", "--strand"]),
        ("tcnfast scan --strand ", ["+", "-", "both", "max"]),
        ("tcnfast scan gen", ["genome.fa"]),
        ("tcnfast train --data gen", ["genome.fa"]),
        ("tcnfast cobind pairs --min", ["--min-sites"]),
        ("tcnfast scan --stride gen", []),
    ],
)
def test_bash_completes(complete, line, offered):
    assert complete(line) == offered


def test_completion_of_other_shells_and_refusals(run, monkeypatch):
    assert "must be one of bash, zsh" in run("completion", "dosshell")[2]
    pytest.importorskip("shtab", reason="completion needs shtab")
    for shell in ("bash", "zsh", "fish", "tcsh"):
        code, out, err = run("completion", shell)
        assert (code, err) == (0, "") and "cobind" in out
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert "pip install 'tcnfast[completion]'" in run("completion", "bash")[2]
