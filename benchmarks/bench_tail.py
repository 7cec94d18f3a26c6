"""What follows the engine of a scan: calls and tracks of logits that are there, on one core.

`pytest benchmarks/bench_tail.py`; tracks are also written by two processes, for which there must be
two cores.

The logits are those of encode-v1 on the demo's piece of chr20, eight times over: 0.6 % of them are
called, 7 % are at or above the default floor of a track.
"""

import os
import shutil
from pathlib import Path

import numpy as np
import pyBigWig
import pytest
from record import record

import tcnfast
from tcnfast.base.logits import logit, probability
from tcnfast.scan.peaks import PeakCaller, run_bases
from tcnfast.scan.pipeline import Scorer, scan_contig
from tcnfast.scan.track_bigwig import Track, TrackReader
from tcnfast.scan.track_processes import write_bigwigs
from tcnfast.scan.track_shards import TrackShard
from tcnfast.scan.zarr_tracks import ZarrStretch, ZarrTracks

GENOME = Path(__file__).parents[1] / "examples" / "data" / "chr20_34-36Mb.fa.gz"
STRIDE, REPEATS, SEGMENT, GAP = 32, 8, 2**15, 2
TRACKED = 8  # labels, every fourteenth
FLOOR = 0.01


@pytest.fixture(scope="module")
def scored():
    """Logits (steps, labels), cutoffs (labels,), size in bases."""
    model = tcnfast.load_model("encode-v1")
    with tcnfast.Genome(GENOME) as genome:
        (chrom,) = genome.sizes
        parts = scan_contig(Scorer(model, device="cpu", stride=STRIDE), genome, chrom)
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


def write_zarr(folder, logits, size, kind):
    shutil.rmtree(folder / kind, ignore_errors=True)
    labels = [str(label) for label in range(logits.shape[1])]
    stretch = ZarrStretch(ZarrTracks.create(folder / kind, {"c": size}, labels, STRIDE, kind), "c")
    for first, part in segments(logits):
        stretch.add(first, part)
    stretch.finish()


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


medians = {}


def measure(benchmark, case, side, function, args, count, unit, last):
    """Run, keep the median, and once the ``last`` side has run record them against the first."""
    got = benchmark.pedantic(function, args, rounds=5, warmup_rounds=1)
    sides = medians.setdefault(case, {})
    sides[side] = benchmark.stats.stats.median
    benchmark.extra_info[f"M {unit}/s"] = round(count / 1e6 / sides[side], 1)
    if last:
        record("tail", f"{case}, {count / 1e6:.1f} M {unit}", sides, next(iter(sides)))
    return got


@pytest.mark.parametrize("side", ["numpy", "tcnfast"])
def test_calls(benchmark, scored, side):
    logits, cutoffs, size = scored
    case = "calls of 112 labels"
    if side == "numpy":
        args = (logits, cutoffs)
        measure(benchmark, case, side, call_with_numpy, args, logits.size, "logits", False)
        return
    args = (logits, cutoffs, size)
    got = measure(benchmark, case, side, call, args, logits.size, "logits", True)
    want = call_with_numpy(logits, cutoffs)
    for name, column in zip(("label", "first", "last", "best"), want, strict=True):
        assert np.array_equal(got[name], column)
    assert (run_bases(got, STRIDE, size)[1] <= size).all()


def test_shard_of_all_labels(benchmark, scored, tmp_path):
    logits = scored[0]
    args = (tmp_path, logits)
    case = "track shard of 112 labels, floor 0.01"
    measure(benchmark, case, "tcnfast", add_shard, args, logits.size, "logits", True)


TRACK_SIDES = {
    "dense, pyBigWig": (write_dense, ()),
    "floor 0": (write_sparse, (0.0,)),
    "floor 0.01": (write_sparse, (FLOOR,)),
    "zarr uint8": (write_zarr, ("uint8",)),
    "zarr fp16": (write_zarr, ("fp16",)),
}


@pytest.mark.parametrize("side", TRACK_SIDES)
def test_tracks(benchmark, scored, tmp_path, side):
    logits = np.ascontiguousarray(scored[0][:, :: scored[0].shape[1] // TRACKED])
    function, more = TRACK_SIDES[side]
    args = (tmp_path, logits, scored[2], *more)
    case, last = f"tracks of {TRACKED} labels", side == list(TRACK_SIDES)[-1]
    measure(benchmark, case, side, function, args, logits.size, "logits", last)
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "shard"]
    sizes = sum(path.stat().st_size for path in files)
    benchmark.extra_info["bytes/logit"] = round(sizes / logits.size, 3)


@pytest.fixture(scope="module")
def shard(scored, tmp_path_factory):
    """A folder with the shard of TRACKED long tracks at the default floor, each of every label end
    to end, the intervals of one, and the size in bases."""
    logits = scored[0][: len(scored[0]) // REPEATS].T.reshape(-1, 1)
    folder = tmp_path_factory.mktemp("shard")
    add_shard(folder, np.repeat(logits, TRACKED, axis=1))
    intervals = sum(len(first) for first, _, _ in TrackReader([folder / "shard"], TRACKED).runs(0))
    return folder, intervals, len(logits) * STRIDE


@pytest.mark.parametrize("processes", [1, 2])
def test_processes(benchmark, shard, processes):
    folder, intervals, size = shard
    if processes > len(os.sched_getaffinity(0)):
        pytest.skip("fewer cores than processes")
    tracks = tracks_of(folder, TRACKED, size)
    case, side = f"bigWigs of {TRACKED} tracks", f"{processes} at a time"
    args, n = (tracks, processes), TRACKED * intervals
    measure(benchmark, case, side, write_bigwigs, args, n, "intervals", processes == 2)
    benchmark.extra_info["bytes/interval"] = round(sum(map(file_size, tracks)) / n, 2)


def file_size(track):
    return Path(track.path).stat().st_size
