"""A fragmented assembly against one contig of its size: `python -m benchmarks.scan.contigs`.

Writes contigs of random letters, `--contigs` of `--size` bases, and the same letters as one contig,
and runs on each, in a process of its own,

calls  `tcnfast scan` with encode-v1, all contigs
hits   `tcnfast scan --motifs jaspar -t CTCF` (`--no-hits` leaves it out)
2bit   opens the .2bit of 200,000 contigs

and tells seconds of the clock and of the processor, memory at most, and what a contig costs beyond
its bases: the difference to one contig, a contig; of the clock too, which other work on the machine
lengthens. Rows go to results/contigs.csv, unless `--dry`.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import tcnfast
from benchmarks.harness import append, parser, show

LETTERS = np.frombuffer(b"ACGT", np.uint8)
LINE = 60
TWOBIT_CONTIGS = 200_000
OPEN = "import sys; from tcnfast.genome.genome import Genome; Genome(sys.argv[1]).close()"


def write(path: Path, contigs: int, size: int, seed: int = 0) -> None:
    """Contigs c0, c1, ... of random letters, in lines of LINE."""
    rng = np.random.default_rng(seed)
    with open(path, "wb") as file:
        for index in range(contigs):
            letters = LETTERS[rng.integers(0, 4, size, np.uint8)].tobytes()
            file.write(b">c%d\n" % index)
            file.writelines(letters[at : at + LINE] + b"\n" for at in range(0, size, LINE))


def measured(*words: str | Path) -> tuple[float, float, float]:
    """Seconds of the clock and the processor, and MiB at most, of a Python with these arguments."""
    started = time.perf_counter()
    pid = os.posix_spawn(sys.executable, [sys.executable, *map(str, words)], os.environ)
    _, status, used = os.wait4(pid, 0)
    if status:
        raise SystemExit(f"{words}: ended with {os.waitstatus_to_exitcode(status)}")
    return time.perf_counter() - started, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def scan(genome: Path, kind: str, out: Path) -> list[str | Path]:
    """The command."""
    words = ["-m", "tcnfast", "scan", genome, "-o", out, "-c", "all", "-q", "--force"]
    return [
        *words,
        *(["--motifs", "jaspar", "-t", "CTCF"] if kind == "hits" else ["-m", "encode-v1"]),
    ]


def row(case: str, contigs: int, runs: list[tuple], base: list[tuple] | None = None) -> dict:
    """Medians of runs, and beyond those of ``base``, a contig."""
    clock, processor, memory = map(statistics.median, zip(*runs, strict=True))
    found = {"case_of": case, "contigs": contigs, "wall_s": f"{clock:.3g}"}
    found |= {"cpu_s": f"{processor:.3g}", "resident_mib": f"{memory:.0f}"}
    beyond = ["", ""]
    if base is not None:
        before = map(statistics.median, zip(*base, strict=True))
        more = [a - b for a, b in zip((clock, processor), before, strict=False)]
        beyond = [f"{1e6 * x / contigs:.3g}" for x in more]
    return found | dict(zip(("wall_us_a_contig", "cpu_us_a_contig"), beyond, strict=True))


def main() -> None:
    flags = parser(__doc__, rounds=1)
    flags.add_argument("--contigs", type=int, default=300_000, help="default 300,000")
    flags.add_argument("--size", type=int, default=300, help="bases of each (default 300)")
    flags.add_argument("--no-hits", action="store_true", help="leave the motif scan out")
    args: argparse.Namespace = flags.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        many, one, packed = folder / "many.fa", folder / "one.fa", folder / "many.2bit"
        write(many, args.contigs, args.size)
        few = folder / "few.fa"
        write(few, 2_000, args.size)
        write(one, 1, args.contigs * args.size)
        for kind in ["calls"] if args.no_hits else ["calls", "hits"]:
            runs: dict[Path, list] = {one: [], many: []}
            measured(*scan(few, kind, folder / "out"))  # what numba compiles is compiled now
            for _ in range(args.rounds):  # in turns
                for genome, took in runs.items():
                    took.append(measured(*scan(genome, kind, folder / "out")))
            rows.append(row(kind, 1, runs[one]))
            rows.append(row(kind, args.contigs, runs[many], runs[one]))
        write(many, TWOBIT_CONTIGS, 100)
        tcnfast.index(many, packed)
        small = folder / "small.2bit"
        write(many, 1, 100)
        tcnfast.index(many, small)
        base = [measured("-c", OPEN, small) for _ in range(args.rounds)]
        opened = [measured("-c", OPEN, packed) for _ in range(args.rounds)]
        rows += [row("2bit", 1, base), row("2bit", TWOBIT_CONTIGS, opened, base)]
    case = f"{args.contigs:,} contigs of {args.size:,} bases"
    print(f"# {case}")
    show(rows)
    if not args.dry:
        append("contigs", case, rows)


if __name__ == "__main__":
    main()
