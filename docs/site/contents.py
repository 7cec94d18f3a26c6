"""Which page stands where in the site: its sections, and their pages in order."""

from __future__ import annotations

import commands
import python_pages
from repository import CARDS, ROOT

from tcnfast.base.verb import DEFAULT_MODEL

MODELS = [f"models/{path.parent.name}.md" for path in sorted((ROOT / CARDS).glob("*/README.md"))]
# of every section: the page that opens it, and the pages in it
SECTIONS = {
    "tutorials/index.md": [
        f"tutorials/{name}.md" for name in ("scan", "train", "explain", "variants", "kernels")
    ],
    "howto/index.md": [
        f"howto/{name}.md"
        for name in (
            *("scan", "open", "train"),
            *("motifs", "cobind", "variants", "windows", "other-programs", "help"),
        )
    ],
    "reference/index.md": ["reference/commands.md", "reference/python.md", "reference/files.md"],
    "reference/commands.md": commands.PAGES,
    "reference/python.md": python_pages.PAGES,
    "works/index.md": [
        f"works/{name}.md" for name in ("grids", "symmetry", "engines", "scan", "calls", "variants")
    ],
    "benchmarks.md": [
        "scanning.md",
        "variants.md",
        "training.md",
        "motifs.md",
        "cobinding.md",
        "study.md",
        "study/tables.md",
        "study/binary/tables.md",
        "baselines.md",
        "baselines/tables.md",
        "baselines/imagenet/tables.md",
        "scaling.md",
        "reliability.md",
    ],
    "models/index.md": MODELS,
    "faq.md": [],
    "contributing.md": [
        "readme.md",
        "changelog.md",
        "security.md",
        "conduct.md",
        "agents.md",
        "stumbles.md",
    ],
}


def pages() -> dict[str, str]:
    """The pages that only the site has."""
    names = {page[7:-3]: page[7:] for page in MODELS}
    default = {DEFAULT_MODEL: ", which every command takes that is given no model"}
    rows = [f"- [{name}]({page}){default.get(name, '')}" for name, page in names.items()]
    words = "A card says what a model was trained on, how well it does, and what it cannot do."
    return {"models/index.md": "\n".join(["# Model cards", "", words, "", *rows, ""])}


def with_trees(pages: dict[str, str]) -> dict[str, str]:
    """The pages, with the table of contents of each section in the page that opens it."""
    made = dict(pages)
    inner = {page for below in SECTIONS.values() for page in below}
    tops = [page for page in SECTIONS if page not in inner]
    for page, below in {"index.md": tops, **SECTIONS}.items():
        made[page] += tree([x for x in below if x in pages])
    for page in made.keys() - inner - set(tops) - {"index.md"}:
        made[page] = "---\norphan: true\n---\n\n" + made[page]  # a link leads there
    return made


def tree(pages: list[str]) -> str:
    """A toctree that the navigation shows and the page does not."""
    if not pages:
        return ""
    rows = "\n".join(f"/{page}" for page in pages)
    return f"\n```{{toctree}}\n:hidden:\n:maxdepth: 2\n\n{rows}\n```\n"
