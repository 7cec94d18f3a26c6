"""Dense tracks: `python -m benchmarks.scan.dense_tracks FASTA` scores a contig with the default
model and writes the first `--steps` steps of all its tracks, on one processor.

formats   what a scan can write: sparse bigWigs at the default floor, zarr of uint8 and of fp16;
          bytes a value, values a second, and how long a reader of zarr takes to get the track of
          one label, all labels of 10 kb, and everything.
chunks    the same of other chunks and codecs of uint8, by which zarr_tracks.py was laid out.

Seconds are of the processor, threads summed, not of the clock: other work on the machine disturbs
them less. Medians of `--rounds`. Rows go to results/zarr_tracks.csv, unless `--dry`.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import zarr
from zarr.codecs import BloscCodec, TransposeCodec, ZstdCodec

import tcnfast
from benchmarks.harness import PROCESSOR, append, compare, show
from benchmarks.scan.runs import contig_segments
from tcnfast.base.logits import logit
from tcnfast.genome.genome import Genome
from tcnfast.scan.pipeline import Scorer
from tcnfast.scan.track_bigwig import Track, write_bigwig
from tcnfast.scan.track_shards import TrackShard
from tcnfast.scan.zarr_tracks import NO_SCORE, ZarrTracks, encode

STRIDE, FLOOR = 32, 0.01
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


def main() -> None:
    parser = argparse.ArgumentParser(description="What dense tracks cost")
    parser.add_argument("fasta", type=Path)
    parser.add_argument("--steps", type=int, default=2**20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dry", action="store_true", help="write no results")
    args = parser.parse_args()
    model = tcnfast.load_model("encode-v1")
    with Genome(args.fasta) as genome:
        chrom = next(iter(genome.sizes))
        logits = np.empty((args.steps, len(model.labels)), np.float32)
        for segment in contig_segments(Scorer(model, device="cpu"), genome, chrom):
            part = logits[segment.first_step :][: len(segment.logits)]
            part[:] = segment.logits[: len(part)]
            if segment.first_step + len(segment.logits) >= args.steps:
                break
    case = f"{args.fasta.name} {chrom}, {args.steps} steps, {len(model.labels)} labels"
    for form, rows in (
        ("formats", formats(logits, model, args.rounds)),
        ("chunks", chunks(logits, args.rounds)),
    ):
        print(f"# {case}: {form}")
        show(rows)
        if not args.dry:
            append("zarr_tracks", f"{case}: {form}", rows)


def seconds(function: Callable[[], object], rounds: int) -> float:
    return compare({"side": function}, rounds, PROCESSOR)[1]["side"]


def formats(logits: np.ndarray, model, rounds: int) -> list[dict]:
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        floors = np.full(logits.shape[1], min(FLOOR, least_threshold(model)))
        took = seconds(lambda: bigwigs(folder, logits, logit(floors)), rounds)
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


def least_threshold(model) -> float:
    return min(threshold.threshold for threshold in model.thresholds.values())


def bigwigs(folder: Path, logits: np.ndarray, floors: np.ndarray) -> None:
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


def chunks(logits: np.ndarray, rounds: int) -> list[dict]:
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


if __name__ == "__main__":
    main()
