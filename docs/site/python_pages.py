"""Pages of the Python interface, made when the site is built.

The verbs come from their declarations, as the commands do; what they return and the other public
names come from their docstrings, through autodoc.
"""

from __future__ import annotations

import inspect
import re
import textwrap

from commands import default_of, page_of, table

import tcnfast
from tcnfast.cli import verbs

FOLDER = "reference/python"
ROOMS = {  # title and words of each page, and the rooms whose public names it holds
    "models.md": (
        "Models and plans",
        "Networks, their folders, and plans that score.",
        ("model", "engines"),
    ),
    "genomes.md": ("Genomes", "Sequence, codes and labels.", ("genome",)),
    "errors.md": (
        "Errors",
        "Bad input raises one error, with one line that says what to do.",
        ("base",),
    ),
}
PAGES = [f"{FOLDER}/{name}" for name in ("verbs.md", "results.md", *ROOMS)]


def pages() -> dict[str, str]:
    """The text of every page by its place in the site."""
    results = list(dict.fromkeys(filter(None, map(result_of, public_verbs().values()))))
    made = {
        "verbs.md": verb_page(),
        "results.md": documented("Results", "What the verbs return.", results),
    }
    for name, (title, words, rooms) in ROOMS.items():
        homes = {x: home for x, home in tcnfast._HOME.items() if home.split(".")[0] in rooms}
        paths = [f"tcnfast.{home}.{public}" for public, home in homes.items()]
        made[name] = documented(title, words, [path for path in paths if path not in results])
    made = {f"{FOLDER}/{name}": text for name, text in made.items()}
    return {f"{FOLDER}.md": overview(results), **made}


def public_verbs() -> dict:
    """The verbs that are functions of the package, by their Python names: words and verb."""
    found = {}
    for words, verb in verbs().items():
        home: object = tcnfast
        for part in words.split():
            home = getattr(home, part, None)
        if callable(home):
            found[f"tcnfast.{words.replace(' ', '.')}"] = (words, verb)
    return found


def overview(results: list[str]) -> str:
    """The page that lists the public names."""
    rows = [
        "# Python",
        "",
        "Every command is a function with the same options; a result knows its folder and gives "
        "pandas tables.",
        "",
        "| function | what it does | returns |",
        "|---|---|---|",
    ]
    for python, (words, verb) in public_verbs().items():
        rows.append(f"| {{py:func}}`{python}` | {verb.help} | {result_link((words, verb))} |")
    rows += ["", "| name | what it is |", "|---|---|"]
    for name, home in sorted(tcnfast._HOME.items()):
        role = "class" if inspect.isclass(getattr(tcnfast, name)) else "func"
        words = (inspect.getdoc(getattr(tcnfast, name)) or "").partition("\n")[0]
        link = f"{{py:{role}}}`tcnfast.{name} <tcnfast.{home}.{name}>`"
        rows.append(f"| {link} | {plain(words)} |")
    return "\n".join(rows) + "\n"


def plain(text: str) -> str:
    """A line of a docstring as Markdown in a table."""
    return re.sub(r":\w+:`~?([^`]+)`", r"`\1`", text).replace("|", "\\|")


def verb_page() -> str:
    """Every verb: its call, its docstring, its arguments with their defaults."""
    lines = ["# Verbs", "", "A verb is a function, a command and a module with the same options."]
    for python, (words, verb) in public_verbs().items():
        text = inspect.getdoc(verb.function).partition("\n\nArgs:")[0]
        text = text[:1].upper() + text[1:] + ("" if text[-1] in ".:" else ".")
        body = [f".. py:function:: {call(python, verb)}", "", textwrap.indent(text, "   ")]
        about = [(f"`{x.name}`", x.help, needed(verb.defaults, x.name)) for x in verb.inputs]
        about += [
            (f"`{name}`", spec.help + (f" ({spec.unit})" if spec.unit else ""), shown(spec.default))
            for name, spec in verb.settings.items()
        ]
        lines += ["", f"## {python.removeprefix('tcnfast.')}", ""]
        lines += ["```{eval-rst}", *body, "```", "", *table(about, "argument"), ""]
        page = page_of(words).rpartition("/")[2]
        lines.append(
            f"Returns {result_link((words, verb))}. Command: "
            f"[`tcnfast {words}`](../commands/{page})."
        )
    return "\n".join(lines) + "\n"


def call(python: str, verb) -> str:
    """How the verb is called, its options left out."""
    names = [x.name + default_of(verb, x.name) for x in verb.inputs]
    return f"{python}({', '.join([*names, '*', 'options=None', 'run=None', '**settings'])})"


def shown(value: object) -> str:
    return "" if value in (None, (), "") else f"`{value!r}`"


def needed(defaults: dict, name: str) -> str:
    return shown(defaults[name]) if name in defaults else "needed"


def annotation(verb) -> str:
    return str(inspect.signature(verb.function).return_annotation)


def result_of(named: tuple) -> str | None:
    """The path of the class of ours that a verb returns, by the imports of its room."""
    room = inspect.getmodule(inspect.unwrap(named[1].function))
    for word in re.findall(r"[A-Z]\w+", annotation(named[1])):
        found = re.search(rf"from \.(\.?)([\w.]+) import {word}\b", inspect.getsource(room))
        if found:
            parts = room.__name__.split(".")
            home = ".".join(parts[:-1] if found[1] else parts)
            return f"{home}.{found[2]}.{word}"
    return None


def result_link(named: tuple) -> str:
    path, words = result_of(named), annotation(named[1])
    if "empty" in words or words == "None":
        return "nothing"
    return f"{{py:class}}`{words} <{path}>`" if path else f"`{words}`"


def documented(title: str, words: str, paths: list[str]) -> str:
    """A page of the docstrings of ``paths``."""
    lines = [f"# {title}", "", words]
    for path in paths:
        name = path.rpartition(".")[2]
        thing = getattr(__import__(path.rpartition(".")[0], fromlist=[name]), name)
        kind = "autoclass" if inspect.isclass(thing) else "autofunction"
        members = ["   :members:"] if inspect.isclass(thing) else []
        lines += ["", f"## {name}", "", "```{eval-rst}", f".. {kind}:: {path}", *members, "```"]
    return "\n".join(lines) + "\n"
