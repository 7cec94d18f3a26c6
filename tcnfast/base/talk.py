"""What a command says on stderr while it runs: lines that wrap at words on a terminal and never run
into a progress bar."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import textwrap

START = "tcnfast: "


def count(n: int, what: str) -> str:
    """``1 contig``, ``2 contigs``."""
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def wrapped(text: str, width: int) -> str:
    """``text`` broken between words into lines of at most ``width``; a longer word, as a path,
    stays whole. Lines behind the first are indented."""
    lines = textwrap.wrap(
        text, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )
    return "\n".join(lines)


class Talk(logging.StreamHandler):
    """Writes log lines to stderr, between bars where there are some. Elsewhere than on a terminal a
    message is one line, for programs that read it."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)
        self.setFormatter(logging.Formatter(START + "%(message)s"))

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        if "\n" in text or not self.stream.isatty():
            return text
        return wrapped(text, max(40, self._columns() - 1))

    def _columns(self) -> int:
        """Columns of the terminal that stderr is, whatever stdout is."""
        try:
            return os.get_terminal_size(self.stream.fileno()).columns
        except (OSError, ValueError):
            return shutil.get_terminal_size().columns

    def emit(self, record: logging.LogRecord) -> None:
        from tqdm import tqdm  # here, for --help does without

        with tqdm.external_write_mode(self.stream):
            super().emit(record)
