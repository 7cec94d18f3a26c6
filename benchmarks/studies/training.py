"""Options of `tcnfast train` compared on validation: docs/training.md says what came of it.

    python -m benchmarks.studies.training --data ../shared/data --seeds 1 2
    python -m benchmarks.studies.training --data ../shared/data --flags="--dropout 0 --channels 96"
    python -m benchmarks.studies.training --data ../shared/data --cell GM12878 --out OUT

An option is flags of `tcnfast train` on top of the first edition's (FIRST_EDITION below), so what
is measured is what a user types. All train for the same number of steps, each with a whole cosine
schedule, and are scored on the validation part after the last step, every 32 bp: no epoch is
chosen. An epoch is all steps unless the flags say otherwise, as ``--hard`` needs. The test part is
not touched. One row of results/training_options.tsv is written as soon as it is there.

`--cell` trains a model of one cell line beside the joint one: on the labels of that cell alone,
with the settings of encode-v1 (`--steps N`), and saves the last weights, not calibrated. What they
are worth on validation, label by label and paired over blocks, is for `tcnfast evaluate -m OUT
--against encode-v1 --cutoff 0.5 --part valid` to say.

    python -m benchmarks.studies.training --data ../shared/data --teachers encode-v1 runs/s64 \\
      --others runs/lone --students runs/student --out build/distilled.tsv

`--students`, `--teachers` and `--others` score networks that are there on the same windows and both
strands (a symmetric network in one pass). "teachers" is the mean of the teachers' logits, whatever
their contexts; further means with `--floors`, as `--teacher-floor` has them. A row has macro-AP and
macro-AUROC with 95 % intervals over 1-Mb blocks, the mean AP of CTCF, and how many labels are above
their best JASPAR motif and CpG content; rows of students follow, minus each other network, paired
over the same blocks.
"""

from __future__ import annotations

import argparse
import csv
import json
import shlex
import sys
import time
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch

import tcnfast
from benchmarks.harness import RESULTS, ROOT, commit
from tcnfast.base.options import option_fields
from tcnfast.cli import build_parser
from tcnfast.data.dataset import Dataset, open_dataset
from tcnfast.data.splits import read_split
from tcnfast.engines.plan import Plan
from tcnfast.evaluate.assessment import Assessment, assess, compare
from tcnfast.evaluate.predict import describe_windows, evaluate, predict
from tcnfast.genome.genome import Genome, Region
from tcnfast.model.tcn import TCN
from tcnfast.pwm.meme import read_meme
from tcnfast.train.fit import fit
from tcnfast.train.motif_init import set_motif_filters
from tcnfast.train.teachers import shares
from tcnfast.train.train_config import TrainConfig, TrainOptions

SPLIT = ROOT / "examples/encode-v1.split.json"
STRIDE = 32  # of what is scored
MIN_PEAKS = 200  # training peaks a label needs
TABLE = RESULTS / "training_options.tsv"
MEAN = "teachers"
METRICS = "ap", "auroc"
ENDS = [f"{metric}_{end}" for metric in METRICS for end in ("", "low", "high", "p")]
COLUMNS = ["network", "minus", *(name.rstrip("_") for name in ENDS), "ctcf", "above", "commit"]
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


def load_dataset(data: Path, split_path: Path) -> tuple[Dataset, dict[str, list[Region]]]:
    """The peak sets that encode-v1 was trained on: labels of DREAM, and those of preciseTAD that
    DREAM lacks, with enough training peaks."""
    genome = Genome(data / "genome/hg19.chr20.fa.gz", data / "genome/hg19.chrX.first70M.fa.gz")
    split = read_split(split_path, genome.sizes)
    peaks = data / "peaks"
    dataset = open_dataset(
        genome,
        [
            peaks / "dream_conservative.hg19.chr20_X.bed.gz",
            peaks / "precisetad_gm12878_26tf.hg19.chr20_X.bed.gz",
        ],
        [peaks / "dream_relaxed.hg19.chr20_X.bed.gz"],
        peaks / "blacklist.hg19.chr20_X.bed.gz",
    )
    return dataset.drop_rare(split["train"], MIN_PEAKS)[0], split


class Study:
    """The data and the schedule that all options share."""

    def __init__(self, data: Path, steps: int) -> None:
        self.dataset, self.split = load_dataset(data, SPLIT)
        self.motifs, self.steps = data / MOTIFS, steps
        self.floors = read_floors(self.dataset.labels)

    def settings(self, flags: str, seed: int) -> TrainOptions:
        """What ``tcnfast train`` would make of the flags; the last of a kind wins."""
        steps = f"--steps {self.steps} --epoch-steps {self.steps}"
        shared = f"--motifs {shlex.quote(str(self.motifs))} {steps} --seed {seed}"
        return train_options(shlex.split(f"{FIRST_EDITION} {shared} {flags}"))

    def run(self, flags: str, seed: int) -> dict[str, object]:
        """Train with one option; returns its row."""
        options = self.settings(flags, seed)
        torch.manual_seed(seed)
        model = TCN(options.shape(self.dataset.labels))
        if options.motifs:
            set_motif_filters(model, read_meme(options.motifs))
        config = options.narrowed(TrainConfig)
        marks: list[float] = []
        last: dict[str, torch.Tensor] = {}

        def make_plan(*given, **options) -> Plan:
            # before the first step, and before each validation
            marks.append(time.process_time())
            return Plan(*given, **options | {"stride": STRIDE})

        def keep_last(judged: TCN, *_) -> None:
            last.update(deepcopy(judged.state_dict()))

        epoch = fit(
            model,
            self.dataset,
            self.split["train"],
            self.split["valid"],
            config,
            on_epoch=keep_last,
            progress=False,
            make_plan=make_plan,
        )[-1]
        model.load_state_dict(last)
        both = epoch.scores  # of a symmetric network: its strands score the same
        if not options.symmetric:
            plan = Plan(model, stride=STRIDE, strand="both")
            both = evaluate(plan, self.dataset, self.split["valid"])
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
            "cpu_ms": f"{1e3 * (marks[1] - marks[0]) / config.epoch_steps:.1f}",
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


def append(row: dict[str, object]) -> None:
    new = not TABLE.exists()
    with open(TABLE, "a", newline="") as file:
        writer = csv.DictWriter(file, list(row), delimiter="\t", lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow(row)


def one_cell(data: Path, cell: str, steps: int, out: Path) -> None:
    settings = json.loads((ROOT / "examples/encode-v1.json").read_text())
    flags = [f"--{name}={value}" for name, value in settings.items()]
    options = train_options([*flags, f"--steps={steps}"])
    dataset, split = load_dataset(data, SPLIT)
    dataset = dataset.select([x for x in dataset.labels if x.endswith(f"@{cell}")])
    torch.manual_seed(options.seed)
    model = TCN(options.shape(dataset.labels))
    set_motif_filters(model, read_meme(data / MOTIFS))
    config = replace(options.narrowed(TrainConfig), epoch_steps=options.steps)
    fit(model, dataset, split["train"], split["valid"], config, progress=False)
    model.save(out)


class Validation:
    """The windows of encode-v1's validation regions that every network can see whole."""

    def __init__(self, data: Path, reach: int, stride: int) -> None:
        dataset, split = load_dataset(data, SPLIT)
        self.dataset, self.regions = dataset, split["valid"]
        self.reach, self.stride, self.labels = reach, stride, list(dataset.labels)
        self.floors, self.windows = read_floors(self.labels), None

    def logits(self, model: tcnfast.TCN | tcnfast.Ensemble) -> np.ndarray:
        """Of both strands, float32 (windows, labels)."""
        plan = Plan(model, stride=self.stride, strand="both")
        logits, targets = predict(plan, self.dataset, self.regions, self.reach)
        if self.windows is None:
            about = targets, self.reach, self.stride
            self.windows = describe_windows(self.dataset, self.regions, *about)
        return logits[:, [plan.labels.index(label) for label in self.labels]]

    def assess(self, logits: np.ndarray) -> Assessment:
        return assess(self.windows, logits, np.full(len(self.labels), np.nan))


def score_row(name: str, one: Assessment, floors: np.ndarray) -> dict[str, object]:
    """A network by itself."""
    row: dict[str, object] = {"network": name}
    for metric in METRICS:
        low, high = one.macro_interval(metric)
        row |= {metric: one.macro(metric), f"{metric}_low": low, f"{metric}_high": high}
    ctcf = [label.startswith("CTCF@") for label in one.labels]
    row["ctcf"] = np.nanmean(one.values["ap"][ctcf])
    above = one.values["ap"] > floors
    return row | {"above": f"{above[one.counted].sum()}/{one.counted.sum()}"}


def difference_row(name: str, one: Assessment, rival: str, other: Assessment) -> dict[str, object]:
    """A student minus another network."""
    row: dict[str, object] = {"network": name, "minus": rival}
    for metric in METRICS:
        less = compare(one, other, metric)
        ends = less.macro, less.macro_low, less.macro_high, less.macro_p
        names = metric, f"{metric}_low", f"{metric}_high", f"{metric}_p"
        row |= dict(zip(names, ends, strict=True))
    return row


def compare_networks(args: argparse.Namespace) -> None:
    names = list(dict.fromkeys([*args.teachers, *args.others, *args.students]))
    models = {name: tcnfast.load_model(name) for name in names}
    reach = max(model.receptive_field for model in models.values())
    validation = Validation(args.data, reach, STRIDE)
    logits = {name: validation.logits(model) for name, model in models.items()}
    scored = {name: validation.assess(some) for name, some in logits.items()}
    networks = [len(models[name].members) for name in args.teachers]
    for floor in dict.fromkeys([0.0, *args.floors]) if networks else ():
        ap = np.stack([scored[name].values["ap"] for name in args.teachers])
        weights = shares(networks, ap, floor).astype(np.float32)
        mean = sum(w * logits[name] for w, name in zip(weights, args.teachers, strict=True))
        scored[MEAN + (f", floor {floor:g}" if floor else "")] = validation.assess(mean)
    rows = [score_row(name, one, validation.floors) for name, one in scored.items()]
    for student in args.students:
        rivals = [name for name in scored if name != student]
        rows += [difference_row(student, scored[student], x, scored[x]) for x in rivals]
    with args.out.open("w", newline="") if args.out else sys.stdout as file:
        writer = csv.DictWriter(file, COLUMNS, delimiter="\t", lineterminator="\n", restval="")
        writer.writeheader()
        for row in rows:
            words = {k: f"{v:.4f}" if isinstance(v, float) else v for k, v in row.items()}
            writer.writerow(words | {"commit": commit()})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("--data", type=Path, default=ROOT / "../shared/data")
    parser.add_argument("--steps", type=int, help="3000; of a cell 10000")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--flags", action="append", help="an option (default: all of the page)")
    parser.add_argument("--cell", help="train a model of this cell line instead")
    parser.add_argument("--teachers", nargs="+", default=[], help="models whose mean is scored")
    parser.add_argument(
        "--floors", type=float, nargs="+", default=[], help="--teacher-floor of further means"
    )
    parser.add_argument("--students", nargs="+", default=[], help="models compared with all others")
    parser.add_argument("--others", nargs="+", default=[], help="further models")
    parser.add_argument("--out", type=Path, help="the model of a cell, or the table of networks")
    args = parser.parse_args()
    if args.teachers or args.students or args.others:
        return compare_networks(args)
    if args.cell:
        if not args.out:
            parser.error("--cell needs --out")
        return one_cell(args.data, args.cell, args.steps or 10_000, args.out)
    study = Study(args.data, args.steps or 3000)
    for flags in args.flags or OPTIONS:
        for seed in args.seeds:
            row = study.run(flags, seed)
            append(row)
            print(*row.values(), sep="\t", flush=True)


if __name__ == "__main__":
    main()
