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

import numpy as np
import torch
from sklearn.preprocessing import normalize
from sklearn.svm import LinearSVC

from benchmarks.harness import PROCESSOR, append, compare
from benchmarks.studies.gapped_kmers import gapped_kmer_counts
from tcnfast.genome.labels import BOUND
from tcnfast.model.metrics import score_labels
from tcnfast.windows.gkm_gram import gram
from tcnfast.windows.gkm_kernel import GkmKernel
from tcnfast.windows.gkm_svm import GkmSVM
from tcnfast.windows.window_config import WindowConfig
from tcnfast.windows.window_set import WindowSet


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
        row = {"side": "tcnfast, d=3", "train_s": f"{seconds:.4g}", "ratio": "",
               "score_s_per_1000": "", "score_ratio": "", "auroc": ""}  # fmt: skip
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
