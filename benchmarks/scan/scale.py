"""A scan of much, and by many.

    python -m benchmarks.scan.scale contigs [--contigs 300000] [--size 300]
    python -m benchmarks.scan.scale cluster [--mb 64] [--rounds 3]
    python -m benchmarks.scan.scale model [--seconds 10] [--store 2] [--genomes 1000] [--write]

contigs  A fragmented assembly against one contig of its size: random letters, each side in a
         process of its own. `tcnfast scan` with encode-v1, all contigs; `tcnfast scan --motifs
         jaspar -t CTCF` (`--no-hits` leaves it out); and the .2bit of 200,000 contigs is opened.
         Seconds of the clock and of the processor, memory at most, and what a contig costs beyond
         its bases: the difference to one contig, a contig; of the clock too, which other work on
         the machine lengthens. Rows go to results/contigs.csv.
cluster  A scan on one and on two local workers of Ray, one thread each, and Ray's start-up apart.
         The genome is random letters, 16 Mb a stretch. ``start_s``: until the first worker is
         ready; ``scan_s``: from then until the last receipt, by the clock. ``worker_cpu_s``:
         seconds of the processor that the busiest worker took for its stretches.
         ``speedup_clock`` and ``speedup_cpu`` are those of one worker over those of this row; the
         second is what an otherwise idle machine could show at most, and the one to read where
         other programs run. Rows go to results/scan_cluster.csv.
model    What binds where many GPUs scan many genomes: a model, not a measurement. Stage times of a
         genome of 3.09 Gb on a processor are rows of results/scan_stages.csv and scan_cluster.csv,
         measured; what a GPU takes for its network, what a store gives, and what a scheduler takes
         are assumptions, which the flags change. The time of a run is the longest of what goes on
         at once (workers, store, scheduler, merging), and what comes before. ``--write`` puts the
         tables into docs/scaling.md, where a test looks whether they are those of today's rows.
"""

from __future__ import annotations

import argparse
import csv
import math
import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch

import tcnfast
from benchmarks.harness import RESULTS, ROOT, append, share_flags, show
from benchmarks.scan.whole_genome import drawn, write_fasta
from tcnfast.scan import ray_engine, scan_genome

TWOBIT_CONTIGS = 200_000
OPEN = "import sys; from tcnfast.genome.genome import Genome; Genome(sys.argv[1]).close()"
PAGE = ROOT / "docs" / "scaling.md"
MARKS = "<!-- model -->", "<!-- end of model -->"
GPUS = (1, 10, 100, 300, 1000)
STRETCH = 2**24  # bases


def pieces(contigs: int, size: int) -> dict[str, int]:
    """Contigs c0, c1, ... and their bases."""
    return {f"c{index}": size for index in range(contigs)}


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


def contigs(args: argparse.Namespace) -> None:
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        many, one, packed = folder / "many.fa", folder / "one.fa", folder / "many.2bit"
        write_fasta(many, pieces(args.contigs, args.size), drawn(0))
        few = folder / "few.fa"
        write_fasta(few, pieces(2_000, args.size), drawn(0))
        write_fasta(one, pieces(1, args.contigs * args.size), drawn(0))
        for kind in ["calls"] if args.no_hits else ["calls", "hits"]:
            runs: dict[Path, list] = {one: [], many: []}
            measured(*scan(few, kind, folder / "out"))  # what numba compiles is compiled now
            for _ in range(args.rounds):  # in turns
                for genome, took in runs.items():
                    took.append(measured(*scan(genome, kind, folder / "out")))
            rows.append(row(kind, 1, runs[one]))
            rows.append(row(kind, args.contigs, runs[many], runs[one]))
        write_fasta(many, pieces(TWOBIT_CONTIGS, 100), drawn(0))
        tcnfast.index(many, packed)
        small = folder / "small.2bit"
        write_fasta(many, pieces(1, 100), drawn(0))
        tcnfast.index(many, small)
        base = [measured("-c", OPEN, small) for _ in range(args.rounds)]
        opened = [measured("-c", OPEN, packed) for _ in range(args.rounds)]
        rows += [row("2bit", 1, base), row("2bit", TWOBIT_CONTIGS, opened, base)]
    case = f"{args.contigs:,} contigs of {args.size:,} bases"
    print(f"# {case}")
    show(rows)
    if not args.dry:
        append("contigs", case, rows)


class Watched(ray_engine.RayEngine):
    """Notes when its workers are ready, and the processor's seconds that each took since."""

    def start(self) -> None:
        self.began, self.ready, self.used = time.monotonic(), None, {}
        super().start()

    def _answer(self, worker, unit, call):
        yield from super()._answer(worker, unit, call)
        self.last = time.monotonic()
        if unit is None:
            self.ready = self.ready or self.last
            self.used[worker] = -self._cpu(worker)

    def _cpu(self, worker: str) -> float:
        process = self._places[worker].rpartition("process ")[2].rstrip(": ")
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self) -> None:
        if self.ready is not None:  # else Ray did not start, and says why
            cpu = max(used + self._cpu(worker) for worker, used in self.used.items())
            start, scan = self.ready - self.began, self.last - self.ready
            seen.update(start_s=start, scan_s=scan, worker_cpu_s=cpu)
        super().close()


seen: dict[str, float] = {}


def scan_on(fasta: Path, workers: int, folder: Path) -> dict[str, float]:
    out = folder / "scan"
    options = dict(cluster="ray", workers=workers, device="cpu", no_page=True, force=out.exists())
    tcnfast.scan(fasta, out=out, **options)
    return dict(seen)


def cluster(args: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    scan_genome.RayEngine = Watched
    with tempfile.TemporaryDirectory() as name:
        fasta = Path(name) / "x.fa"
        write_fasta(fasta, {"chr1": args.mb * 2**20}, drawn(0))
        runs: dict[int, list] = {1: [], 2: []}
        for _ in range(args.rounds):
            for workers, found in runs.items():
                found.append(scan_on(fasta, workers, Path(name)))
    rows = []
    for workers, found in runs.items():
        row = {key: statistics.median(run[key] for run in found) for key in found[0]}
        one = rows[0] if rows else {"scan_s": row["scan_s"], "worker_cpu_s": row["worker_cpu_s"]}
        row["speedup_clock"] = one["scan_s"] / row["scan_s"]
        row["speedup_cpu"] = one["worker_cpu_s"] / row["worker_cpu_s"]
        rows.append({"workers": workers, **row})
        print(rows[-1])
    rows = [{k: round(v, 3) if isinstance(v, float) else v for k, v in x.items()} for x in rows]
    if not args.dry:
        append("scan_cluster", f"{args.mb} Mb, median of {args.rounds}", rows)


@dataclass(frozen=True)
class Measured:
    """Of one genome, and of a worker; seconds and bytes."""

    bases: float
    process: float  # read, mask and calls of a genome, on one core
    merge: float  # calls of its stretches to files of peaks, on one core
    start: float  # until a worker is ready, Ray's start included
    output: float  # bytes of calls

    @classmethod
    def of_results(cls) -> Measured:
        """The rows of benchmarks/results."""
        with open(RESULTS / "scan_stages.csv") as file:
            rows = [row for row in csv.DictReader(file) if row["case"].startswith("synthetic.fa")]
        row = next(row for row in rows if row["side"] == "calls, from FASTA")
        with open(RESULTS / "scan_cluster.csv") as file:
            start = max(float(row["start_s"]) for row in csv.DictReader(file))
        bases = float(row["case"].split()[1])
        process = sum(float(row[name]) for name in ("read_s", "mask_s", "call_s"))
        output = float(row["output_mib"]) * 2**20
        return cls(bases, process, float(row["write_s"]), start, output)


@dataclass(frozen=True)
class Assumed:
    """What was not measured."""

    network: float = 10.0  # seconds that a GPU takes for a genome, both strands
    store: float = 2e9  # bytes a second that the shared store gives all workers together
    image: float = 5e9  # bytes of Python, torch and libraries that a node reads as it starts
    node: int = 8  # GPUs of a node
    receipt: float = 2e-3  # seconds of Ray's driver for a unit
    mergers: int = 16  # processes that merge at once


def seconds(gpus: int, genomes: int, measured: Measured, assumed: Assumed, whole: bool) -> dict:
    """Of each thing that goes on, in a run by ``gpus``; ``whole``: a unit is a genome."""
    units = genomes if whole else genomes * math.ceil(measured.bases / STRETCH)
    # reading and calling go on while the network runs, on a core beside it
    unit = max(assumed.network, measured.process) * genomes / units
    two_bit = genomes * measured.bases / 4
    calls = genomes * measured.output * 2  # written, and read to be merged
    merge = genomes * measured.merge
    return {
        "workers": math.ceil(units / gpus) * unit + (merge / gpus if whole else 0),
        "start": measured.start + math.ceil(gpus / assumed.node) * assumed.image / assumed.store,
        "store": (two_bit + calls) / assumed.store,
        "scheduler": units * assumed.receipt,
        "merge": 0.0 if whole else merge / assumed.mergers,
    }


def total(parts: dict) -> float:
    """Start-up comes first; then everything goes on at once."""
    return parts["start"] + max(seconds for name, seconds in parts.items() if name != "start")


def whole_genomes(gpus: int, genomes: int) -> bool:
    """Whether a unit is a genome, as :mod:`tcnfast.scan.many_genomes` has it."""
    return genomes > 4 * gpus


def table(genomes: int, measured: Measured, assumed: Assumed) -> str:
    """Rows for each number of GPUs, as Markdown."""
    lines = [
        "| GPUs | unit | start-up | workers | store | scheduler | merging | in all | what binds "
        "| efficiency |",
        "|---:|---|---:|---:|---:|---:|---:|---:|---|---:|",
    ]
    alone = total(seconds(1, genomes, measured, assumed, whole_genomes(1, genomes)))
    for gpus in GPUS:
        whole = whole_genomes(gpus, genomes)
        parts = seconds(gpus, genomes, measured, assumed, whole)
        names = {"start": "start-up", "merge": "merging"}
        worst = max(parts, key=parts.get)
        cells = [parts[name] for name in ("start", "workers", "store", "scheduler", "merge")]
        time = total(parts)
        lines.append(
            f"| {gpus:,} | {'genome' if whole else 'stretch'} | "
            + " | ".join(f"{cell:,.0f}" for cell in cells)
            + f" | {time:,.0f} s | {names.get(worst, worst)} | {alone / gpus / time:.0%} |"
        )
    return "\n".join(lines)


def page(text: str, genomes: int, measured: Measured, assumed: Assumed) -> str:
    """The page with the tables of now."""
    before, rest = text.split(MARKS[0])
    after = rest.split(MARKS[1])[1]
    ten = replace(assumed, store=10 * assumed.store)
    made = "\n\n".join(
        [
            f"As assumed ({assumed.store / 1e9:g} GB/s of the store; seconds):",
            table(genomes, measured, assumed),
            f"With a store of {ten.store / 1e9:g} GB/s:",
            table(genomes, measured, ten),
        ]
    )
    return f"{before}{MARKS[0]}\n\n{made}\n\n{MARKS[1]}{after}"


def model(args: argparse.Namespace) -> None:
    measured = Measured.of_results()
    assumed = Assumed(network=args.seconds, store=args.store * 1e9)
    print(measured, assumed, table(args.genomes, measured, assumed), sep="\n")
    if args.write:
        PAGE.write_text(page(PAGE.read_text(), args.genomes, measured, assumed))


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    cases = flags.add_subparsers(required=True)
    case = cases.add_parser("contigs", help="a fragmented assembly against one contig")
    share_flags(case, rounds=1)
    case.add_argument("--contigs", type=int, default=300_000, help="default 300,000")
    case.add_argument("--size", type=int, default=300, help="bases of each (default 300)")
    case.add_argument("--no-hits", action="store_true", help="leave the motif scan out")
    case.set_defaults(run=contigs)
    case = cases.add_parser("cluster", help="one and two workers of Ray")
    share_flags(case, rounds=3)
    case.add_argument("--mb", type=int, default=64)
    case.set_defaults(run=cluster)
    case = cases.add_parser("model", help="many GPUs and genomes; nothing is run")
    case.add_argument("--seconds", type=float, default=Assumed.network, help="a genome on a GPU")
    case.add_argument("--store", type=float, default=Assumed.store / 1e9, help="GB/s, shared")
    case.add_argument("--genomes", type=int, default=1000)
    case.add_argument("--write", action="store_true", help="put the tables into docs/scaling.md")
    case.set_defaults(run=model)
    args = flags.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
