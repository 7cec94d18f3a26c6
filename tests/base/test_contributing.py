"""The table of verbs in CONTRIBUTING.md is made of their declarations; running this writes it."""

from pathlib import Path

import pytest

from tcnfast.cli import verbs

pytestmark = pytest.mark.checkout

CONTRIBUTING = Path(__file__).resolve().parents[2] / "CONTRIBUTING.md"
BEGIN, END = "<!-- verbs -->\n", "<!-- end of verbs -->\n"


def table():
    """One row a verb: its command, its Python form, its options by their Python names."""
    rows = ["| command | Python | options |", "|---|---|---|"]
    for words, verb in verbs().items():
        given = []
        for argument in verb.inputs:
            name = argument.unit or argument.name.upper()
            flag = f"{argument.flags[0]} " if argument.flags else ""
            part = flag + name + ("..." if argument.many else "")
            given.append(f"[{part}]" if argument.name in verb.defaults else part)
        command = " ".join(["tcnfast", words, *given])
        inputs = ", ".join(argument.name for argument in verb.inputs)
        python = f"tcnfast.{words.replace(' ', '.')}({inputs})"
        options = ", ".join(verb.settings) or "none"
        rows.append(f"| `{command}` | `{python}` | {options} |")
    return "\n".join(rows) + "\n"


def test_the_table_of_verbs_is_that_of_the_code():
    text = CONTRIBUTING.read_text()
    written = text[text.index(BEGIN) + len(BEGIN) : text.index(END)]
    assert written == table(), "python tests/base/test_contributing.py writes it anew"


if __name__ == "__main__":
    text = CONTRIBUTING.read_text()
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    CONTRIBUTING.write_text(before + BEGIN + table() + END + after)
