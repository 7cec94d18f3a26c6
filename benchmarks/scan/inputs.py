"""What lies before the network of a scan and of training: `python -m benchmarks.scan.inputs`.

codes    a chromosome of 120 Mb to codes in memory, against pyfaidx and py2bit; "2 threads" reads
         stretches of 16 Mb side by side.
index    from no ``.fai`` to one on disk, against pyfaidx.
twobit   from FASTA to .2bit; no other writer is at hand to compare with.
labels   a label matrix of 1 M bins x 0.5 M peaks, against bioframe.

Cases are chosen by name. Rows go to results/genome.csv and labels.csv, unless `--dry`.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import bioframe
import numpy as np
import pandas as pd
import py2bit
from pyfaidx import Faidx, Fasta

from benchmarks.harness import compare, parser, report
from tcnfast.genome.codes import encode
from tcnfast.genome.fasta_index import load_index
from tcnfast.genome.genome import Genome
from tcnfast.genome.labels import AMBIGUOUS, BOUND, PeakTable, label_matrix
from tcnfast.genome.twobit_write import write_twobit

SIZE = 120_000_000
STRETCH = 1 << 24
BINS, PEAKS, LABELS, BIN = 1_000_000, 500_000, 8, 200


def write_fasta(path: Path) -> None:
    """120 Mb in lines of 60, with lower-case repeats and runs of N, in the page cache."""
    rng = np.random.default_rng(0)
    bases = rng.choice(np.frombuffer(b"ACGT", np.uint8), SIZE)
    # half of a human chromosome is repeats, in runs of some 300 bases
    repeat = np.repeat(rng.random(SIZE // 300) < 0.5, 300)
    bases[repeat] |= 0x20
    bases[: SIZE // 50] = ord("N")
    with open(path, "wb") as file:
        file.write(b">chr\n")
        lines = np.full((SIZE // 60, 61), ord("\n"), np.uint8)
        lines[:, :60] = bases.reshape(-1, 60)
        lines.tofile(file)


def codes_of(genome: Genome, threads: int) -> np.ndarray:
    """All codes of the contig, in stretches where there are several threads."""
    if threads == 1:
        return genome.codes("chr")
    out = np.empty(SIZE, np.uint8)

    def read(start: int) -> None:
        end = min(start + STRETCH, SIZE)
        genome.codes("chr", start, end, out=out[start:end])

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(read, range(0, SIZE, STRETCH)))
    return out


def codes(fasta: Path, args: argparse.Namespace) -> None:
    twobit = fasta.with_suffix(".2bit")
    write_twobit(fasta, twobit)
    with Genome(fasta) as plain, Genome(twobit) as packed:
        by_pyfaidx = Fasta(str(fasta), as_raw=True, rebuild=False)
        by_py2bit = py2bit.open(str(twobit))
        sides = {
            "pyfaidx": lambda: encode(by_pyfaidx["chr"][:]),
            "tcnfast, FASTA": lambda: codes_of(plain, 1),
            "tcnfast, FASTA, 2 threads": lambda: codes_of(plain, 2),
            "py2bit": lambda: encode(by_py2bit.sequence("chr")),
            "tcnfast, .2bit": lambda: codes_of(packed, 1),
            "tcnfast, .2bit, 2 threads": lambda: codes_of(packed, 2),
        }
        given, medians = compare(sides, args.rounds)
    assert all(np.array_equal(found, given["pyfaidx"]) for found in given.values())
    report("genome", "120 Mb chromosome to codes", medians, "pyfaidx", args.dry)


def index(fasta: Path, args: argparse.Namespace) -> None:
    fai = Path(f"{fasta}.fai")

    def anew(build) -> str:
        fai.unlink(missing_ok=True)
        build()
        return fai.read_text()

    sides = {
        "pyfaidx": lambda: anew(lambda: Faidx(str(fasta)).close()),
        "tcnfast": lambda: anew(lambda: load_index(fasta)),
    }
    given, medians = compare(sides, args.rounds)
    assert set(given.values()) == {f"chr\t{SIZE}\t5\t60\t61\n"}
    report("genome", "index of a 120 Mb chromosome", medians, "pyfaidx", args.dry)


def twobit(fasta: Path, args: argparse.Namespace) -> None:
    sides = {"tcnfast": lambda: write_twobit(fasta, fasta.with_name("again.2bit"))}
    _, medians = compare(sides, args.rounds)
    report("genome", ".2bit of a 120 Mb chromosome", medians, "tcnfast", args.dry)


def labels(_: Path, args: argparse.Namespace) -> None:
    """Bins every 200 bp; peaks of 150 to 600 bp, two in five of them relaxed."""
    rng = np.random.default_rng(0)
    starts = BIN * np.arange(BINS)
    begin = np.sort(rng.integers(0, BIN * BINS, PEAKS))
    end = begin + rng.integers(150, 600, PEAKS)
    label = rng.integers(0, LABELS, PEAKS).astype(np.int32)
    kind = np.where(rng.random(PEAKS) < 0.6, BOUND, AMBIGUOUS).astype(np.uint8)
    table = PeakTable(begin, end, label, kind, np.maximum.accumulate(end), LABELS)
    bins = pd.DataFrame({"chrom": "c", "start": starts, "end": starts + BIN})
    peaks = pd.DataFrame({"chrom": "c", "start": begin, "end": end, "label": label, "kind": kind})
    windows = np.column_stack([starts, starts + BIN])
    sides = {
        "bioframe": lambda: with_bioframe(bins, peaks),
        "tcnfast": lambda: label_matrix(windows, table),
    }
    given, medians = compare(sides, args.rounds)
    assert np.array_equal(given["bioframe"], given["tcnfast"])
    report("labels", "1 M bins x 0.5 M peaks, 8 labels", medians, "bioframe", args.dry)
    # what training calls thousands of times a second
    tile = 100_000_000 + 32 * np.arange(16)
    tile = np.column_stack([tile, tile + BIN])
    sides = {"tcnfast": lambda: [label_matrix(tile, table) for _ in range(1000)]}
    _, medians = compare(sides, args.rounds, scale={"tcnfast": 1e-3})
    report("labels", "one tile of 16 windows", medians, "tcnfast", args.dry)


def with_bioframe(bins: pd.DataFrame, peaks: pd.DataFrame) -> np.ndarray:
    with warnings.catch_warnings():  # bioframe still uses what pandas deprecates
        warnings.simplefilter("ignore")
        pairs = bioframe.overlap(bins, peaks, how="inner", return_index=True, suffixes=("", "_"))
    start, end = pairs["start_"].to_numpy(np.int64), pairs["end_"].to_numpy(np.int64)
    overlap = np.minimum(pairs["end"].to_numpy(np.int64), end)
    overlap -= np.maximum(pairs["start"].to_numpy(np.int64), start)
    sure = (overlap >= np.minimum(100, end - start)) & (pairs["kind_"].to_numpy() == BOUND)
    row, column = pairs["index"].to_numpy(np.int64), pairs["label_"].to_numpy(np.int64)
    out = np.zeros((len(bins), LABELS), np.uint8)
    out[row, column] = AMBIGUOUS
    out[row[sure], column[sure]] = BOUND
    return out


CASES = {"codes": codes, "index": index, "twobit": twobit, "labels": labels}


def main() -> None:
    flags = parser(__doc__, rounds=7)
    flags.add_argument("cases", nargs="*", default=list(CASES), metavar="CASE")
    args = flags.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        fasta = Path(folder) / "chr.fa"
        write_fasta(fasta)
        Genome(fasta).close()  # indexed
        for case in args.cases:
            CASES[case](fasta, args)


if __name__ == "__main__":
    main()
