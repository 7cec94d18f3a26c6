"""AGENTS.md is made of the declared options; running this file writes the list in it anew."""

from pathlib import Path

import pytest

from tcnfast import cli
from tcnfast.base.command_table import command_table

pytestmark = pytest.mark.checkout

AGENTS = Path(__file__).resolve().parents[2] / "AGENTS.md"
BEGIN, END = "<!-- commands -->\n", "<!-- end of commands -->\n"
TABLE = command_table(cli.verbs().values())


def manual(table):
    """The generated part of AGENTS.md."""
    lines = ["", "Exit codes: " + "; ".join(f"{n} {x}" for n, x in table["exit_codes"].items())]
    lines[-1] += "."
    lines += ["", *(f"- {_flag(row)}: {row['help']}" for row in table["messages"])]
    for row in table["commands"]:
        lines += ["", f"### {row['command']}", "", f"{row['help']} `{row['synopsis']}`", ""]
        for argument in (*row["inputs"], *row["options"]):
            facts = [x for x in (argument["type"], *_limits(argument)) if x != "text"]
            about = f" ({', '.join(facts)})" if facts else ""
            lines.append(f"- {_flag(argument)}{about}: {argument['help']}")
        lines += ["", "```", *(x["command"] for x in row["examples"]), "```"]
    return "\n".join(lines) + "\n\n"


def _flag(row):
    return f"`{' '.join(x for x in (', '.join(row['flags']), row['unit']) if x)}`"


def _limits(row):
    if row["required"]:
        yield "required"
    if row["many"]:
        yield "one or several"
    if row.get("choices"):
        yield "one of " + " ".join(row["choices"])
    if row.get("least") is not None:
        yield f">= {row['least']:g}"
    if row.get("below") is not None:
        yield f"< {row['below']:g}"
    if row["default"] not in (None, False):
        yield f"default {row['default']}"


def test_agents_md_is_that_of_the_code():
    text = AGENTS.read_text()
    written = text[text.index(BEGIN) + len(BEGIN) : text.index(END)]
    assert written == manual(TABLE), "python tests/base/test_agents.py writes it anew"


if __name__ == "__main__":
    text = AGENTS.read_text()
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    AGENTS.write_text(before + BEGIN + manual(TABLE) + END + after)
