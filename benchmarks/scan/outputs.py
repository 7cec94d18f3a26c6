"""What follows the network of a scan: `python -m benchmarks.scan.outputs`.

Of logits of encode-v1 on the demo's piece of chr20, eight times over (0.6 % of them are called, 7 %
are at or above the default floor of a track), on one core:

calls, shards, tracks   calls against numpy, what a scan keeps for tracks, tracks against pyBigWig
bigwigs                 bigWigs by one process and by two

Of the first `--steps` steps of all tracks of a contig of `--fasta FASTA`, seconds of the processor:

formats   what a scan can write: sparse bigWigs at the default floor, zarr of uint8 and of fp16;
          bytes a value, values a second, and how long a reader of zarr takes to get the track of
          one label, all labels of 10 kb, and everything
chunks    the same of other chunks and codecs of uint8, by which zarr_tracks.py was laid out

Cases are chosen by name; rows go to results/tail.csv and zarr_tracks.csv, unless `--dry`.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable
from contextlib import closing
from functools import cache
from pathlib import Path

import numpy as np
import pyBigWig
import zarr
from zarr.codecs import BloscCodec, TransposeCodec, ZstdCodec

import tcnfast
from benchmarks.harness import GENOME, PROCESSOR, append, compare, parser, report, show
from tcnfast.base.logits import logit, probability
from tcnfast.scan.peaks import PeakCaller, run_bases
from tcnfast.scan.pieces import Stretch
from tcnfast.scan.pipeline import Pipeline, Scorer
from tcnfast.scan.track_bigwig import Track, TrackReader, write_bigwig, write_bigwigs
from tcnfast.scan.track_shards import TrackShard
from tcnfast.scan.zarr_tracks import NO_SCORE, ZarrTracks, encode

STRIDE, REPEATS, SEGMENT, GAP = 32, 8, 2**15, 2
TRACKED = 8  # labels, every fourteenth
FLOOR = 0.01
REGION = 10_000 // STRIDE  # steps
CODECS = {
    "none": None,
    "zstd 1": ZstdCodec(level=1),
    "zstd 3": ZstdCodec(level=3),
    "lz4 of bits": BloscCodec(cname="lz4", clevel=5, shuffle="bitshuffle", typesize=1),
}
# steps, labels, codec, label after label; the first is ours
CHUNKS = [
    (2**16, 8, "zstd 1", True),
    (2**16, 8, "zstd 1", False),
    (2**16, 8, "zstd 3", True),
    (2**16, 8, "lz4 of bits", True),
    (2**16, 8, "none", True),
    (2**14, 8, "zstd 1", True),
    (2**18, 8, "zstd 1", True),
    (2**16, 1, "zstd 1", True),
    (2**18, 1, "zstd 1", True),
    (2**16, 28, "zstd 1", True),
]


def contig_segments(scorer, genome: tcnfast.Genome, chrom: str):
    """Segments of the logits of a contig, in order."""
    pipeline, steps = Pipeline(scorer, genome, None), -(-genome.sizes[chrom] // scorer.plan.stride)
    with closing(pipeline.scored(pipeline.groups(Stretch(0, chrom, 0, steps, steps)))) as scored:
        for _, result in scored:
            yield from result()


@cache
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


def calls(args: argparse.Namespace) -> None:
    logits, cutoffs, size = scored()
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


def shards(args: argparse.Namespace) -> None:
    logits, _, _ = scored()
    with tempfile.TemporaryDirectory() as folder:
        sides = {"tcnfast": lambda: add_shard(Path(folder), logits)}
        _, medians = compare(sides, args.rounds)
    case = f"track shard of 112 labels, floor 0.01, {millions(logits)} logits"
    report("tail", case, medians, "tcnfast", args.dry)


def tracks(args: argparse.Namespace) -> None:
    logits, _, size = scored()
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


def bigwigs(args: argparse.Namespace) -> None:
    """Of TRACKED long tracks at the default floor, each of every label end to end."""
    logits, _, _ = scored()
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


@cache
def dense(fasta: Path, steps: int) -> tuple[np.ndarray, str]:
    """Logits of the first steps of the first contig, and what they are of."""
    model = tcnfast.load_model("encode-v1")
    with tcnfast.Genome(fasta) as genome:
        chrom = next(iter(genome.sizes))
        logits = np.empty((steps, len(model.labels)), np.float32)
        for segment in contig_segments(Scorer(model, device="cpu"), genome, chrom):
            part = logits[segment.first_step :][: len(segment.logits)]
            part[:] = segment.logits[: len(part)]
            if segment.first_step + len(segment.logits) >= steps:
                break
    return logits, f"{fasta.name} {chrom}, {steps} steps, {len(model.labels)} labels"


def formats(args: argparse.Namespace) -> None:
    logits, words = dense(args.fasta, args.steps)
    write_rows(f"{words}: formats", of_formats(logits, args.rounds), args.dry)


def chunks(args: argparse.Namespace) -> None:
    logits, words = dense(args.fasta, args.steps)
    write_rows(f"{words}: chunks", of_chunks(logits, args.rounds), args.dry)


def write_rows(case: str, rows: list[dict], dry: bool) -> None:
    print(f"# {case}")
    show(rows)
    if not dry:
        append("zarr_tracks", case, rows)


def seconds(function: Callable[[], object], rounds: int) -> float:
    return compare({"side": function}, rounds, PROCESSOR)[1]["side"]


def of_formats(logits: np.ndarray, rounds: int) -> list[dict]:
    model, rows = tcnfast.load_model("encode-v1"), []
    least = min(threshold.threshold for threshold in model.thresholds.values())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        floors = np.full(logits.shape[1], min(FLOOR, least))
        took = seconds(lambda: all_bigwigs(folder, logits, logit(floors)), rounds)
        rows.append(row("bigWig", logits, took, folder.glob("*.bw")))
    for kind in ("uint8", "fp16"):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name, "z")
            sizes = {"contig": len(logits) * STRIDE}
            tracks = ZarrTracks.create(folder, sizes, model.labels, STRIDE, kind)
            encode(logits[:1], kind)  # compiles
            took = seconds(lambda tracks=tracks: put(tracks, logits), rounds)
            entry = row(f"zarr {kind}", logits, took, (folder / "contig").rglob("*"))
            encoding = seconds(lambda kind=kind: in_chunks(encode, logits, kind), rounds)
            entry["encoded_m_s"] = rate(logits.size, encoding)
            rows.append(entry | reads(tracks.group["contig"], rounds))
    return [dict.fromkeys(rows[-1], "") | row for row in rows]


def all_bigwigs(folder: Path, logits: np.ndarray, floors: np.ndarray) -> None:
    shard = TrackShard(folder / "shard", floors)
    for first in range(0, len(logits), 2**15):
        shard.add(first, logits[first : first + 2**15])
    shard.finish()
    sizes, labels = {"contig": len(logits) * STRIDE}, logits.shape[1]
    for label in range(labels):
        path = str(folder / f"{label}.bw")
        write_bigwig(Track(path, sizes, [[str(shard.path)]], labels, label, STRIDE))


def in_chunks(function, logits: np.ndarray, *rest) -> None:
    for first in range(0, len(logits), ZarrTracks.CHUNK_STEPS):
        function(logits[first : first + ZarrTracks.CHUNK_STEPS], *rest)


def put(tracks: ZarrTracks, logits: np.ndarray) -> None:
    for first in range(0, len(logits), tracks.CHUNK_STEPS):
        levels = encode(logits[first : first + tracks.CHUNK_STEPS], tracks.kind)
        tracks.put("contig", first, levels)


def of_chunks(logits: np.ndarray, rounds: int) -> list[dict]:
    levels, rows = encode(logits, "uint8"), []
    for steps, labels, codec, by_label in CHUNKS:
        with tempfile.TemporaryDirectory() as name:
            array = zarr.create_group(name).create_array(
                "contig",
                shape=levels.shape,
                dtype=np.uint8,
                chunks=(steps, labels),
                filters=[TransposeCodec(order=(1, 0))] if by_label else None,
                compressors=CODECS[codec],
                fill_value=NO_SCORE,
                config={"write_empty_chunks": True},
            )

            def write(array=array, at_once=max(steps, 2**16)) -> None:  # noqa: B008
                for first in range(0, len(levels), at_once):
                    array[first : first + at_once] = levels[first : first + at_once]

            took = seconds(write, rounds)
            side = f"{steps} x {labels}, {codec}, {'label' if by_label else 'step'} by "
            side += "label" if by_label else "step"
            paths = Path(name, "contig").rglob("*")
            rows.append(row(side, levels, took, paths, encoded_m_s="") | reads(array, rounds))
    return rows


def row(side: str, values: np.ndarray, took: float, paths, **more) -> dict:
    files = [path.stat().st_size for path in paths if path.is_file()]
    return {
        "side": side,
        "bytes_per_value": f"{sum(files) / values.size:.3f}",
        "files": len(files),
        "written_m_s": rate(values.size, took),
        **more,
    }


def reads(array, rounds: int) -> dict:
    steps = array.shape[0]
    starts = range(0, steps - REGION, steps // 16)
    label = seconds(lambda: array[:, array.shape[1] // 2], rounds)
    region = seconds(lambda: [array[at : at + REGION] for at in starts], rounds) / len(starts)
    return {
        "label_m_s": rate(steps, label),
        "region_ms": f"{region * 1e3:.3g}",
        "all_m_s": rate(array.size, seconds(lambda: array[:], rounds)),
    }


def rate(values: int, took: float) -> str:
    return f"{values / took / 1e6:.4g}"


OF_EXAMPLE = {"calls": calls, "shards": shards, "tracks": tracks, "bigwigs": bigwigs}
OF_FASTA = {"formats": formats, "chunks": chunks}
CASES = OF_EXAMPLE | OF_FASTA


def main() -> None:
    flags = parser(__doc__, rounds=5)
    flags.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)}")
    flags.add_argument("--fasta", type=Path, help="for formats and chunks")
    flags.add_argument("--steps", type=int, default=2**20, help="of its first contig")
    args = flags.parse_args()
    if set(args.cases) & set(OF_FASTA) and not args.fasta:
        flags.error("formats and chunks need --fasta")
    for case in args.cases or (OF_FASTA if args.fasta else OF_EXAMPLE):
        CASES[case](args)


if __name__ == "__main__":
    main()
