"""Broken files for every parser, so many seconds each.

    python tests/campaigns/fuzz.py [SECONDS [NAME...]]

Prints how many inputs each parser was given, and exits with 1 where one gave neither a result nor
one line, or took more than ten seconds.
"""

from __future__ import annotations

import logging
import random
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.fuzz import Parser, check, mutated, parsers

SLOW = 10  # seconds


def campaign(parser: Parser, seconds: float, folder: Path) -> tuple[int, list[str]]:
    """How many inputs were tried, and what went wrong, each kind once."""
    rng, tried, wrong = random.Random(time.time_ns()), 0, {}
    for seed in parser.seeds:  # compiles what is compiled once
        check(parser, seed, next(iter(seed.values())), folder)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        seed = rng.choice(parser.seeds)
        data = mutated(next(iter(seed.values())), rng)
        if rng.random() < 0.05:
            data = rng.randbytes(rng.randint(0, 200))
        started = time.monotonic()
        try:
            check(parser, seed, data, folder)
        except AssertionError as error:
            cause = error.__cause__
            kind = f"{type(cause).__name__} {cause}"[:60] if cause else "message"
            wrong.setdefault(kind, str(error))
        if time.monotonic() - started > SLOW:
            wrong.setdefault("slow", f"{parser.name}: slower than {SLOW} s: {data!r}")
        tried += 1
    return tried, list(wrong.values())


def main(words: list[str]) -> int:
    seconds = float(words[0]) if words else 600.0
    logging.disable(logging.CRITICAL)
    total, found = 0, 0
    for name, parser in parsers().items():
        if words[1:] and name not in words[1:]:
            continue
        with tempfile.TemporaryDirectory() as folder:
            tried, wrong = campaign(parser, seconds, Path(folder))
        total, found = total + tried, found + len(wrong)
        print(f"{name}: {tried} inputs, {len(wrong)} defects", flush=True)
        for text in wrong:
            print(f"  {text[:2000]}", flush=True)
    print(f"{total} inputs, {found} defects")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
