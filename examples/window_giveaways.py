"""What do lengths and composition of windows give away, before any motif is looked for?

Boosted trees on the number of known bases of a window, on the bases and pairs of bases in its
middle, and on both, trained on the train part of window sets and scored on their test part. A
network that is no better than these trees may have learned no more than they did. The middle is as
long as the shortest window of the set, so that its composition tells nothing of lengths.

    python examples/window_giveaways.py sets/ctcf-gm12878-article sets/ctcf-gm12878-gc

Prints set, features, AUROC and accuracy (cutoff 1/2) of the first label, separated by tabs.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import accuracy_score, roc_auc_score

from tcnfast.genome.codes import N
from tcnfast.genome.labels import BOUND
from tcnfast.windows.window_set import WindowSet


def features(codes: np.ndarray, middle: int) -> dict[str, np.ndarray]:
    """Of windows (n, length): columns of numbers by what they say."""
    length = (codes < N).sum(1, keepdims=True)
    start = (codes.shape[1] - middle) // 2
    codes = codes[:, start : start + middle]
    known = codes < N
    pairs = np.where(known[:, 1:] & known[:, :-1], codes[:, :-1] * 4 + codes[:, 1:], 16)
    counts = [(codes == base).sum(1) for base in range(4)]
    counts += [(pairs == pair).sum(1) for pair in range(16)]
    composition = np.stack(counts, 1)
    return {
        "length": length,
        "composition": composition,
        "both": np.hstack([length, composition]),
    }


def giveaways(windows: WindowSet) -> Iterator[tuple[str, float, float]]:
    """Features, AUROC and accuracy of trees that see them alone."""
    parts = [windows.select(part) for part in ("train", "test")]
    truth, test = ((part.labels[:, 0] == BOUND) for part in parts)
    middle = int((windows.codes < N).sum(1).min())
    seen, unseen = (features(part.codes, middle) for part in parts)
    for name, columns in seen.items():
        trees = HistGradientBoostingClassifier(max_depth=3, learning_rate=0.05, random_state=0)
        found = trees.fit(columns, truth).predict_proba(unseen[name])[:, 1]
        yield name, roc_auc_score(test, found), accuracy_score(test, found > 0.5)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", nargs="+", help="folders of tcnfast windows prepare")
    for folder in parser.parse_args(argv).sets:
        windows = WindowSet.open(folder)
        for name, auroc, accuracy in giveaways(windows):
            print(windows.name, name, f"{auroc:.3f}", f"{accuracy:.3f}", sep="\t", flush=True)


if __name__ == "__main__":
    main()
