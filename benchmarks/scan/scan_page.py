"""What a finished scan is shown with, of a whole genome: `python -m benchmarks.scan.scan_page`.

Makes a scan folder of hg38's 24 contigs, all labels of encode-v1 and five million calls (drawn at
random: labels have from a hundredth to ten times the mean, scores are those of a steep tail), then
writes, each in a process of its own, imports and compiled code apart:

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
from collections.abc import Callable
from pathlib import Path

import numpy as np

import tcnfast
from benchmarks.harness import append, parser, show
from benchmarks.scan.synthetic_genome import HG38
from tcnfast.base.file_names import file_names
from tcnfast.base.tables import write_rows
from tcnfast.scan.browser_files import labels_to_show, write_browser_files
from tcnfast.scan.call_columns import read_call_columns
from tcnfast.scan.expectation import COLUMNS
from tcnfast.scan.page import write_page
from tcnfast.scan.scan_folder import SUMMARY, ScanFolder, peaks_file
from tcnfast.scan.ucsc_hub import BIGBEDS, HUB, write_bigbeds, write_hub

STRIDE = 32
SESSIONS = ("igv_session.xml", "jbrowse.json", "tcnfast_mqc.tsv")


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


def main() -> None:
    flags = parser(__doc__, rounds=3)
    flags.add_argument("--calls", type=int, default=5_000_000, help="default 5,000,000")
    args: argparse.Namespace = flags.parse_args()
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


if __name__ == "__main__":
    main()
