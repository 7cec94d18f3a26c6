"""The base of every error that is the user's to mend, and words of messages."""

from collections.abc import Iterable


class TcnfastError(ValueError):
    """Bad input or bad arguments; the message is one line: what, where, how to mend.

    The command line prints it without a traceback and exits with 1.
    """


class Terminated(KeyboardInterrupt):
    """SIGTERM, which stops a command as Ctrl-C does."""


def some(names: Iterable[str], most: int = 5) -> str:
    """The first of many names, for a message."""
    names = list(names)
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")
