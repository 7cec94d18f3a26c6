"""What follows the network of a scan: calls and tracks of logits that are there, on one core:
`python -m benchmarks.scan.outputs`; bigWigs are also written by two processes.

The logits are those of encode-v1 on the demo's piece of chr20, eight times over: 0.6 % of them are
called, 7 % are at or above the default floor of a track. Formats of all tracks are compared by
dense_tracks.py. Cases (calls, shards, tracks, bigwigs) are chosen by name; rows go to
results/tail.csv, unless `--dry`.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
import pyBigWig

import tcnfast
from benchmarks.harness import GENOME, compare, parser, report
from benchmarks.scan.runs import contig_segments
from tcnfast.base.logits import logit, probability
from tcnfast.scan.peaks import PeakCaller, run_bases
from tcnfast.scan.pipeline import Scorer
from tcnfast.scan.track_bigwig import Track, TrackReader, write_bigwigs
from tcnfast.scan.track_shards import TrackShard

STRIDE, REPEATS, SEGMENT, GAP = 32, 8, 2**15, 2
TRACKED = 8  # labels, every fourteenth
FLOOR = 0.01


def scored() -> tuple[np.ndarray, np.ndarray, int]:
    """Logits (steps, labels), cutoffs (labels,), size in bases."""
    model = tcnfast.load_model("encode-v1")
    with tcnfast.Genome(GENOME) as genome:
        (chrom,) = genome.sizes
        parts = contig_segments(Scorer(model, device="cpu", stride=STRIDE), genome, chrom)
        logits = np.concatenate([part.logits for part in parts] * REPEATS)
    thresholds = np.array([model.thresholds[label].threshold for label in model.labels])
    return logits, logit(thresholds).astype(np.float32), len(logits) * STRIDE


def segments(logits):
    for first in range(0, len(logits), SEGMENT):
        yield first, logits[first : first + SEGMENT]


def call(logits, cutoffs, size):
    caller = PeakCaller(cutoffs, STRIDE, size, 1, GAP * STRIDE)
    for first, part in segments(logits):
        caller.add(first, part)
    return caller.finish()


def call_with_numpy(logits, cutoffs):
    """(label, first, last, best) of calls, a segment at a time: every hit a run, then merged."""
    runs = [np.empty(0, np.int64)] * 3 + [np.empty(0, np.float32)]
    done = []
    for begin, part in segments(logits):
        row, label = np.nonzero(part >= cutoffs)
        step = row + begin
        hits = (label, step, step, part[row, label])
        runs = [np.concatenate(pair) for pair in zip(runs, hits, strict=True)]
        runs = _merge(*(column[np.lexsort((runs[1], runs[0]))] for column in runs))
        open_ = runs[2] + GAP + 1 >= begin + len(part)
        done.append([column[~open_] for column in runs])
        runs = [column[open_] for column in runs]
    columns = [np.concatenate(parts) for parts in zip(*done, runs, strict=True)]
    order = np.lexsort((columns[1], columns[0]))
    return [column[order] for column in columns]


def _merge(label, first, last, best):
    apart = first[1:] - last[:-1] - 1 > GAP
    starts = np.flatnonzero(np.r_[True, (label[1:] != label[:-1]) | apart][: len(label)])
    if not len(starts):
        return label, first, last, best
    ends = np.r_[starts[1:], len(label)] - 1
    return label[starts], first[starts], last[ends], np.maximum.reduceat(best, starts)


def write_dense(folder, logits, size):
    """Each probability as float16, then one value per step by pyBigWig."""
    for track, column in enumerate(probability(logits).T.astype(np.float16)):
        with pyBigWig.open(str(folder / f"{track}.bw"), "w") as file:
            file.addHeader([("c", size)])
            values = column.astype(np.float32)
            file.addEntries("c", 0, values=values, span=STRIDE, step=STRIDE)


def write_sparse(folder, logits, size, floor):
    add_shard(folder, logits, floor)
    write_bigwigs(tracks_of(folder, logits.shape[1], size), processes=1)


def tracks_of(folder, labels, size):
    """Every track of the shard in ``folder``."""
    shards = [[str(folder / "shard")]]
    return [
        Track(str(folder / f"{label}.bw"), {"c": size}, shards, labels, label, STRIDE)
        for label in range(labels)
    ]


def add_shard(folder, logits, floor=FLOOR):
    """The part of a track's cost that falls into the scan."""
    shard = TrackShard(folder / "shard", np.full(logits.shape[1], logit(floor)))
    for first, part in segments(logits):
        shard.add(first, part)
    shard.finish()


def file_size(track):
    return Path(track.path).stat().st_size


def calls(logits, cutoffs, size, args) -> None:
    sides = {
        "numpy": lambda: call_with_numpy(logits, cutoffs),
        "tcnfast": lambda: call(logits, cutoffs, size),
    }
    given, medians = compare(sides, args.rounds)
    got = given["tcnfast"]
    for name, column in zip(("label", "first", "last", "best"), given["numpy"], strict=True):
        assert np.array_equal(got[name], column)
    assert (run_bases(got, STRIDE, size)[1] <= size).all()
    report("tail", f"calls of 112 labels, {millions(logits)} logits", medians, "numpy", args.dry)


def shards(logits, cutoffs, size, args) -> None:
    with tempfile.TemporaryDirectory() as folder:
        sides = {"tcnfast": lambda: add_shard(Path(folder), logits)}
        _, medians = compare(sides, args.rounds)
    case = f"track shard of 112 labels, floor 0.01, {millions(logits)} logits"
    report("tail", case, medians, "tcnfast", args.dry)


def tracks(logits, cutoffs, size, args) -> None:
    some = np.ascontiguousarray(logits[:, :: logits.shape[1] // TRACKED])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sides = {
            "dense, pyBigWig": lambda: write_dense(folder, some, size),
            "floor 0": lambda: write_sparse(folder, some, size, 0.0),
            "floor 0.01": lambda: write_sparse(folder, some, size, FLOOR),
        }
        _, medians = compare(sides, args.rounds)
    case = f"tracks of {TRACKED} labels, {millions(some)} logits"
    report("tail", case, medians, "dense, pyBigWig", args.dry)


def bigwigs(logits, cutoffs, size, args) -> None:
    """Of TRACKED long tracks at the default floor, each of every label end to end."""
    long = logits[: len(logits) // REPEATS].T.reshape(-1, 1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        add_shard(folder, np.repeat(long, TRACKED, axis=1))
        found = TrackReader([folder / "shard"], TRACKED).runs(0)
        intervals = TRACKED * sum(len(first) for first, _, _ in found)
        files = tracks_of(folder, TRACKED, len(long) * STRIDE)
        numbers = [n for n in (1, 2) if n <= len(os.sched_getaffinity(0))]
        sides = {f"{n} at a time": lambda n=n: write_bigwigs(files, n) for n in numbers}
        _, medians = compare(sides, args.rounds)
        print(f"{sum(map(file_size, files)) / intervals:.2f} bytes an interval")
    case = f"bigWigs of {TRACKED} tracks, {intervals / 1e6:.1f} M intervals"
    report("tail", case, medians, "1 at a time", args.dry)


def millions(logits: np.ndarray) -> str:
    return f"{logits.size / 1e6:.1f} M"


CASES = {"calls": calls, "shards": shards, "tracks": tracks, "bigwigs": bigwigs}


def main() -> None:
    flags = parser(__doc__, rounds=5)
    flags.add_argument("cases", nargs="*", default=list(CASES), metavar="CASE")
    args = flags.parse_args()
    data = scored()
    for case in args.cases:
        CASES[case](*data, args)


if __name__ == "__main__":
    main()
