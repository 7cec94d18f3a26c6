"""``tcnfast evaluate``: from files on disk to a table of scores."""

from __future__ import annotations

import logging
import sys

from .dataset import open_dataset, read_split
from .errors import TcnfastError
from .evaluate import evaluate
from .genome import Genome
from .metrics import MIN_POSITIVES
from .model import load_model
from .plan import Plan

log = logging.getLogger(__name__)

STRANDS = {"none": "+", "mean": "both"}


def evaluate_model(
    model: str,
    genome: list[str],
    peaks: list[str],
    split: str,
    part: str,
    *,
    ambiguous: list[str] = (),
    blacklist: str | None = None,
    rc: str = "mean",
    stride: int = 32,
    device: str = "auto",
    precision: str = "auto",
    backend: str = "auto",
) -> None:
    """Print AP, AUROC, positives and chance of every label on one part of the split, as TSV."""
    if rc not in STRANDS:
        raise TcnfastError(f"evaluate scores with --rc {' or '.join(STRANDS)}, not {rc}")
    network = load_model(model)
    with Genome(*genome) as opened:
        regions = read_split(split, opened.sizes)[part]
        dataset = open_dataset(opened, peaks, ambiguous, blacklist, network.labels)
        dataset.label_bin = network.config.label_bin
        plan = Plan(network, device, precision, stride, backend, STRANDS[rc])
        scores = evaluate(plan, dataset, regions)
    print("label\tAP\tAUROC\tpositives\tchance")
    for row in zip(scores.labels, scores.ap, scores.auroc, scores.positives, scores.chance,
                   strict=True):  # fmt: skip
        print("{}\t{:.4f}\t{:.4f}\t{}\t{:.5f}".format(*row))
    sys.stdout.flush()
    log.info(
        "macro-AP %.4f, macro-AUROC %.4f over %d labels with at least %d bound windows",
        scores.macro("ap"), scores.macro("auroc"),
        scores.counted().sum(), MIN_POSITIVES,
    )  # fmt: skip
