"""Broken files for every parser, so many seconds of the processor each, or until there were so
many in all.

    python tests/campaigns/fuzz.py [SECONDS [NAME...]]
    python tests/campaigns/fuzz.py --inputs 2000000

Counts are kept in build/campaigns/fuzz.json and gone on with; --anew begins anew. Prints how many
inputs each parser was given, and exits with 1 where one gave neither a result nor one line, or
took more than ten seconds. An input that takes a minute ends the campaign, and is kept.
"""

from __future__ import annotations

import argparse
import faulthandler
import logging
import os
import random
import sys
import tempfile
import time
from pathlib import Path

from ledger import FOLDER, Ledger
from support.fuzz import Parser, check, mutated, parsers

SLOW, HANGS = 10, 60  # seconds
MEMORY = Path("/dev/shm")  # files there cost no disk
ROUND = 5.0  # seconds of a parser until the next one's turn, where inputs are counted


def spent() -> float:
    """Seconds of the processor, children's too: a busy machine tries as much as an idle one."""
    return sum(os.times()[:4])


def try_for(parser: Parser, seconds: float, folder: Path, ledger: Ledger, known: set[str]) -> None:
    """Broken inputs for so many seconds of the processor; what goes wrong is noted, each kind
    once."""
    rng, tried, slow = random.Random(time.time_ns()), 0, 0
    for seed in parser.seeds:  # compiles what is compiled once
        check(parser, seed, next(iter(seed.values())), folder)
    until = spent() + seconds
    while spent() < until:
        seed = rng.choice(parser.seeds)
        data = mutated(next(iter(seed.values())), rng)
        if rng.random() < 0.05:
            data = rng.randbytes(rng.randint(0, 200))
        started, kind, text = spent(), None, ""
        faulthandler.dump_traceback_later(HANGS, exit=True)
        try:
            check(parser, seed, data, folder)
        except AssertionError as error:
            cause = error.__cause__
            kind = f"{type(cause).__name__} {cause}"[:60] if cause else "message"
            text = str(error)
        faulthandler.cancel_dump_traceback_later()
        if spent() - started > SLOW:
            slow, kind = slow + 1, "slow"
            text = f"{parser.name}: more than {SLOW} s of the processor: {data!r}"
        if kind and f"{parser.name} {kind}" not in known:
            known.add(f"{parser.name} {kind}")
            ledger.fault(text)
        tried += 1
    ledger.add(parser.name, inputs=tried, slow=slow)


def main() -> int:
    words = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    words.add_argument("seconds", type=float, nargs="?", default=600.0)
    words.add_argument("names", nargs="*")
    words.add_argument("--inputs", type=int, help="in all, instead of seconds for each")
    words.add_argument("--anew", action="store_true")
    asked = words.parse_args()
    logging.disable(logging.CRITICAL)
    ledger, known = Ledger("fuzz", asked.anew), set()
    chosen = [x for name, x in parsers().items() if not asked.names or name in asked.names]
    FOLDER.mkdir(parents=True, exist_ok=True)
    # a hang ends the process and leaves the folder, and with it the input
    place = MEMORY if MEMORY.exists() else FOLDER
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir=place) as folder:
        print(f"inputs lie in {folder}", file=sys.stderr, flush=True)
        while True:
            for parser in chosen:
                seconds = asked.seconds if asked.inputs is None else ROUND
                try_for(parser, seconds, Path(folder), ledger, known)
            if asked.inputs is None or ledger.total("inputs") >= asked.inputs:
                return ledger.show()


if __name__ == "__main__":
    sys.exit(main())
