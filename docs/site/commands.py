"""Pages of the commands, made of the declared options when the site is built.

One page a command, with the flags, units and defaults that ``tcnfast COMMAND --help`` shows.
"""

from __future__ import annotations

from html import escape

import tcnfast
from tcnfast.base.command import EXIT_CODES, MESSAGES, flags_of, group_of, metavar_of
from tcnfast.base.verb import Verb
from tcnfast.cli import verbs

FOLDER = "reference/commands"


def pages() -> dict[str, str]:
    """The text of every page by its place in the site."""
    made = {page_of(words): page(words, verb) for words, verb in verbs().items()}
    return {f"{FOLDER}.md": overview(), **made}


def page_of(words: str) -> str:
    return f"{FOLDER}/{words.replace(' ', '-')}.md"


def overview() -> str:
    """The page that lists the commands."""
    rows = ["# Commands", "", "| command | what it does |", "|---|---|"]
    for words, verb in verbs().items():
        place = page_of(words).removeprefix("reference/")
        rows.append(f"| [`tcnfast {words}`]({place}) | {verb.help} |")
    rows += [
        "",
        "A command, its Python function and `python -m tcnfast.COMMAND` are the same thing: the "
        "option `--track-floor` is the keyword `track_floor`. A file of `--config` holds options "
        'as `{"stride": 64}`.',
        "",
        "Data goes to stdout, messages go to stderr. Exit codes:",
        "",
        *(f"- {code}: {words}" for code, words in EXIT_CODES.items()),
        "",
        "Environment: `TCNFAST_BACKEND` stands in for `--backend auto`. `TCNFAST_CPU_ISA` (`amx`, "
        "`avx512_bf16`, `avx512`, `avx2` or `generic`) makes the engine take the processor for a "
        "lesser one.",
    ]
    return "\n".join(rows) + "\n"


def page(words: str, verb: Verb) -> str:
    """The page of one command."""
    python = f"tcnfast.{words.replace(' ', '.')}"
    lines = [f"# tcnfast {words}", "", verb.sentence, ""]
    about = getattr(verb, "about", None)
    if about:
        lines += [str(about), ""]
    lines += ["```text", f"tcnfast {verb.synopsis} [options]", "```", ""]
    for example in verb.examples:
        command = f"tcnfast {words} {example.words}".rstrip()
        lines += [sentence(example.does), "", "```sh", command, "```", ""]
    if not words.startswith("windows") and hasattr(tcnfast, words.split()[0]):
        lines += [f"In Python: {{py:func}}`{python}`.", ""]
    lines += ["## Inputs", "", *table(inputs(verb))]
    groups: dict[str, list] = {}
    for name, spec in verb.settings.items():
        groups.setdefault(group_of(verb, name), []).append((name, spec))
    if groups:
        lines += ["", "## Options"]
    for group, members in groups.items():
        heading = [] if group == "options" else ["", f"### {sentence(group).rstrip('.')}"]
        lines += [*heading, "", *table([option_row(name, spec) for name, spec in members])]
    lines += ["", "## Messages", "", "Every command takes these.", ""]
    lines += table([(shown(flags, unit), help, "") for flags, unit, help in MESSAGES])
    return "\n".join(lines) + "\n"


def shown(flags, unit: str | None) -> str:
    """The names of a flag, and what its value is called."""
    return ", ".join(f"`{flag} {unit}`" if unit else f"`{flag}`" for flag in flags)


def inputs(verb: Verb) -> list[tuple[str, str, str]]:
    rows = []
    for argument in verb.inputs:
        unit = argument.metavar + ("..." if argument.many else "")
        flags = shown(argument.flags, unit) or f"`{unit}`"
        default = verb.defaults.get(argument.name)
        given = f"`{default}`" if default not in (None, (), "") else ""
        needed = "needed" if argument.name not in verb.defaults else given
        rows.append((flags, argument.help, needed))
    return rows


def option_row(name: str, spec) -> tuple[str, str, str]:
    """Flags, help and default of one option."""
    unit = None if spec.kind is bool else metavar_of(name, spec) + ("..." if spec.many else "")
    words = shown(flags_of(name, spec), unit)
    help = spec.help
    if spec.choices and spec.unit:
        help += f" ({', '.join(map(str, spec.choices))})"
    default = spec.default
    if spec.kind is bool or default in (None, (), ""):
        return words, help, ""
    return words, help, f"`{default:g}`" if isinstance(default, float) else f"`{default}`"


def default_of(verb: Verb, name: str) -> str:
    return f"={verb.defaults[name]!r}" if name in verb.defaults else ""


def table(rows: list[tuple[str, str, str]], first: str = "flag") -> list[str]:
    """Lines of a Markdown table; a bar inside a cell is escaped."""
    head = [f"| {first} | what | default |", "|---|---|---|"]
    words = [(a, escape(b, False).replace("*", "\\*"), c) for a, b, c in rows]
    return head + [f"| {' | '.join(map(cell, row))} |" for row in words]


def cell(text: str) -> str:
    return text.replace("|", "\\|")


def sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


PAGES = [page_of(words) for words in verbs()]
