"""End to end: `python benchmarks/bench_scan.py FASTA [FASTA ...]` scans the files together with the
default model (both strands, stride 32), calls only and with every track, each in a process of its
own, and records seconds from the first to the last line of the program, start-up apart, and the
largest resident set, which must not grow with the contigs. The side "network" is the same scores of
the same codes in memory, by the same plan, and nothing else."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from record import record

import tcnfast
from tcnfast.genome import Genome, split_chroms
from tcnfast.scanner import Scorer, segment_length, segment_spans


def scan(fasta: list[Path], out: str, *options: str) -> tuple[float, float]:
    """Seconds after start-up and peak resident MiB of one scan."""
    command = [sys.executable, "-m", "tcnfast.scan", *map(str, fasta), "-o", out, "-q", *options]
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"bench_scan: {' '.join(command)} failed")
    seconds = json.loads(Path(out, "run.json").read_text())["seconds"]
    return seconds, usage.ru_maxrss / 1024


def network(fasta: list[Path]) -> float:
    """Seconds of the scores alone."""
    scorer = Scorer(tcnfast.load_model("encode-v1"), device="cpu")
    stride, half = scorer.plan.stride, scorer.plan.receptive_field // 2
    seconds = 0.0
    with Genome(*fasta) as genome:
        for chrom in split_chroms(genome.sizes)[0]:
            spans = segment_spans(genome.sizes[chrom], stride, None, segment_length(scorer.plan))
            for first, last in spans:
                centre = first * stride + stride // 2
                end = centre + (last - first - 1) * stride + 1
                codes = genome.codes(chrom, centre - half, end + half)
                start = time.perf_counter()
                scorer(codes[None])
                seconds += time.perf_counter() - start
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("fasta", nargs="+", type=Path)
    fasta = parser.parse_args().fasta
    with Genome(*fasta) as genome:
        bases = sum(genome.sizes[chrom] for chrom in split_chroms(genome.sizes)[0])
    medians, resident = {"network": network(fasta)}, {}
    for side, options in {"calls": [], "calls and all tracks": ["--tracks", "all"]}.items():
        with tempfile.TemporaryDirectory() as folder:
            medians[side], resident[side] = scan(fasta, f"{folder}/scan", *options)
    names = ", ".join(path.name for path in fasta)
    case = f"{names}, {bases} bp, {max(resident.values()):.0f} MiB resident"
    for side, seconds in medians.items():
        print(f"{case}: {side} {seconds:.1f} s, {bases / seconds / 1e6:.2f} Mb/s")
    record("scan", case, medians, "network")


if __name__ == "__main__":
    main()
