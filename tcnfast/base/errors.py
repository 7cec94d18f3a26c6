"""The base of every error that is the user's to mend, and words of messages."""

import re
from collections.abc import Iterable
from difflib import get_close_matches

_MOST = 2000  # characters of a message
_LONG_WORD = re.compile(r"\S{400,}")  # longer than paths are, and of no use to a reader


class TcnfastError(ValueError):
    """Bad input or bad arguments; the message is one line: what, where, how to mend.

    The command line prints it without a traceback and exits with 1. Names out of files may hold
    line breaks, control characters or a megabyte: the message shows the first escaped, and of a
    word of that length the beginning and the end.

    Args:
        message: what is wrong; made one line.
    """

    def __init__(self, message: object = "") -> None:
        super().__init__(one_line(str(message)))


class Misfit(TcnfastError):
    """During a run, inputs turn out not to belong together, or to have changed. What the run made
    so far is wrong and is deleted, so that ``--resume`` cannot build on it."""


def one_line(text: str) -> str:
    """A message as one line of a terminal, without control characters, endless words and endless
    quotations of what a library read."""
    text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    text = _LONG_WORD.sub(lambda word: f"{word[0][:100]}...{word[0][-100:]}", text)
    return text if len(text) <= _MOST else f"{text[: _MOST // 2]} ... {text[-_MOST // 2 + 5 :]}"


class SaidElsewhere(TcnfastError):
    """This process ends because another one failed, which says why."""

    def __init__(self) -> None:
        super().__init__("another process of this run failed, and says why")


class Terminated(KeyboardInterrupt):
    """SIGTERM, which stops a command as Ctrl-C does."""


def some(names: Iterable[str], most: int = 5) -> str:
    """The first of many names, for a message."""
    names = list(names)
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def shown(field: bytes | str, most: int = 20) -> str:
    """A field of a file for a message, at most so many letters of it."""
    text = field.decode(errors="replace") if isinstance(field, bytes) else field
    return text if len(text) <= most else text[: most - 3] + "..."


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``did you mean scan?``: the names most like one that is none of them, in any case; "" where
    none is near."""
    small = {name.lower(): name for name in known}
    near = get_close_matches(word.lower(), small, n=3, cutoff=0.6)
    return f"did you mean {', '.join(small[name] for name in near)}?" if near else ""
