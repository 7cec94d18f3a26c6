"""Options of `tcnfast train` compared on validation: docs/training.md says what came of it.

    python -m benchmarks.studies.training --data ../shared/data --seeds 1 2
    python -m benchmarks.studies.training --data ../shared/data --flags="--dropout 0 --channels 96"

An option is flags of `tcnfast train` on top of the first edition's (FIRST_EDITION below), so what
is measured is what a user types. All train for the same number of steps, each with a whole cosine
schedule, and are scored on the validation part after the last step: no epoch is chosen. The test
part is not touched. One row of results/training_options.tsv is written as soon as it is there.
"""

from __future__ import annotations

import argparse
import csv
import shlex
import subprocess
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch

from benchmarks.studies.encode_data import ROOT, load_dataset
from tcnfast.base.options import option_fields
from tcnfast.cli import build_parser
from tcnfast.engines.plan import Plan
from tcnfast.evaluate.predict import evaluate
from tcnfast.model.tcn import TCN
from tcnfast.pwm.meme import read_meme
from tcnfast.train.fit import fit
from tcnfast.train.motif_init import set_motif_filters
from tcnfast.train.train_config import TrainConfig, TrainOptions

SPLIT = ROOT / "examples/encode-v1.split.json"
RESULTS = ROOT / "benchmarks/results"
TABLE = RESULTS / "training_options.tsv"
FLOORS = RESULTS / "encode-v1.valid.tsv"  # has the best motif and CpG content of every label
MOTIFS = "motifs/jaspar2024_core_vertebrates.meme.gz"

# all of it: what training does by default may change
FIRST_EDITION = (
    "--channels 64 --kernel-size 3 --blocks 8 --first-kernel 19 --dropout 0.1 --batch-size 64 "
    "--tile-steps 16 --enriched 0.7 --label-power 0.5 --learning-rate 0.003 --weight-decay 0.05 "
    "--norm batch --alignment centred --stride 32 --precision auto --mutate 0 --hard 0 --ema 0 "
    "--loss bce --positive-weight 1 --edge hard --strands one --accumulate 1"
)
OPTIONS = (
    "",
    "--dropout 0.3",
    "--dropout 0",
    "--dropout 0 --mutate 0.05",
    "--dropout 0 --mutate 0.1",
    "--dropout 0 --ema 0.998",
    "--dropout 0 --strands mean",
    "--dropout 0 --channels 96",
    "--dropout 0 --blocks 7",
    "--dropout 0 --blocks 9",
    "--dropout 0 --enriched 0.5",
    "--dropout 0 --enriched 0.9",
    "--dropout 0 --weight-decay 0.3",
)


class Study:
    """The data and the schedule that all options share."""

    def __init__(self, data: Path, steps: int) -> None:
        self.dataset, self.split = load_dataset(data, SPLIT)
        self.motifs, self.steps = data / MOTIFS, steps
        self.floors = read_floors(self.dataset.labels)

    def settings(self, flags: str, seed: int) -> TrainOptions:
        """What ``tcnfast train`` would make of the flags; the last of a kind wins."""
        shared = f"--motifs {shlex.quote(str(self.motifs))} --steps {self.steps} --seed {seed}"
        return train_options(shlex.split(f"{FIRST_EDITION} {shared} {flags}"))

    def run(self, flags: str, seed: int) -> dict[str, object]:
        """Train with one option; returns its row."""
        options = self.settings(flags, seed)
        torch.manual_seed(seed)
        model = TCN(options.shape(self.dataset.labels))
        if options.motifs:
            set_motif_filters(model, read_meme(options.motifs))
        config = replace(options.narrowed(TrainConfig), epoch_steps=options.steps)
        marks: list[float] = []

        def make_plan(*given, **options) -> Plan:
            # before the first step, and before each validation
            marks.append(time.process_time())
            return Plan(*given, **options)

        epoch = fit(model, self.dataset, self.split["train"], self.split["valid"], config,
                    progress=False, make_plan=make_plan)[-1]  # fmt: skip
        both = evaluate(Plan(model, stride=config.stride, strand="both"), self.dataset,
                        self.split["valid"])  # fmt: skip
        ctcf = np.array([label.startswith("CTCF@") for label in both.labels])
        counted = both.counted()
        return {
            "flags": flags or "(first edition)",
            "seed": seed,
            "steps": config.steps,
            "ap": f"{epoch.scores.macro('ap'):.4f}",
            "ap_both": f"{both.macro('ap'):.4f}",
            "auroc_both": f"{both.macro('auroc'):.4f}",
            "ctcf_both": f"{both.ap[ctcf].mean():.4f}",
            "ctcf_h1_both": f"{both.ap[both.labels.index('CTCF@H1-hESC')]:.4f}",
            "above_floors": f"{(both.ap > self.floors)[counted].sum()}/{counted.sum()}",
            "loss": f"{epoch.loss:.5f}",
            "cpu_ms": f"{1e3 * (marks[1] - marks[0]) / config.steps:.1f}",
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "date": datetime.now(UTC).strftime("%Y-%m-%d"),
            "commit": commit(),
        }


def train_options(words: Sequence[str]) -> TrainOptions:
    """The options of ``tcnfast train`` that these words of a command line ask for."""
    given = vars(build_parser().parse_args(["train", *words]))
    names = option_fields(TrainOptions)
    return TrainOptions(**{name: value for name, value in given.items() if name in names})


def read_floors(labels: list[str]) -> np.ndarray:
    """The higher AP of each label's best JASPAR motif and of CpG content, float64 (labels,)."""
    with open(FLOORS, newline="") as file:
        rows = csv.DictReader((line for line in file if line[:1] != "#"), delimiter="\t")
        found = {r["label"]: max(float(r["best_motif_AP"]), float(r["CpG_AP"])) for r in rows}
    return np.array([found[label] for label in labels])


def commit() -> str:
    """Short hash, with "-dirty" where files differ from it."""
    words = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    return subprocess.run(words, capture_output=True, text=True).stdout.strip() or "none"


def append(row: dict[str, object]) -> None:
    new = not TABLE.exists()
    with open(TABLE, "a", newline="") as file:
        writer = csv.DictWriter(file, list(row), delimiter="\t", lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow(row)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("--data", type=Path, default=ROOT / "../shared/data")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--flags", action="append", help="an option (default: all of the page)")
    args = parser.parse_args()
    study = Study(args.data, args.steps)
    for flags in args.flags or OPTIONS:
        for seed in args.seeds:
            row = study.run(flags, seed)
            append(row)
            print(*row.values(), sep="\t", flush=True)


if __name__ == "__main__":
    main()
