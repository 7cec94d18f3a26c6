"""What lies before a network: `python -m benchmarks.scan.inputs`.

codes     a chromosome of 120 Mb to codes in memory, against pyfaidx and py2bit; "2 threads" reads
          stretches of 16 Mb side by side.
index     from no ``.fai`` to one on disk, against pyfaidx.
twobit    from FASTA to .2bit; no other writer is at hand to compare with.
labels    a label matrix of 1 M bins x 0.5 M peaks, against bioframe.
pictures  windows of the example genome to standardised float32 (n, 3, 224, 224), against image
          files, one core. "matplotlib files" does as the wavelet article did: ssqueezepy's
          transform of one sequence, drawn by matplotlib in turbo on 12 x 8 inches without axes,
          cropped and saved as PNG, read and resized by Pillow. (The article called ssq_cwt, which
          also squeezes; here it is cwt, which does less.) "tcnfast" is ``WaveletNetwork.images``
          with ``faithful``. Transform: moduli alone, where "ssqueezepy" takes all windows in one
          call; they must agree to 1e-4 of their maximum. Seconds of the processor.

With `--data ../shared/data`:

prepare   `tcnfast prepare` of all 135 peak sets on chr20 and chrX, and opening what it wrote; each
          run is a process of its own.
assembly  can its check tell real peaks from moved ones? Where MIN_Z comes from; printed. Peaks of
          another assembly are real ones moved by anything from kilobases to megabases. Of each
          label N peaks are drawn; its score is the largest of three (GC, CpG, best 6-mer), "below"
          the share of labels that would be suspected: no real label should be, and every moved one.

Cases are chosen by name. Rows go to results/genome.csv, labels.csv, wavelet.csv and prepare.csv,
unless `--dry`.
"""

from __future__ import annotations

import argparse
import io
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("SSQ_PARALLEL", "0")  # of ssqueezepy: as many threads as the other side, one

import bioframe
import numpy as np
import pandas as pd
import py2bit
import ssqueezepy
import torch
from PIL import Image
from pyfaidx import Faidx, Fasta

import tcnfast
from benchmarks.harness import GENOME, PROCESSOR, ROOT, append, compare, parser, report
from tcnfast.data import assembly_check
from tcnfast.data.assembly_check import MIN_Z, contrasts
from tcnfast.data.dataset import Dataset, open_dataset
from tcnfast.data.source import open_source
from tcnfast.genome.codes import encode
from tcnfast.genome.fasta_index import load_index
from tcnfast.genome.genome import Genome, Region
from tcnfast.genome.labels import AMBIGUOUS, BOUND, PeakTable, label_matrix
from tcnfast.genome.twobit_write import write_twobit
from tcnfast.windows.resnet import PICTURE_STD
from tcnfast.windows.wavelet_network import WaveletNetwork
from tcnfast.windows.wavelets import modulus

SIZE = 120_000_000
STRETCH = 1 << 24
BINS, PEAKS, LABELS, BIN = 1_000_000, 500_000, 8, 200
FIRST, APART = 500_000, 5_000
MEAN = (0.485, 0.485, 0.406)  # the article's
TOLERANCE = 1e-4
PEAK_SETS = "dream_conservative", "precisetad_gm12878_26tf"
NUMBERS = (50, 100, 200, 300, 500)
SHIFTS = (0, 3_000, 62_000, 1_000_000)
CONTEXT = 3_000  # bases at the end of a contig where no peak is moved to


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


def real_windows(count: int, width: int) -> np.ndarray:
    """uint8 (count, width) of real sequence without N."""
    with tcnfast.Genome(GENOME) as genome:
        (chrom,) = genome.sizes
        starts = range(FIRST, FIRST + count * APART, APART)
        return np.stack([genome.codes(chrom, start, start + width) for start in starts])


def through_files(codes: np.ndarray) -> np.ndarray:
    """float32 (n, 3, 224, 224), each by way of a PNG file (in memory: no disk is waited for)."""
    from matplotlib import pyplot

    pyplot.switch_backend("agg")
    out = []
    for window in codes:
        transform, _ = ssqueezepy.cwt(window + 1.0)
        figure, axes = pyplot.subplots(figsize=(12, 8))
        axes.imshow(np.abs(transform), cmap="turbo", aspect="auto")
        axes.axis("off")
        file = io.BytesIO()
        figure.savefig(file, format="png", bbox_inches="tight", pad_inches=0)
        pyplot.close(figure)
        picture = Image.open(file).convert("RGB").resize((224, 224), Image.Resampling.BILINEAR)
        scaled = np.asarray(picture, np.float32).transpose(2, 0, 1) / 255
        mean, std = (np.array(x, np.float32)[:, None, None] for x in (MEAN, PICTURE_STD))
        out.append((scaled - mean) / std)
    return np.stack(out)


def pictures(_: Path, args: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    codes = real_windows(args.windows, args.width)
    x = torch.from_numpy(codes)
    network = WaveletNetwork(["any"], args.width, depth=10, width=1, faithful=True)
    case = f"{args.windows} windows of {args.width} bp"

    sides = {
        "ssqueezepy": lambda: np.abs(ssqueezepy.cwt(codes + 1.0)[0]),
        "tcnfast": lambda: modulus(x.double() + 1).numpy(),
    }
    given, seconds = compare(sides, args.rounds, PROCESSOR)
    theirs, ours = given.values()
    worst = np.abs(ours - theirs).max() / theirs.max()
    if not worst <= TOLERANCE:
        raise SystemExit(f"wavelet: moduli differ by {worst:.2g} of their maximum")
    report("wavelet", f"transform, {case}", seconds, "ssqueezepy", args.dry)
    print(f"  largest difference {worst:.2g} of the maximum")

    sides = {
        "matplotlib files": lambda: through_files(codes),
        "tcnfast": lambda: network.images(x).numpy(),
    }
    given, seconds = compare(sides, args.rounds, PROCESSOR)
    report("wavelet", f"pictures, {case}", seconds, "matplotlib files", args.dry)
    scale = np.array(PICTURE_STD)[:, None, None] * 255
    theirs, ours = (images * scale for images in given.values())
    alike = np.mean(
        [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(theirs, ours, strict=True)]
    )
    print(
        f"  pictures differ by {np.abs(theirs - ours).mean():.1f} of 255 in the mean, r {alike:.4f}"
    )


def prepare_command(data: Path, out: Path) -> list[str]:
    peaks = data / "peaks"
    conservative, published, relaxed, blacklist = (
        str(peaks / f"{name}.hg19.chr20_X.bed.gz")
        for name in (*PEAK_SETS, "dream_relaxed", "blacklist")
    )
    genomes = [str(data / f"genome/hg19.{name}.fa.gz") for name in ("chr20", "chrX.first70M")]
    split = str(ROOT / "examples/encode-v1.split.json")
    command = [sys.executable, *"-m tcnfast.cli prepare --report --force -q -o".split(), str(out)]
    peaks = ["--peaks", conservative, published, "--ambiguous", relaxed, "--blacklist", blacklist]
    return [*command, "-g", *genomes, *peaks, "--split", split]


def prepare(_: Path, args: argparse.Namespace) -> None:
    wall, processor, opening = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "data"
        for _ in range(args.rounds):
            before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            subprocess.run(prepare_command(args.data, out), check=True, capture_output=True)
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


def assembly(_: Path, args: argparse.Namespace) -> None:
    tables = [args.data / f"peaks/{name}.hg19.chr20_X.bed.gz" for name in PEAK_SETS]
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


CASES = {"codes": codes, "index": index, "twobit": twobit, "labels": labels, "pictures": pictures}
OF_DATA = {"prepare": prepare, "assembly": assembly}


def main() -> None:
    flags = parser(__doc__, rounds=7)
    flags.add_argument("cases", nargs="*", metavar="CASE")
    flags.add_argument("--data", type=Path, help="folder with genome/ and peaks/")
    flags.add_argument("--windows", type=int, default=64, help="of pictures")
    flags.add_argument("--width", type=int, default=200, help="bases of a window of pictures")
    args = flags.parse_args()
    if set(args.cases) & set(OF_DATA) and not args.data:
        flags.error("prepare and assembly need --data")
    with tempfile.TemporaryDirectory() as folder:
        fasta = Path(folder) / "chr.fa"
        write_fasta(fasta)
        Genome(fasta).close()  # indexed
        for case in args.cases or (OF_DATA if args.data else CASES):
            (CASES | OF_DATA)[case](fasta, args)


if __name__ == "__main__":
    main()
