"""The pages of docs/, and what they link to elsewhere in the repository.

No link leaves the site: a Markdown file that is linked to becomes a page, source code a page that
shows it, a folder a page that lists its files, anything else a copy. Nothing is checked in twice.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path, PurePosixPath
from posixpath import normpath, relpath

ROOT = Path(__file__).resolve().parents[2]
CARDS = "tcnfast/model/bundled"
PLACES = {  # Markdown outside of docs/ that has a place of its own in the site
    "README.md": "readme.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
    "CODE_OF_CONDUCT.md": "conduct.md",
    "AGENTS.md": "agents.md",
}
LANGUAGES = {".py": "python", ".h": "cpp", ".cpp": "cpp", ".json": "json", ".toml": "toml"}
COPIED = {".csv", ".tsv", ".txt", ".svg", ".png", ".gz", ".ipynb"}
LINK = re.compile(r"(!?\[(?:[^\]\[]|\[[^\]]*\])*\]\()([^)\s#]+)([^)]*\))")
CODE = re.compile(r"(^```.*?^```$)", re.S | re.M)


def pages() -> dict[str, str]:
    """The text of every page by its place in the site, its links mended."""
    return {place_of(path): mended(path, text) for path, text in _texts().items()}


def copies() -> dict[str, Path]:
    """Files that the pages show or link to, by their places in the site."""
    linked = {target for path, text in _texts().items() for target in targets(path, text)}
    return {
        place_of(path): ROOT / path
        for path in linked
        if Path(path).suffix in COPIED and (ROOT / path).exists()
    }


def place_of(path: str) -> str:
    """Where the site has a file or folder of the repository, relative to their roots."""
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    if path in PLACES:
        return PLACES[path]
    if path.startswith(CARDS) and path.endswith("/README.md"):
        return f"models/{PurePosixPath(path).parent.name}.md"
    if (ROOT / path).is_dir():
        return f"repository/{path}/files.md"
    if path.endswith(".md") or Path(path).suffix in COPIED:
        return f"repository/{path}"
    return f"repository/{path}.md"


@cache
def _texts() -> dict[str, str]:
    """Every page by its path in the repository: those of docs/, and all that they lead to."""
    waiting = [f"docs/{x.relative_to(ROOT / 'docs')}" for x in (ROOT / "docs").rglob("*.md")]
    waiting += [str(x.relative_to(ROOT)) for x in (ROOT / CARDS).glob("*/README.md")]
    waiting += [path for path in PLACES if (ROOT / path).exists()]
    texts: dict[str, str] = {}
    while waiting:
        path = waiting.pop()
        known = path in texts or Path(path).suffix in COPIED
        if not known and (ROOT / path).exists():
            texts[path] = text_of(path)
            waiting += targets(path, texts[path])
    return texts


def text_of(path: str) -> str:
    source = ROOT / path
    if source.is_dir():
        names = sorted(x.name for x in source.iterdir() if x.suffix in {".csv", ".tsv", ".txt"})
        rows = [f"- [{name}]({name})" for name in names]
        return "\n".join([f"# {path}", "", *(rows or ["No tables."]), ""])
    text = source.read_text()
    if path.endswith(".md"):
        title = "" if text.startswith("# ") else f"# Tables: {source.parent.name}\n\n"
        return title + text
    return f"# {path}\n\n````{LANGUAGES.get(source.suffix, 'text')}\n{text}````\n"


def targets(path: str, text: str) -> list[str]:
    """What the text of ``path`` links to, as paths of the repository."""
    prose = "".join(CODE.split(text)[::2])
    found = [x[1] for x in LINK.findall(prose) if not re.match(r"[a-z]+:", x[1])]
    return [normpath(f"{folder_of(path)}/{target}") for target in found]


def folder_of(path: str) -> str:
    return path if (ROOT / path).is_dir() else str(PurePosixPath(path).parent)


def mended(path: str, text: str) -> str:
    """The text with its links as they are from its place in the site."""
    here = str(PurePosixPath(place_of(path)).parent)

    def mend(found: re.Match) -> str:
        before, target, after = found.groups()
        if re.match(r"[a-z]+:", target):
            return found[0]
        return before + relpath(place_of(normpath(f"{folder_of(path)}/{target}")), here) + after

    parts = CODE.split(text)
    parts[::2] = [LINK.sub(mend, part) for part in parts[::2]]
    return "".join(parts)
