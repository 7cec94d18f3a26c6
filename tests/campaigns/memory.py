"""Peak memory of scans of what is large, each with its bound.

    python tests/campaigns/memory.py [CASE...]

Cases that were measured are left out until --anew; what was found is kept in
build/campaigns/memory.json. A case that exceeds its bound is a fault. The inputs are made when they
are needed and deleted afterwards (1 GB of disk).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ledger import FOLDER, Ledger
from process import Process

MB = 10**6
PIECE = 6 * 10**7  # bases that are made at once


@dataclass(frozen=True)
class Case:
    """``words`` of a scan of the FASTA that ``make(path)`` writes, with a model of ``labels``, None
    for the bundled one; at most ``bound`` MB."""

    make: Callable[[Path], None]
    words: str
    bound: int
    labels: int | None = None


def one_contig(bases: int) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        rng, letters = np.random.default_rng(0), np.frombuffer(b"ACGT", np.uint8)
        with open(path, "wb") as file:
            file.write(b">chr1\n")
            for at in range(0, bases, PIECE):
                part = letters[rng.integers(0, 4, min(PIECE, bases - at), np.uint8)]
                lines = np.full((len(part) // 60, 61), ord("\n"), np.uint8)
                lines[:, :60] = part.reshape(-1, 60)
                file.write(lines.data)

    return make


def many_contigs(contigs: int, bases: int) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        rng, letters = np.random.default_rng(0), np.frombuffer(b"ACGT", np.uint8)
        with open(path, "wb") as file:
            for number in range(contigs):
                part = letters[rng.integers(0, 4, bases, np.uint8)]
                file.write(b">contig%d\n%s\n" % (number, part.tobytes()))

    return make


CASES = {
    "1,000 labels, all tracks (3 Mb)": Case(one_contig(3 * MB), "--tracks all", 1_500, 1000),
    "all tracks of the bundled model (30 Mb)": Case(one_contig(30 * MB), "--tracks all", 2_000),
    "300,000 contigs of 300 bp": Case(many_contigs(300_000, 300), "", 1_000),
    "a contig of 600 Mb, one track": Case(one_contig(600 * MB), "--tracks REST", 2_000, 3),
    "a contig of 600 Mb, the bundled model": Case(one_contig(600 * MB), "", 2_000),
}


def measure(case: Case, place: Path) -> dict[str, float]:
    """MB at the peak, of the process or of one that it started, and what else is known."""
    import torch
    from support.models import random_model

    case.make(place / "genome.fa")
    words = ["scan", "genome.fa", "-o", "scan", "--device", "cpu", "-q", *case.words.split()]
    if case.labels is not None:
        torch.manual_seed(0)
        names = [f"REST{'' if i == 0 else i}" for i in range(case.labels)]
        model = random_model(names)
        model.save(place / "model")
        words += ["-m", "model", "--cutoff", "0.9"]
    process = Process(words, place, cold=True)
    text = process.wait(patience=6 * 3600)
    if process.returncode:
        raise RuntimeError(f"{words}: {text}")
    written = sum(x.stat().st_size for x in (place / "scan").rglob("*") if x.is_file())
    return {"MB": round(process.peak / MB), "written MB": round(written / MB), "bound": case.bound}


def main() -> int:
    words = argparse.ArgumentParser(description="peak memory of large scans")
    words.add_argument("cases", nargs="*", help="; ".join(CASES))
    words.add_argument("--anew", action="store_true")
    asked = words.parse_args()
    ledger = Ledger("memory", asked.anew)
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in asked.cases or CASES:
        if name in ledger.rows:
            continue
        with tempfile.TemporaryDirectory(prefix="memory-", dir=FOLDER) as place:
            try:
                found = measure(CASES[name], Path(place))
            except (RuntimeError, TimeoutError) as error:
                ledger.fault(f"{name}: {error}")
                continue
        ledger.put(name, **found)
        print(name, found, flush=True)
        if found["MB"] > found["bound"]:
            ledger.fault(f"{name}: {found['MB']} MB, more than {found['bound']}")
    return ledger.show()


if __name__ == "__main__":
    sys.exit(main())
