"""Gapped k-mer SVM: training and scoring, beside sparse counts and scikit-learn's LinearSVC.

    python -m benchmarks.studies.gkm SET --windows 1000 --rounds 3
    python -m benchmarks.studies.gkm SET --kernel 1000 3000 10000

SET is a folder of `tcnfast windows prepare`. Seconds are those of the processor, one thread, from
codes in memory to a trained machine, and from codes to scores. Counts know no limit of mismatches,
so the side "d=4" is the one to hold them against (l=11, k=7: all mismatches); "d=3" is our default.
AUROC is of the validation part.
"""

from __future__ import annotations

import argparse
from itertools import combinations

import numpy as np
import torch
from sklearn.preprocessing import normalize
from sklearn.svm import LinearSVC

from benchmarks.harness import PROCESSOR, append, compare
from tcnfast.base.jit import jit
from tcnfast.genome.labels import BOUND
from tcnfast.model.metrics import score_labels
from tcnfast.windows.gkm_gram import gram
from tcnfast.windows.gkm_kernel import GkmKernel, lmers, reverse_lmer
from tcnfast.windows.gkm_svm import GkmSVM
from tcnfast.windows.window_config import WindowConfig
from tcnfast.windows.window_set import WindowSet

_ODD = 0x9E3779B1  # 2^32 / golden ratio: consecutive features land far apart


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


SIDES = {
    "sparse counts, LinearSVC": counts(None),
    "counts hashed to 2^20, LinearSVC": counts(20),
    "tcnfast, d=4": machine(4),
    "tcnfast, d=3": machine(3),
}


def measure(train: WindowSet, valid: WindowSet, rounds: int) -> list[dict]:
    fits = {name: lambda side=side: side(train, valid) for name, side in SIDES.items()}
    scorers, fitting = compare(fits, rounds, PROCESSOR)
    scale = dict.fromkeys(SIDES, 1000 / len(valid))
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
        for name in SIDES
    ]


def kernel_rows(sizes: list[int], length: int) -> None:
    rng = np.random.default_rng(0)
    for size in sizes:
        codes = rng.integers(0, 4, (size, length), np.uint8)
        seconds = PROCESSOR.called(lambda codes=codes: gram(codes, GkmKernel()))
        row = dict.fromkeys(("ratio", "score_s_per_1000", "score_ratio", "auroc"), "")
        row = {"side": "tcnfast, d=3", "train_s": f"{seconds:.4g}", **row}
        case = f"kernel matrix alone, {size} random windows of {length} bp, processor time"
        append("gkm", case, [row])
        print(case, row["train_s"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("set")
    parser.add_argument("--windows", type=int, help="for training; all by default")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--kernel", type=int, nargs="*", default=[], help="only the kernel matrix")
    args = parser.parse_args()
    torch.set_num_threads(1)
    windows = WindowSet.open(args.set)
    gram(windows.codes[:4], GkmKernel())  # compiled
    if args.kernel:
        return kernel_rows(args.kernel, windows.length)
    train, valid = windows.select("train"), windows.select("valid")
    rng = np.random.default_rng(0)
    train = train.take(rng.permutation(len(train))[: args.windows])
    for side in SIDES.values():
        side(train.take(np.arange(40)), valid)()  # compiled
    rows = measure(train, valid, args.rounds)
    case = f"{windows.name}: {len(train)} windows of {windows.length} bp, processor time"
    append("gkm", case, rows)
    for row in rows:
        print(*row.values(), sep="\t")


if __name__ == "__main__":
    main()
