"""A genome of hg38's contigs and sizes: one to scan where hg38 is not at hand, and what a finished
scan of one is shown with.

    python -m benchmarks.scan.whole_genome write chr20.fa.gz chrX.fa.gz -o /big/disk/synthetic.fa
    python -m benchmarks.scan.whole_genome write --random 1 --scale 0.02 -o small.fa
    python -m benchmarks.scan.whole_genome page

`write` writes the 24 main contigs of hg38 by name and size (3,088,269,832 bp; `--scale` times
that): the given sequence, gaps and all, end to end again and again, each contig going on where the
one before ended; so calls and gaps are as dense as in what was given. Or, with `--random SEED`,
letters that are all as likely, without gaps. `--twobit FILE` also writes them as .2bit, by `tcnfast
index`. An existing file of the right length is left as it is.

`page` makes a scan folder of these contigs, all labels of encode-v1 and five million calls (drawn
at random: labels have from a hundredth to ten times the mean, scores are those of a steep tail),
then writes, each in a process of its own, imports and compiled code apart:

page       index.html
sessions   igv_session.xml, jbrowse.json and tcnfast_mqc.tsv
hub        hub.txt and the bigBed of every label

and tells seconds of the clock and of the processor, bytes, and how much memory the process took at
most and before. Rows go to results/scan_page.csv, unless `--dry`.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

import tcnfast
from benchmarks.harness import append, share_flags, show
from tcnfast.base.file_names import file_names
from tcnfast.base.tables import write_rows
from tcnfast.cli import main as run_tcnfast
from tcnfast.genome.genome import Genome
from tcnfast.scan.browser_files import labels_to_show, write_browser_files
from tcnfast.scan.call_columns import read_call_columns
from tcnfast.scan.expectation import COLUMNS
from tcnfast.scan.page import write_page
from tcnfast.scan.scan_folder import SUMMARY, ScanFolder, peaks_file
from tcnfast.scan.ucsc_hub import BIGBEDS, HUB, write_bigbeds, write_hub

# UCSC hg38.chrom.sizes
LENGTHS = """
248956422 242193529 198295559 190214555 181538259 170805979 159345973 145138636 138394717 133797422
135086622 133275309 114364328 107043718 101991189 90338345 83257441 80373285 58617616 64444167
46709983 50818468 156040895 57227415
"""
NAMES = [f"chr{name}" for name in (*range(1, 23), "X", "Y")]
HG38 = dict(zip(NAMES, map(int, LENGTHS.split()), strict=True))
WIDTH = 60  # letters of a line
AT_ONCE = WIDTH * 2**19  # letters in memory, beside what is tiled
LETTERS = np.frombuffer(b"ACGTN", np.uint8)
Letters = Callable[[int], np.ndarray]  # the next so many
STRIDE = 32
SESSIONS = ("igv_session.xml", "jbrowse.json", "tcnfast_mqc.tsv")


def sizes(scale: float) -> dict[str, int]:
    return {name: max(1, round(size * scale)) for name, size in HG38.items()}


def file_size(contigs: dict[str, int]) -> int:
    """Bytes of the FASTA file."""
    return sum(len(name) + 2 + size + -(-size // WIDTH) for name, size in contigs.items())


def tiled(paths: list[Path]) -> Letters:
    """The contigs of FASTA files, end to end, over and over."""
    with Genome(*paths) as genome:
        source = np.concatenate([LETTERS[genome.codes(chrom)] for chrom in genome.sizes])
    at = 0

    def take(n: int) -> np.ndarray:
        nonlocal at
        out = np.empty(n, np.uint8)
        done = 0
        while done < n:
            part = source[at : at + n - done]
            out[done : done + len(part)] = part
            done, at = done + len(part), (at + len(part)) % len(source)
        return out

    return take


def drawn(seed: int) -> Letters:
    generator = np.random.default_rng(seed)
    return lambda n: LETTERS[generator.integers(0, 4, n, np.uint8)]


def lines(letters: np.ndarray) -> Iterator[np.ndarray]:
    """Bytes of lines; all but the last are full."""
    full = len(letters) - len(letters) % WIDTH
    block = np.full((full // WIDTH, WIDTH + 1), ord("\n"), np.uint8)
    block[:, :WIDTH] = letters[:full].reshape(-1, WIDTH)
    yield block
    if full < len(letters):
        yield np.append(letters[full:], np.uint8(ord("\n")))


def write_fasta(path: Path, contigs: dict[str, int], letters: Letters) -> None:
    """Under another name first."""
    partial = path.with_name(path.name + ".partial")
    with open(partial, "wb") as file:
        for name, size in contigs.items():
            file.write(f">{name}\n".encode())
            for at in range(0, size, AT_ONCE):
                for part in lines(letters(min(AT_ONCE, size - at))):
                    file.write(part)
    partial.rename(path)


def write(args: argparse.Namespace) -> None:
    if bool(args.fasta) == (args.random is not None):
        raise SystemExit("whole_genome: give either FASTA files to tile or --random SEED")
    contigs = sizes(args.scale)
    if args.output.exists() and args.output.stat().st_size == file_size(contigs):
        print(f"{args.output}: is there already")
    else:
        letters = drawn(args.random) if args.random is not None else tiled(args.fasta)
        write_fasta(args.output, contigs, letters)
        print(f"{args.output}: {sum(contigs.values())} bp in {len(contigs)} contigs")
    if args.twobit and not args.twobit.exists():
        raise SystemExit(run_tcnfast(["index", str(args.output), "-o", str(args.twobit)]))


def make_scan(folder: Path, calls: int, seed: int = 0) -> None:
    """A scan folder of about so many calls."""
    rng = np.random.default_rng(seed)
    model = tcnfast.load_model("encode-v1")
    labels = model.labels
    share = 10 ** rng.uniform(-2, 1, len(labels))
    counts = np.maximum(1, calls * share / share.sum()).astype(int)
    peaks_file(folder, "").parent.mkdir(parents=True)
    rows = []
    for label, name, count in zip(labels, file_names(labels), counts, strict=True):
        threshold = model.thresholds[label].threshold
        n = write_peaks(peaks_file(folder, name), label, count, threshold, rng)
        grade, precision = rng.choice(list("ABCD")), rng.uniform(0.2, 0.9)
        known = {
            "label": label,
            "chrom": "all",
            "threshold": threshold,
            "grade": grade,
            "expected_precision": round(precision, 4),
            "calls": n,
            "bases": 128 * n,
        }
        rows.append([known.get(column) for column in COLUMNS])
    write_rows(folder / SUMMARY, COLUMNS, rows)
    key = {
        "command": "scan",
        "targets": labels,
        "tracks": [],
        "track_format": "bigwig",
        "genome": [["made.fa", ""]],
        "stride": STRIDE,
        "strand": "both",
        "within": None,
        "backend": "cpu",
        "precision": "bf16",
        "model": "",
    }
    record = {"model": "encode-v1", "skipped_contigs": [], "warnings": [], "key": key}
    (folder / "run.json").write_text(json.dumps(record))


def write_peaks(
    path: Path, label: str, count: int, threshold: float, rng: np.random.Generator
) -> int:
    """Calls at random places that do not touch; how many there are."""
    total, written = sum(HG38.values()), 0
    with open(path, "w") as file:
        for chrom, size in HG38.items():
            steps = np.unique(rng.integers(0, size // STRIDE // 12, count * size // total)) * 12
            starts = steps * STRIDE
            ends = np.minimum(starts + STRIDE * rng.integers(2, 9, len(starts)), size)
            p = 1 - (1 - threshold) * rng.power(0.4, len(starts))
            rows = zip(starts.tolist(), ends.tolist(), p.tolist(), strict=True)
            file.writelines(
                f"{chrom}\t{a}\t{b}\t{label}\t{1000 * x:.0f}\t.\t{x:.4f}\t-1\t-1\t{(b - a) // 2}\n"
                for a, b, x in rows
            )
            written += len(starts)
    return written


def page(folder: Path) -> list[Path]:
    return [write_page(ScanFolder(folder), HG38)]


def sessions(folder: Path) -> list[Path]:
    write_browser_files(ScanFolder(folder), folder, [folder / "made.fa"], HG38)
    return [folder / name for name in SESSIONS]


def hub(folder: Path) -> list[Path]:
    scan = ScanFolder(folder)
    peaks = {scan.peaks_of(label).stem: scan.peaks_of(label) for label in scan.labels}
    write_bigbeds(peaks, folder / BIGBEDS, HG38)
    write_hub(scan, "hg38", labels_to_show(scan))
    return [folder / HUB, *(folder / BIGBEDS).iterdir()]


SIDES: dict[str, Callable[[Path], list[Path]]] = {"page": page, "sessions": sessions, "hub": hub}


def measured(side: str, folder: Path, queue: multiprocessing.Queue) -> None:
    """Seconds of clock and processor, bytes, and MiB at most and before."""
    warm_up(folder)
    before = resident()
    clock, processor = time.perf_counter(), time.process_time()
    files = SIDES[side](folder)
    took = time.perf_counter() - clock, time.process_time() - processor
    size = sum(path.stat().st_size for path in files)
    for path in files:
        path.unlink()
    if side == "hub":
        (folder / BIGBEDS).rmdir()
    queue.put((*took, size, resident(), before))


def warm_up(folder: Path) -> None:
    """Load what is compiled and what is imported late."""
    import jinja2  # noqa: F401
    import pandas  # noqa: F401
    import pybigtools  # noqa: F401

    read_call_columns(folder / "none")


def resident() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def in_a_process(side: str, folder: Path) -> tuple[float, float, int, int, int]:
    spawn = multiprocessing.get_context("spawn")
    queue = spawn.Queue()
    process = spawn.Process(target=measured, args=(side, folder, queue))
    process.start()
    found = queue.get()
    process.join()
    return found


def show_scan(args: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "scan")
        make_scan(folder, args.calls)
        calls = int(ScanFolder(folder).summary["calls"].sum())
        labels = len(ScanFolder(folder).labels)
        text = sum(path.stat().st_size for path in (folder / "peaks").iterdir())
        rows = []
        for side in SIDES:
            runs = [in_a_process(side, folder) for _ in range(args.rounds)]
            wall, processor, size, most, before = map(statistics.median, zip(*runs, strict=True))
            rows.append(
                {
                    "side": side,
                    "wall_s": f"{wall:.3g}",
                    "cpu_s": f"{processor:.3g}",
                    "mb": f"{size / 1e6:.3g}",
                    "resident_mib": f"{most:.0f}",
                    "resident_before_mib": f"{before:.0f}",
                }
            )
    case = f"{sum(HG38.values()):,} bases, {labels} labels, {calls:,} calls in {text / 1e6:.0f} MB"
    print(f"# {case}")
    show(rows)
    if not args.dry:
        append("scan_page", case, rows)


def main() -> None:
    flags = argparse.ArgumentParser(description="A genome of hg38's contigs and sizes")
    cases = flags.add_subparsers(required=True)
    add = (writes := cases.add_parser("write", help="write one")).add_argument
    add("fasta", nargs="*", type=Path, help="real sequence to tile")
    add("-o", "--output", type=Path, required=True, metavar="FASTA")
    add("--twobit", type=Path, metavar="FILE", help="write this .2bit too")
    add("--random", type=int, metavar="SEED", help="random letters in its place")
    add("--scale", type=float, default=1, help="of every size (default 1)")
    writes.set_defaults(run=write)
    shows = cases.add_parser("page", help="what shows a scan of one")
    share_flags(shows, rounds=3)
    shows.add_argument("--calls", type=int, default=5_000_000, help="default 5,000,000")
    shows.set_defaults(run=show_scan)
    args = flags.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
