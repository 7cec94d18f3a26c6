"""End to end: `python benchmarks/bench_scan.py FASTA [FASTA ...]` scans each file with the default
model in a process of its own (both strands, stride 32, calls only) and records seconds, Mb/s and
the largest resident set, which must not grow with the contig."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from record import record

from tcnfast.genome import Genome


def scan(fasta: Path, out: str) -> tuple[float, float]:
    """Wall seconds and peak resident MiB of one scan."""
    command = [sys.executable, "-m", "tcnfast.scan", str(fasta), "-o", out, "-q", "--chroms", "all"]
    started = time.perf_counter()
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"bench_scan: {' '.join(command)} failed")
    return time.perf_counter() - started, usage.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("fasta", nargs="+", type=Path)
    for fasta in parser.parse_args().fasta:
        with Genome(fasta) as genome:
            bases = sum(genome.sizes.values())
        with tempfile.TemporaryDirectory() as folder:
            seconds, resident = scan(fasta, f"{folder}/scan")
        case = f"{fasta.name}, {bases} bp, {resident:.0f} MiB resident"
        print(f"{case}: {seconds:.1f} s, {bases / seconds / 1e6:.2f} Mb/s")
        record("scan", case, {"tcnfast scan": seconds}, "tcnfast scan")


if __name__ == "__main__":
    main()
