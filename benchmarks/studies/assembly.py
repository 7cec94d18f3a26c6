"""Can the check of ``tcnfast prepare`` tell real peaks from moved ones? Where MIN_Z comes from.

    python -m benchmarks.studies.assembly --data ../shared/data

Peaks of another assembly are real ones moved by anything from kilobases to megabases. Of each label
N peaks are drawn; its score is the largest of three (GC, CpG, best 6-mer), "below" the share of
labels that would be suspected: no real label should be, and every moved one.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from tcnfast.data import assembly_check
from tcnfast.data.assembly_check import MIN_Z, contrasts
from tcnfast.data.dataset import Dataset, open_dataset
from tcnfast.genome.genome import Genome, Region

NUMBERS = (50, 100, 200, 300, 500)
SHIFTS = (0, 3_000, 62_000, 1_000_000)
CONTEXT = 3_000  # bases at the end of a contig where no peak is moved to


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with genome/ and peaks/")
    data = parser.parse_args().data
    tables = [data / f"peaks/{name}.hg19.chr20_X.bed.gz" for name in (
        "dream_conservative", "precisetad_gm12878_26tf")]  # fmt: skip
    files = [data / "genome/hg19.chr20.fa.gz", data / "genome/hg19.chrX.first70M.fa.gz"]
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


if __name__ == "__main__":
    main()
