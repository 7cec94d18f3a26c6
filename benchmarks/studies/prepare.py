"""`tcnfast prepare`: `python -m benchmarks.studies.prepare --data ../shared/data`.

time      prepare of all 135 peak sets on chr20 and chrX, and opening what it wrote; each run is a
          process of its own. Rows go to results/prepare.csv, unless `--dry`.
assembly  can its check tell real peaks from moved ones? Where MIN_Z comes from; printed. Peaks of
          another assembly are real ones moved by anything from kilobases to megabases. Of each
          label N peaks are drawn; its score is the largest of three (GC, CpG, best 6-mer), "below"
          the share of labels that would be suspected: no real label should be, and every moved one.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.harness import ROOT, append, parser
from tcnfast.data import assembly_check
from tcnfast.data.assembly_check import MIN_Z, contrasts
from tcnfast.data.dataset import Dataset, open_dataset
from tcnfast.data.source import open_source
from tcnfast.genome.genome import Genome, Region

PEAKS = "dream_conservative", "precisetad_gm12878_26tf"
NUMBERS = (50, 100, 200, 300, 500)
SHIFTS = (0, 3_000, 62_000, 1_000_000)
CONTEXT = 3_000  # bases at the end of a contig where no peak is moved to


def command(data: Path, out: Path) -> list[str]:
    peaks = data / "peaks"
    conservative, published, relaxed, blacklist = (
        str(peaks / f"{name}.hg19.chr20_X.bed.gz")
        for name in (*PEAKS, "dream_relaxed", "blacklist")
    )
    genomes = [str(data / f"genome/hg19.{name}.fa.gz") for name in ("chr20", "chrX.first70M")]
    split = str(ROOT / "examples/encode-v1.split.json")
    command = [sys.executable, *"-m tcnfast.cli prepare --report --force -q -o".split(), str(out)]
    peaks = ["--peaks", conservative, published, "--ambiguous", relaxed, "--blacklist", blacklist]
    return [*command, "-g", *genomes, *peaks, "--split", split]


def measure(args: argparse.Namespace) -> None:
    wall, processor, opening = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "data"
        for _ in range(args.rounds):
            before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            subprocess.run(command(args.data, out), check=True, capture_output=True)
            wall.append(time.perf_counter() - start)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            processor.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
            start = time.perf_counter()
            with open_source(data=str(out)):
                opening.append(time.perf_counter() - start)
        size = sum(path.stat().st_size for path in out.iterdir())
    row = {
        "wall_s": f"{statistics.median(wall):.3g}",
        "processor_s": f"{statistics.median(processor):.3g}",
        "open_s": f"{statistics.median(opening):.3g}",
        "folder_mb": f"{size / 1e6:.1f}",
    }
    print(row)
    if not args.dry:
        append("prepare", "135 peak sets (434,367 peaks), 133 Mb, with --report", [row])


def drawn(dataset: Dataset, number: int) -> Dataset:
    """The labels with at least ``number`` peaks, with so many, drawn at random."""
    rng, label = np.random.default_rng(0), dataset.bound.label
    names = [name for name in dataset.labels if (label == name).sum() >= number]
    rows = [rng.choice(np.flatnonzero(label == name), number, replace=False) for name in names]
    return replace(dataset, bound=dataset.bound.take(np.sort(np.concatenate(rows))), labels=names)


def moved(dataset: Dataset, shift: int) -> Dataset:
    """The same peaks ``shift`` bases further on, round the contig."""
    peaks = dataset.bound
    room = np.array([dataset.genome.sizes[chrom] for chrom in peaks.chrom]) - CONTEXT
    start = (peaks.start + shift) % room
    return replace(dataset, bound=replace(peaks, start=start, end=start + peaks.end - peaks.start))


def assembly(args: argparse.Namespace) -> None:
    tables = [args.data / f"peaks/{name}.hg19.chr20_X.bed.gz" for name in PEAKS]
    files = [args.data / "genome/hg19.chr20.fa.gz", args.data / "genome/hg19.chrX.first70M.fa.gz"]
    assembly_check.FEWEST = min(NUMBERS) // 2  # windows with N are left out
    print(f"threshold {MIN_Z}")
    print(f"{'peaks':<8}{'moved by':>12}{'labels':>8}{'below':>8}{'lowest':>8}{'highest':>8}")
    with Genome(*files) as genome:
        every = open_dataset(genome, tables)
        regions = [Region(chrom, 0, size) for chrom, size in genome.sizes.items()]
        for number in NUMBERS:
            dataset = drawn(every, number)
            for shift in SHIFTS:
                found = contrasts(moved(dataset, shift) if shift else dataset, regions)
                best = np.array([max(x.gc, x.cpg, x.kmer) for x in found])
                print(f"{number:<8}{shift:>12,}{len(best):>8}{(best < MIN_Z).mean():>8.3f}", end="")
                print(f"{best.min():>8.1f}{best.max():>8.1f}")


CASES = {"time": measure, "assembly": assembly}


def main() -> None:
    flags = parser(__doc__, rounds=3)
    flags.add_argument("cases", nargs="*", default=list(CASES), metavar="CASE")
    flags.add_argument("--data", type=Path, required=True, help="folder with genome/ and peaks/")
    args = flags.parse_args()
    for case in args.cases:
        CASES[case](args)


if __name__ == "__main__":
    main()
