"""Build the documentation site: ``python docs/site [FOLDER]``, or ``make docs``.

The pages of docs/ are copied to FOLDER/source, where the references of commands and Python and what
the pages link to elsewhere in the repository join them; Sphinx makes FOLDER/html of all of it.
A warning is an error. Neither the build nor a page asks the network.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import commands
import contents
import python_pages
import repository
from sphinx.cmd.build import build_main

HERE = Path(__file__).resolve().parent


def main(folder: str = "build/docs") -> int:
    source, html = Path(folder, "source"), Path(folder, "html")
    shutil.rmtree(folder, ignore_errors=True)
    pages = contents.pages() | commands.pages() | python_pages.pages() | repository.pages()
    for place, text in contents.with_trees(pages).items():
        path = source / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for place, path in repository.copies().items():
        (source / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, source / place)
    failed = build_main(["-W", "--keep-going", "-q", "-c", str(HERE), str(source), str(html)])
    if not failed:
        print(f"Open {html / 'index.html'} in a browser.")
    return failed


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
