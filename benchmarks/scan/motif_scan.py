"""Hits of all JASPAR motifs in a piece of a chromosome: tcnfast, memelite's FIMO and MOODS.

    python -m benchmarks.scan.motif_scan chr20.fa --region chr20:30000001-34000000 [--moods FOLDER]
    python -m benchmarks.scan.motif_scan chr20.fa chrX.fa

Every side gets the same codes, motifs and p-value, scores with the same log-odds over uniform bases
(memelite has no other background, and its pseudocount is used), and runs on one thread. Seconds are
those of the processor, preparation (tables, p-values) and hits together, medians of interleaved
rounds; ``prepare_s`` is the part that does not grow with the sequence, where a side tells it. Hits
are compared site by site: MOODS is given our cutoffs and must find the same; memelite rounds every
column to ``bin_size`` for its p-values, so its cutoffs differ a little, and it reports sites of
motifs whose best p-value is above the threshold. ``--moods``: where MOODS-python (GPL, no
dependency of ours) is installed; without it that side is left out. Without a region the whole of
``tcnfast scan --motifs`` is measured, with all that it reads and writes, on one thread.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numba
import numpy as np
import torch

import tcnfast
from benchmarks.harness import PROCESSOR, append, compare
from tcnfast.genome.codes import N
from tcnfast.genome.genome import Genome, parse_region
from tcnfast.pwm.log_odds import UNIFORM, UNITS_PER_BIT
from tcnfast.pwm.meme import DATABASE, read_meme
from tcnfast.pwm.packed_hits import unpack
from tcnfast.pwm.pvalues import score_tail
from tcnfast.pwm.seed_hits import build_tables, find_hits

Side = Callable[[], tuple[float, object]]  # seconds of preparation, and hits of any kind
EPS = 1e-4  # memelite's pseudocount


def ours(codes: np.ndarray, units: list[np.ndarray], p: float) -> Side:
    def run():
        started = time.process_time()
        cutoffs = [score_tail(matrix, UNIFORM, p).cutoff(p) for matrix in units]
        tables = build_tables(units, cutoffs, codes.size)
        prepared = time.process_time() - started
        return prepared, find_hits(codes, codes.size, tables)

    return run


def moods(folder: str, codes: np.ndarray, units: list[np.ndarray], p: float) -> Side:
    sys.path.insert(0, folder)
    import MOODS.scan

    letters = np.frombuffer(b"ACGTN", np.uint8)[codes].tobytes().decode()
    bits = [(matrix / UNITS_PER_BIT).T for matrix in units]
    strands = [side.tolist() for m in bits for side in (m, m[::-1, ::-1])]
    cutoffs = [score_tail(m, UNIFORM, p).cutoff(p) / UNITS_PER_BIT for m in units for _ in "+-"]

    def run():
        started = time.process_time()
        scanner = MOODS.scan.Scanner(7)  # its own default
        scanner.set_motifs(strands, list(UNIFORM), cutoffs)
        prepared = time.process_time() - started
        return prepared, scanner.scan(letters)

    return run


def memelite(codes: np.ndarray, motifs, p: float, bin_size: float) -> Side:
    from memelite import fimo

    matrices = {motif.id: np.ascontiguousarray(motif.probabilities.T) for motif in motifs}
    one_hot = np.ascontiguousarray(np.eye(5, 4, dtype=np.int8)[codes].T[None])
    return lambda: (float("nan"), fimo(matrices, one_hot, bin_size=bin_size, threshold=p))


def sites(side: str, hits) -> np.ndarray:
    """Motif, start and strand of hits as one number each, sorted."""
    if side == "tcnfast":
        motif, start, strand, _ = unpack(hits)
    elif side == "MOODS":
        rows = [(row, match.pos) for row, found in enumerate(hits) for match in found]
        row, start = np.array(rows, np.int64).reshape(-1, 2).T
        motif, strand = row >> 1, row & 1
    else:
        counts = [len(table) for table in hits]
        motif = np.repeat(np.arange(len(hits)), counts)
        start = np.concatenate([table["start"].to_numpy(np.int64) for table in hits])
        strand = np.concatenate([(table["strand"] == "-").to_numpy(np.int64) for table in hits])
    return np.sort((motif << 40) | (start << 1) | strand)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("genome", nargs="+")
    parser.add_argument("--region")
    parser.add_argument("--moods", metavar="FOLDER")
    parser.add_argument("--p-value", type=float, default=1e-4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-record", action="store_true")
    args = parser.parse_args()
    numba.set_num_threads(1)
    torch.set_num_threads(1)
    if args.region is None:
        measure_scan(args)
    else:
        compare_sides(args)


def measure_scan(args: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        started, worked = time.perf_counter(), time.process_time()
        out = Path(folder) / "s"
        result = tcnfast.scan(args.genome, out=out, motifs=DATABASE, p_value=args.p_value)
        cpu, wall = time.process_time() - worked, time.perf_counter() - started
        size = sum(path.stat().st_size for path in (result.path / "hits").iterdir())
        summary = result.summary
    chroms = set(summary["chrom"]) - {"all"}
    with Genome(*args.genome) as genome:
        bases = sum(genome.sizes[chrom] for chrom in chroms)
    hits = summary["hits"][summary["chrom"] == "all"].sum()
    row = {
        "cpu_s": f"{cpu:.3g}",
        "wall_s": f"{wall:.3g}",
        "mbp_per_cpu_s": f"{bases / cpu / 1e6:.3g}",
        "hits": hits,
        "output_mb": f"{size / 1e6:.0f}",
        "resident_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    print(row)
    if not args.no_record:
        case = f"879 motifs, {bases / 1e6:.0f} Mb, p {args.p_value:g}, one thread, imports apart"
        append("motif_scan_genome", case, [row])


def compare_sides(args: argparse.Namespace) -> None:
    with Genome(*args.genome) as genome:
        codes = genome.codes(*parse_region(args.region))
    if (codes == N).any():  # no hit here and in MOODS, but a score of 0 a base in memelite
        raise SystemExit(f"{args.region}: holds N; give a region without")
    motifs = read_meme(DATABASE)
    logs = [np.log2(motif.probabilities + EPS) - np.log2(0.25 + EPS) for motif in motifs]
    units = [np.rint(matrix * UNITS_PER_BIT).astype(np.int64) for matrix in logs]

    def sides_of(codes: np.ndarray) -> dict[str, Side]:
        found = {"tcnfast": ours(codes, units, args.p_value)}
        for size in (0.1, 0.01):
            found[f"memelite, bins of {size} bits"] = memelite(codes, motifs, args.p_value, size)
        if args.moods:
            found["MOODS"] = moods(args.moods, codes, units, args.p_value)
        return found

    for run in sides_of(codes[:20_000]).values():
        run()  # compiled once
    sides = sides_of(codes)
    prepared = {side: [] for side in sides}

    def keep(side: str) -> object:
        preparation, hits = sides[side]()
        prepared[side].append(preparation)
        return hits

    given, seconds = compare({s: lambda s=s: keep(s) for s in sides}, args.rounds, PROCESSOR)
    found = {side: sites(side, hits) for side, hits in given.items()}
    rows = []
    for side in sides:
        median = seconds[side]
        common = np.intersect1d(found[side], found["tcnfast"], assume_unique=True).size
        rows.append(
            {
                "side": side,
                "cpu_s": f"{median:.3g}",
                "prepare_s": f"{statistics.median(prepared[side]):.3g}",
                "mbp_per_s": f"{codes.size / median / 1e6:.3g}",
                "tcnfast_is_faster": f"{median / seconds['tcnfast']:.2f}",
                "hits": found[side].size,
                "hits_only_here": found[side].size - common,
                "hits_missed": found["tcnfast"].size - common,
            }
        )
        print(rows[-1])
    if not args.no_record:
        case = f"{len(motifs)} motifs, {codes.size / 1e6:g} Mb, p {args.p_value:g}, one thread"
        append("motif_scan", case, rows)


if __name__ == "__main__":
    main()
