"""Every command that writes something, in surroundings that users and schedulers have.

    python tests/campaigns/environments.py [RUNS [COMMAND...]]

RUNS in all (100), pairs of a command and surroundings in an order drawn by chance, those of runs
before left out: build/campaigns/environments.json. Right is the result of plain surroundings, or,
where there is too little of something, exit code 1 and one line.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from commands import COMMANDS, differing, make_inputs, out_of, remove, words_of
from ledger import Ledger
from process import Process


@dataclass(frozen=True)
class Surroundings:
    """Variables that are set, or taken away (None), and what the process does before it begins.
    ``cold``: it must be a new interpreter. ``may_fail``: with one line."""

    variables: dict[str, str | None] = field(default_factory=dict)
    prepare: Callable[[], object] = lambda: None
    cold: bool = False
    may_fail: bool = False


def closed(*numbers: int) -> Callable[[], None]:
    def prepare() -> None:
        for number in numbers:
            os.close(number)

    return prepare


def limited(what: int, n: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(what, (n, n))


NOWHERE = "/proc/nowhere"  # where nobody can make a folder, root neither
SURROUNDINGS = {
    "no HOME": Surroundings({"HOME": None, "XDG_CACHE_HOME": None}, cold=True),
    "HOME and cache read-only": Surroundings(
        {"HOME": NOWHERE, "XDG_CACHE_HOME": NOWHERE, "NUMBA_CACHE_DIR": NOWHERE}, cold=True
    ),
    "odd locale": Surroundings({"LC_ALL": "xx_YY.bogus", "LANG": "tr_TR.UTF-8"}, cold=True),
    "LANG=C": Surroundings(
        {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, cold=True
    ),
    "PYTHONOPTIMIZE=2": Surroundings({"PYTHONOPTIMIZE": "2"}, cold=True),
    "few variables": Surroundings(dict.fromkeys(os.environ) | {"PATH": "/usr/bin:/bin"}, cold=True),
    "TMPDIR missing": Surroundings({"TMPDIR": NOWHERE}),
    "umask 077": Surroundings(prepare=lambda: os.umask(0o077)),
    "stdout closed": Surroundings(prepare=closed(1), cold=True),
    "stderr closed": Surroundings(prepare=closed(2), cold=True),
    "all three closed": Surroundings(prepare=closed(0, 1, 2), cold=True),
    "64 descriptors": Surroundings(prepare=limited(resource.RLIMIT_NOFILE, 64)),
    "16 descriptors": Surroundings(prepare=limited(resource.RLIMIT_NOFILE, 16), may_fail=True),
    "no core, small stack": Surroundings(prepare=limited(resource.RLIMIT_STACK, 2**20)),
    "terminal of one column": Surroundings({"COLUMNS": "1", "LINES": "1", "TERM": "dumb"}),
    "OMP_NUM_THREADS=many": Surroundings({"OMP_NUM_THREADS": "64"}, cold=True),
}


def run(home: Path, name: str, around: Surroundings, out: Path) -> Process:
    words, _ = words_of(name)
    environment = dict(os.environ)
    for variable, value in around.variables.items():
        environment.pop(variable, None)
        if value is not None:
            environment[variable] = value
    if around.cold and "PYTHONPATH" in os.environ:
        environment["PYTHONPATH"] = os.environ["PYTHONPATH"]
    command = [*words, "-o", out.name, "-q"]
    return Process(command, home, environment, around.prepare, around.cold)


def attempt(home: Path, name: str, title: str, ledger: Ledger) -> None:
    around, out = SURROUNDINGS[title], home / out_of(name, "around")
    whole = home / out_of(name, "around-undisturbed")
    remove(out)
    process = run(home, name, around, out)
    text = process.wait()
    counts = {"runs": 1, "one line": 0, "wrong": 0}
    if process.returncode == 0:
        files = differing(out, whole)
        wrong = f"differ: {files}" if files else ""
    else:
        errors = [line for line in text.splitlines() if line.startswith("tcnfast: error: ")]
        one = len(errors) == 1 and "Traceback" not in text and "a defect of" not in text
        counts["one line"] = int(one and around.may_fail)
        wrong = "" if counts["one line"] else f"exit code {process.returncode}: {text}"
    if wrong:
        counts["wrong"] = 1
        ledger.fault(f"{name}, {title}: {wrong}")
    ledger.add(title, **counts)
    ledger.note(f"{name} / {title}")


def main() -> int:
    words = argparse.ArgumentParser(description="commands in odd surroundings")
    words.add_argument("runs", type=int, nargs="?", default=100)
    words.add_argument("names", nargs="*", help=", ".join(COMMANDS))
    words.add_argument("--seed", type=int)
    words.add_argument("--anew", action="store_true")
    asked = words.parse_args()
    ledger, draws = Ledger("environments", asked.anew), random.Random(asked.seed)
    home, known = make_inputs(asked.anew), set()
    names = asked.names or [name for name in COMMANDS if name != "scan --devices"]
    pairs = [(name, title) for name in names for title in SURROUNDINGS]
    draws.shuffle(pairs)
    for name, title in pairs:
        if ledger.total("runs") >= asked.runs:
            break
        if f"{name} / {title}" in ledger.done:
            continue
        if name not in known:  # what is right
            whole = home / out_of(name, "around-undisturbed")
            remove(whole)
            process = run(home, name, Surroundings(), whole)
            text = process.wait()
            assert process.returncode == 0, f"{name}: {text}"
            known.add(name)
        attempt(home, name, title, ledger)
        print(name, title, ledger.rows[title], flush=True)
    return ledger.show()


if __name__ == "__main__":
    sys.exit(main())
