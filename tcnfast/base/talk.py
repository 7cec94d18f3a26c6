"""What a command says on stderr while it runs: lines that wrap at words on a terminal and never run
into a progress bar."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import textwrap
from typing import TextIO

START = "tcnfast: "


def count(n: int, what: str, form: str = "") -> str:
    """``1 contig``, ``2 contigs``; ``form``: how the number is written, as ``,``."""
    return f"{n:{form}} {what}" if n == 1 else f"{n:{form}} {what}s"


def spread(least: int, most: int, what: str) -> str:
    """``10 bp``, ``8 to 10 bp``: of numbers that may be the same."""
    return f"{least:,} {what}" if least == most else f"{least:,} to {most:,} {what}"


def wrapped(text: str, width: int) -> str:
    """``text`` broken between words into lines of at most ``width``; a longer word, as a path,
    stays whole. Lines behind the first are indented."""
    lines = textwrap.wrap(
        text, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )
    return "\n".join(lines)


def fitted(text: str, stream: TextIO) -> str:
    """A message for ``stream``: wrapped to its width if it is a terminal (whether or not stdout is
    one), else as it is."""
    if "\n" in text or not stream.isatty():
        return text
    try:
        columns = os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        columns = shutil.get_terminal_size().columns
    return wrapped(text, max(40, columns - 1))


def last_word(text: str) -> None:
    """Say why a command ends, also where nothing is logged."""
    print(fitted(START + text, sys.stderr), file=sys.stderr)


class Talk(logging.StreamHandler):
    """Writes log lines to stderr, between bars where there are some. Elsewhere than on a terminal a
    message is one line, for programs that read it."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)
        self.setFormatter(logging.Formatter(START + "%(message)s"))

    def format(self, record: logging.LogRecord) -> str:
        return fitted(super().format(record), self.stream)

    def emit(self, record: logging.LogRecord) -> None:
        from tqdm import tqdm  # here, for --help does without

        with tqdm.external_write_mode(self.stream):
            super().emit(record)
