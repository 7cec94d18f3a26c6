"""The base of every error that is the user's to mend."""


class TcnfastError(ValueError):
    """Bad input or bad arguments; the message is one line: what, where, how to mend.

    The command line prints it without a traceback and exits with 1.
    """


class Terminated(KeyboardInterrupt):
    """SIGTERM, which stops a command as Ctrl-C does."""
