"""A small random genome with peaks, and the label of a bin worked out by hand."""

import numpy as np

from tcnfast.genome.genome import Region
from tcnfast.genome.intervals import Intervals
from tcnfast.genome.labels import AMBIGUOUS, BOUND, UNBOUND

SIZES = {"chr20": 30_000, "chrX": 9_000}
LABELS = ["common", "rare", "never"]
REGIONS = [Region("chr20", 1_000, 20_000), Region("chrX", 500, 8_500)]


def intervals(rows):
    """Intervals of (chrom, start, end) or (chrom, start, end, label) rows."""
    columns = list(zip(*rows, strict=True))
    label = np.array(columns[3], object) if len(columns) > 3 else None
    start, end = (np.array(column, np.int64) for column in columns[1:3])
    return Intervals(np.array(columns[0], object), start, end, np.full(len(rows), -1), label)


def peaks(rng, label, number, chrom="chr20"):
    starts = rng.integers(0, SIZES[chrom] - 500, number)
    return [(chrom, int(s), int(s + rng.integers(50, 400)), label) for s in starts]


def write_genome(path):
    """A FASTA file of random contigs of SIZES."""
    rng = np.random.default_rng(5)
    letters = np.frombuffer(b"ACGT", np.uint8)
    with path.open("wb") as file:
        for chrom, size in SIZES.items():
            file.write(b">%s\n%s\n" % (chrom.encode(), letters[rng.integers(0, 4, size)].tobytes()))
    return path


def some_rows():
    """Rows of peaks, ambiguous peaks and a blacklist on that genome."""
    rng = np.random.default_rng(6)
    bound = peaks(rng, "common", 40) + peaks(rng, "common", 10, "chrX") + peaks(rng, "rare", 3)
    relaxed = peaks(rng, "common", 20) + peaks(rng, "never", 6, "chrX")
    blacklist = [("chr20", 5_000, 5_300), ("chr20", 18_000, 18_001), ("chrX", 0, 600)]
    return bound, relaxed, blacklist


def label_by_hand(rows, chrom, centre, label, label_bin=200, min_overlap=100):
    bound, relaxed, blacklist = rows
    start, end = centre - label_bin // 2, centre - label_bin // 2 + label_bin

    def overlap(row):
        return min(end, row[2]) - max(start, row[1]) if row[0] == chrom else 0

    if any(overlap(row) > 0 for row in blacklist):
        return AMBIGUOUS
    mine = [row for row in bound if row[3] == label and overlap(row) > 0]
    if any(overlap(row) >= min(min_overlap, row[2] - row[1]) for row in mine):
        return BOUND
    if mine or any(row[3] == label and overlap(row) > 0 for row in relaxed):
        return AMBIGUOUS
    return UNBOUND
