"""The streaming scan: what it reads, calls and writes."""


def scan(*args, **kwargs):
    from .scan_genome import scan

    return scan(*args, **kwargs)
