"""Patterns in sequence, without a network: hits of motifs, and gapped k-mers, each against the
tools of the field.

    python -m benchmarks.scan.patterns hits chr20.fa --region chr20:30000001-34000000
    python -m benchmarks.scan.patterns hits chr20.fa chrX.fa
    python -m benchmarks.scan.patterns gkm SET --windows 1000 --rounds 3
    python -m benchmarks.scan.patterns gkm SET --kernel 1000 3000 10000

hits  Hits of all JASPAR motifs in a piece of a chromosome: tcnfast, memelite's FIMO and MOODS.
      Every side gets the same codes, motifs and p-value, scores with the same log-odds over uniform
      bases (memelite has no other background, and its pseudocount is used), and runs on one thread.
      Seconds are those of the processor, preparation (tables, p-values) and hits together, medians
      of interleaved rounds; ``prepare_s`` is the part that does not grow with the sequence, where a
      side tells it. Hits are compared site by site: MOODS is given our cutoffs and must find the
      same; memelite rounds every column to ``bin_size`` for its p-values, so its cutoffs differ a
      little, and it reports sites of motifs whose best p-value is above the threshold. ``--moods``:
      where MOODS-python (GPL, no dependency of ours) is installed; without it that side is left
      out. Without a region the whole of ``tcnfast scan --motifs`` is measured, with all that it
      reads and writes, on one thread. Rows go to results/motif_scan.csv, motif_scan_genome.csv.
gkm   Gapped k-mer SVM: training and scoring, beside sparse counts and scikit-learn's LinearSVC. SET
      is a folder of `tcnfast windows prepare`. Seconds are those of the processor, one thread, from
      codes in memory to a trained machine, and from codes to scores. Counts know no limit of
      mismatches, so the side "d=4" is the one to hold them against (l=11, k=7: all mismatches);
      "d=3" is our default. AUROC is of the validation part. Rows go to results/gkm.csv.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numba
import numpy as np
import torch
from sklearn.preprocessing import normalize
from sklearn.svm import LinearSVC

import tcnfast
from benchmarks.harness import PROCESSOR, append, compare, share_flags
from tcnfast.base.jit import jit
from tcnfast.genome.codes import N
from tcnfast.genome.genome import Genome, parse_region
from tcnfast.genome.labels import BOUND
from tcnfast.model.metrics import score_labels
from tcnfast.pwm.log_odds import UNIFORM, UNITS_PER_BIT
from tcnfast.pwm.meme import DATABASE, read_meme
from tcnfast.pwm.packed_hits import unpack
from tcnfast.pwm.pvalues import score_tail
from tcnfast.pwm.seed_hits import build_tables, find_hits
from tcnfast.windows.gkm_gram import gram
from tcnfast.windows.gkm_kernel import GkmKernel, lmers, reverse_lmer
from tcnfast.windows.gkm_svm import GkmSVM
from tcnfast.windows.window_config import WindowConfig
from tcnfast.windows.window_set import WindowSet

Side = Callable[[], tuple[float, object]]  # seconds of preparation, and hits of any kind
EPS = 1e-4  # memelite's pseudocount
_ODD = 0x9E3779B1  # 2^32 / golden ratio: consecutive features land far apart


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


def hits(args: argparse.Namespace) -> None:
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
    if not args.dry:
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
    if not args.dry:
        case = f"{len(motifs)} motifs, {codes.size / 1e6:g} Mb, p {args.p_value:g}, one thread"
        append("motif_scan", case, rows)


def gapped_kmer_counts(
    codes: np.ndarray, width: int = 11, k: int = 7, hash_bits: int | None = None
):
    """The features that gkm-svm's kernel stands for, without which GkmSVM does: counts of gapped
    k-mers of both strands, uint8 codes (n, L) -> a scipy CSR matrix float32
    (n, C(width, k) 4^k).

    A gapped k-mer and its reverse complement are one feature, at the lower column of the two; one
    that is its own (``k`` even) counts sqrt(2) each time, because it is there on both strands, so
    that inner products are those of the kernel. ``hash_bits``: columns are hashed to
    2^hash_bits; what collides is added up.
    """
    from scipy.sparse import csr_array

    kernel = GkmKernel(width, k, width - k)
    patterns = np.array(list(combinations(range(width), k)), np.int64)
    rank = {tuple(pattern): i for i, pattern in enumerate(patterns.tolist())}
    mirror = np.array([rank[tuple(width - 1 - p for p in row[::-1])] for row in patterns.tolist()])
    words = lmers(codes, kernel.l)
    columns, values, sizes = [], [], np.zeros(len(words) + 1, np.int64)
    for i, row in enumerate(words):
        found, weight = _features(row[row >= 0], 2 * (width - 1 - patterns), mirror)
        if hash_bits is not None:
            found = (found * _ODD & 0xFFFFFFFF) >> (32 - hash_bits)
        unique, place = np.unique(found, return_inverse=True)
        columns.append(unique.astype(np.int32))
        values.append(np.bincount(place, weight, len(unique)).astype(np.float32))
        sizes[i + 1] = len(unique)
    width = len(patterns) * 4**k if hash_bits is None else 2**hash_bits
    data = np.concatenate([np.zeros(0, np.float32), *values])
    indices = np.concatenate([np.zeros(0, np.int32), *columns])
    ends = np.cumsum(sizes)
    if ends[-1] < 2**31:  # scikit-learn takes no other
        ends = ends.astype(np.int32)
    return csr_array((data, indices, ends), shape=(len(words), width))


@jit
def _features(words, shifts, mirror):
    """Columns int64 and what each adds, float64; both (words x patterns,)."""
    patterns, k = shifts.shape
    columns = np.empty(words.size * patterns, np.int64)
    adds = np.ones(words.size * patterns)
    place = 0
    for word in words:
        for p in range(patterns):
            letters = np.int64(0)
            for shift in shifts[p]:
                letters = (letters << 2) | ((np.int64(word) >> shift) & 3)
            plus = (p << (2 * k)) | letters
            minus = (mirror[p] << (2 * k)) | reverse_lmer(letters, k)
            columns[place] = min(plus, minus)
            if plus == minus:
                adds[place] = np.sqrt(2.0)
            place += 1
    return columns, adds


def machine(d: int):
    def side(train: WindowSet, valid: WindowSet):
        model = GkmSVM(train.names, train.length, d=d)
        model.fit(train, valid.take(np.arange(0)), WindowConfig())  # no Platt scaling

        def score():
            with torch.no_grad():
                return model(torch.from_numpy(valid.codes)).numpy()

        return score

    return side


def counts(hash_bits: int | None):
    def side(train: WindowSet, valid: WindowSet):
        features = normalize(gapped_kmer_counts(train.codes, hash_bits=hash_bits))
        fitted = LinearSVC(loss="hinge", max_iter=10_000).fit(features, train.labels[:, 0] == BOUND)

        def score():
            found = normalize(gapped_kmer_counts(valid.codes, hash_bits=hash_bits))
            return fitted.decision_function(found)[:, None].astype(np.float32)

        return score

    return side


MACHINES = {
    "sparse counts, LinearSVC": counts(None),
    "counts hashed to 2^20, LinearSVC": counts(20),
    "tcnfast, d=4": machine(4),
    "tcnfast, d=3": machine(3),
}


def measure(train: WindowSet, valid: WindowSet, rounds: int) -> list[dict]:
    fits = {name: lambda side=side: side(train, valid) for name, side in MACHINES.items()}
    scorers, fitting = compare(fits, rounds, PROCESSOR)
    scale = dict.fromkeys(MACHINES, 1000 / len(valid))
    logits, scoring = compare(scorers, rounds, PROCESSOR, scale)
    aurocs = {
        name: score_labels(valid.names, found, valid.labels).auroc[0]
        for name, found in logits.items()
    }
    base = fitting["sparse counts, LinearSVC"], scoring["sparse counts, LinearSVC"]
    return [
        {
            "side": name,
            "train_s": f"{fitting[name]:.4g}",
            "ratio": f"{base[0] / fitting[name]:.2f}",
            "score_s_per_1000": f"{scoring[name]:.4g}",
            "score_ratio": f"{base[1] / scoring[name]:.2f}",
            "auroc": f"{aurocs[name]:.4f}",
        }
        for name in MACHINES
    ]


def kernel_rows(sizes: list[int], length: int, dry: bool) -> None:
    rng = np.random.default_rng(0)
    for size in sizes:
        codes = rng.integers(0, 4, (size, length), np.uint8)
        seconds = PROCESSOR.called(lambda codes=codes: gram(codes, GkmKernel()))
        row = dict.fromkeys(("ratio", "score_s_per_1000", "score_ratio", "auroc"), "")
        row = {"side": "tcnfast, d=3", "train_s": f"{seconds:.4g}", **row}
        case = f"kernel matrix alone, {size} random windows of {length} bp, processor time"
        if not dry:
            append("gkm", case, [row])
        print(case, row["train_s"])


def gkm(args: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    windows = WindowSet.open(args.set)
    gram(windows.codes[:4], GkmKernel())  # compiled
    if args.kernel:
        return kernel_rows(args.kernel, windows.length, args.dry)
    train, valid = windows.select("train"), windows.select("valid")
    rng = np.random.default_rng(0)
    train = train.take(rng.permutation(len(train))[: args.windows])
    for side in MACHINES.values():
        side(train.take(np.arange(40)), valid)()  # compiled
    rows = measure(train, valid, args.rounds)
    case = f"{windows.name}: {len(train)} windows of {windows.length} bp, processor time"
    if not args.dry:
        append("gkm", case, rows)
    for row in rows:
        print(*row.values(), sep="\t")


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    cases = flags.add_subparsers(required=True)
    case = cases.add_parser("hits", help="of all JASPAR motifs")
    share_flags(case, rounds=3)
    case.add_argument("genome", nargs="+")
    case.add_argument("--region")
    case.add_argument("--moods", metavar="FOLDER")
    case.add_argument("--p-value", type=float, default=1e-4)
    case.set_defaults(run=hits)
    case = cases.add_parser("gkm", help="gapped k-mer SVM")
    share_flags(case, rounds=1)
    case.add_argument("set")
    case.add_argument("--windows", type=int, help="for training; all by default")
    case.add_argument("--kernel", type=int, nargs="*", default=[], help="only the kernel matrix")
    case.set_defaults(run=gkm)
    args = flags.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
