"""A small lab: a genome, peak files of three labels in the forms that prepare takes, a split."""

import gzip
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from support.scan import random_letters, write_fasta

SIZES = {"chr20": 60_000, "chrX": 20_000, "chrUn": 2_000}
SPLIT = {
    "train": ["chr20:1-40000"],
    "valid": ["chr20:40001-60000"],
    "test": ["chrX"],
}
LABELS = ["CTCF@K562", "MAX@K562", "SP1@K562"]


@dataclass
class Lab:
    """``peaks`` and ``relaxed``: {label: [(chrom, start, end, summit)]}, as lie in the files."""

    folder: Path
    peaks: dict
    relaxed: dict

    def words(self, *more, split="split.json"):
        """Arguments of prepare; paths in ``more`` are as they are."""
        return ["prepare", "-g", self.folder / "g.fa", "--split", self.folder / split, *more]

    def narrowpeak(self, name, rows, packed=False):
        lines = [
            f"{c}\t{s}\t{e}\tp{i}\t0\t.\t1\t-1\t-1\t{m - s}\n"
            for i, (c, s, e, m) in enumerate(rows)
        ]
        data = "".join(lines).encode()
        (self.folder / name).write_bytes(gzip.compress(data, mtime=0) if packed else data)
        return self.folder / name

    def table(self, name, sets):
        lines = ["#chrom\tstart\tend\tlabel\tsummit"]
        lines += [f"{c}\t{s}\t{e}\t{x}\t{m}" for x, rows in sets.items() for c, s, e, m in rows]
        (self.folder / name).write_text("\n".join(lines) + "\n")
        return self.folder / name

    def manifest(self, *lines, name="manifest.tsv"):
        path = self.folder / name
        path.write_text("".join("\t".join(map(str, line)) + "\n" for line in lines))
        return path


def random_rows(rng, number, chroms=("chr20", "chrX")):
    rows = []
    for chrom in rng.choice(chroms, number):
        start = int(rng.integers(0, SIZES[chrom] - 400))
        end = start + int(rng.integers(40, 400))
        rows.append((str(chrom), start, end, int(rng.integers(start, end))))
    return rows


def make_lab(folder):
    """A Lab with peaks, relaxed peaks and a blacklist as tables and as narrowPeak files."""
    rng = np.random.default_rng(11)
    folder.mkdir()
    write_fasta(folder / "g.fa", {name: random_letters(n, 3) for name, n in SIZES.items()})
    (folder / "split.json").write_text(json.dumps(SPLIT))
    peaks = {label: random_rows(rng, n) for label, n in zip(LABELS, (60, 40, 30), strict=True)}
    relaxed = {label: random_rows(rng, 15) for label in LABELS[:2]}
    lab = Lab(folder, peaks, relaxed)
    lab.table("peaks.bed", peaks)
    lab.table("relaxed.bed", relaxed)
    (folder / "blacklist.bed").write_text("chr20\t5000\t5600\nchrX\t0\t300\nchrM\t1\t9\n")
    for label in LABELS:
        lab.narrowpeak(f"{label}.narrowPeak.gz", peaks[label], packed=True)
    for label in relaxed:
        lab.narrowpeak(f"{label}.relaxed.bed", relaxed[label])
    return lab
