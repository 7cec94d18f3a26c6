"""What binds where many GPUs scan many genomes: a model, not a measurement.

    python -m benchmarks.studies.scaling_model [--seconds 10] [--store 2] [--genomes 1000] [--write]

Stage times of a genome of 3.09 Gb on a processor are rows of results/scan_stages.csv and
scan_cluster.csv, measured; what a GPU takes for its network, what a store gives, and what a
scheduler takes are assumptions, which the flags change. The time of a run is the longest of what
goes on at once (workers, store, scheduler, merging), and what comes before. ``--write`` puts the
tables into docs/scaling.md, where a test looks whether they are those of today's rows.
"""

from __future__ import annotations

import argparse
import csv
import math
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RESULTS, PAGE = ROOT / "benchmarks" / "results", ROOT / "docs" / "scaling.md"
MARKS = "<!-- model -->", "<!-- end of model -->"
GPUS = (1, 10, 100, 300, 1000)
STRETCH = 2**24  # bases


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


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    flags.add_argument("--seconds", type=float, default=Assumed.network, help="a genome on a GPU")
    flags.add_argument("--store", type=float, default=Assumed.store / 1e9, help="GB/s, shared")
    flags.add_argument("--genomes", type=int, default=1000)
    flags.add_argument("--write", action="store_true", help="put the tables into docs/scaling.md")
    args = flags.parse_args()
    measured = Measured.of_results()
    assumed = Assumed(network=args.seconds, store=args.store * 1e9)
    print(measured, assumed, table(args.genomes, measured, assumed), sep="\n")
    if args.write:
        PAGE.write_text(page(PAGE.read_text(), args.genomes, measured, assumed))


if __name__ == "__main__":
    main()
