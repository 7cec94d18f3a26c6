"""Runs the blocks of code of a page, in their order, in a folder that holds nothing but examples/.

What a page may hold:

- ```` ```bash ````: run by bash, which stops at the first command that fails; variables live on.
- ```` ```python ````: run; names live on until the page ends.
- ```` ```text ```` right behind one of these: what it prints, messages too. `...` in a line is
  anything, as a line any lines. A number may be off by 5 %, or by 1 in its last digit.
- any of them behind ``<!-- not run: why -->``: not run. Every other language is text.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

FENCE = re.compile(
    r"(?:<!-- not run: (?P<why>.+?) -->\s*)?^```(?P<kind>\w+)\n(?P<code>.*?)^```$", re.S | re.M
)
NUMBER = re.compile(r"(?<![\w.])-?\d[\d,]*\.?\d*(?:e[-+]?\d+)?|(?<![\w.])-?\.\d+")
PART = re.compile(rf"\.\.\.|{NUMBER.pattern}")
NEAR = 0.05
RUN = ("bash", "python")


@dataclass
class Block:
    """A block of code: its language, its line in the page, what it should print (None: anything),
    and why it is not run (None: it is)."""

    kind: str
    code: str
    line: int
    shown: str | None = None
    why: str | None = None


def blocks_of(page: Path) -> list[Block]:
    """The blocks of a page that are code, each with the output that is shown behind it."""
    text = page.read_text()
    found: list[Block] = []
    end = 0
    for match in FENCE.finditer(text):
        kind, code = match["kind"], match["code"]
        line = text.count("\n", 0, match.start("kind")) + 1
        behind = found and not text[end : match.start()].strip()
        if kind in RUN:
            found.append(Block(kind, code, line, why=match["why"]))
        elif kind == "text" and behind and found[-1].shown is None:
            found[-1].shown = code
        end = match.end()
    return found


class Runner:
    """Runs blocks in ``folder``; ``path``: folders in which bash looks for programs first."""

    def __init__(self, folder: Path, path: list[Path]) -> None:
        self.folder = folder
        self.names: dict = {"__name__": "page"}
        self.state = folder.parent / f"{folder.name}.variables"
        self.environment = os.environ | {
            "PATH": os.pathsep.join([*map(str, path), os.environ["PATH"]])
        }

    def run(self, block: Block) -> str:
        """What the block prints. Raises where it fails."""
        return self.bash(block.code) if block.kind == "bash" else self.python(block.code)

    def bash(self, code: str) -> str:
        begin = f"set -euo pipefail; [ ! -e {self.state} ] || . {self.state}; set -a\n"
        end = f"\nset +a; export -p | grep -v ' PWD=' > {self.state}\n"
        done = subprocess.run(
            ["bash", "-c", begin + code + end],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if done.returncode != 0:
            raise AssertionError(f"exit code {done.returncode}\n{code}\n{done.stdout}")
        return done.stdout

    def python(self, code: str) -> str:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, "<page>", "exec"), self.names)
        return printed.getvalue()


def mismatch(shown: str, printed: str) -> str | None:
    """What of the text that a page shows is not what was printed; None where it is."""
    for line, found in paired(shown, printed, same_line):
        if line is None:
            return f"not shown: {found}"
        if line.strip() != "..." and (found is None or not same_line(line, found)):
            return f"shown:   {line}\nprinted: {found or '(no more lines)'}"
    return None


def refreshed(shown: str, printed: str) -> str | None:
    """What a page should show where this is printed: its own lines with the numbers that are
    printed, or all that is printed, if none of it was left out. None where words differ."""
    if "..." not in shown:
        return printed.rstrip() + "\n"
    lines = []
    for line, found in paired(shown, printed, lambda a, b: numbers_of(a, b) is not None):
        if line is not None and line.strip() == "...":
            lines.append(line)
            continue
        pairs = None if line is None or found is None else numbers_of(line, found)
        if pairs is None:
            return None
        lines.append(with_numbers(line, [a if near(a, b) else b for a, b in pairs]))
    return "\n".join(lines) + "\n"


def paired(
    shown: str, printed: str, alike: Callable[[str, str], bool]
) -> Iterator[tuple[str | None, str | None]]:
    """Each line that is shown, and that of what was printed which belongs to it: the next one or,
    behind a line of ``...``, the next that is ``alike``. None where there is none."""
    lines, at, skipping = printed.rstrip().splitlines(), 0, False
    for line in shown.rstrip().splitlines():
        if line.strip() == "...":
            skipping = True
            yield line, None
            continue
        while skipping and at < len(lines) and not alike(line, lines[at]):
            at += 1
        yield line, lines[at] if at < len(lines) else None
        at, skipping = at + 1, False
    if at < len(lines) and not skipping:
        yield None, lines[at]


def with_numbers(line: str, numbers: list[str]) -> str:
    """The line with these in place of its own."""
    left = iter(numbers)
    return PART.sub(lambda part: part[0] if part[0] == "..." else next(left), line)


def same_line(shown: str, printed: str) -> bool:
    """Whether a line is what the page shows, up to ``...`` and a little of its numbers."""
    pairs = numbers_of(shown, printed)
    return pairs is not None and all(near(a, b) for a, b in pairs)


def numbers_of(shown: str, printed: str) -> list[tuple[str, str]] | None:
    """The numbers of a line as shown and as printed; None where its words differ."""
    shown, numbers, pattern, end = shown.rstrip(), [], "", 0
    for found in re.finditer(PART, shown):
        pattern += spaced(shown[end : found.start()])
        if found[0] == "...":
            pattern += ".*"
        else:
            numbers.append(found[0])
            pattern += f"({NUMBER.pattern})"
        end = found.end()
    match = re.fullmatch(pattern + spaced(shown[end:]), printed.rstrip())
    return list(zip(numbers, match.groups(), strict=True)) if match else None


def spaced(text: str) -> str:
    """A pattern of the text, in which columns may be wider or narrower."""
    return r"\s+".join(map(re.escape, re.split(r"[ \t]+", text)))


def near(shown: str, printed: str) -> bool:
    a, b = (float(x.replace(",", "")) for x in (shown, printed))
    digits = len(re.split(r"e", shown)[0].partition(".")[2])
    step = 10.0**-digits * 10.0 ** int((shown.partition("e")[2]) or 0)
    return abs(a - b) <= max(NEAR * max(abs(a), abs(b)), step * 1.001)
