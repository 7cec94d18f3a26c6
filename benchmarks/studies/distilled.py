"""Students beside their teachers on validation: docs/training.md says what came of it.

    python -m benchmarks.studies.distilled --data ../shared/data --teachers encode-v1 runs/s64 \\
      --others runs/lone --students runs/student --out build/distilled.tsv

Every network is scored on the same windows and both strands (a symmetric network in one pass).
"teachers" is the mean of the teachers' logits, whatever their contexts. A row has macro-AP and
macro-AUROC with 95 % intervals over 1-Mb blocks, the mean AP of CTCF, and how many labels are above
their best JASPAR motif and CpG content; rows of students follow, minus each other network, paired
over the same blocks. The test part is not touched.
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path

import numpy as np

import tcnfast
from benchmarks.harness import ROOT, commit
from benchmarks.studies.training import SPLIT, load_dataset, read_floors
from tcnfast.engines.plan import Plan
from tcnfast.evaluate.assessment import Assessment, assess, compare
from tcnfast.evaluate.predict import describe_windows, predict

MEAN = "teachers"
METRICS = "ap", "auroc"
ENDS = [f"{metric}_{end}" for metric in METRICS for end in ("", "low", "high", "p")]
COLUMNS = ["network", "minus", *(name.rstrip("_") for name in ENDS), "ctcf", "above", "commit"]


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("--data", type=Path, default=ROOT / "../shared/data")
    parser.add_argument("--teachers", nargs="+", default=[], help="models whose mean is scored")
    parser.add_argument("--students", nargs="+", default=[], help="models compared with all others")
    parser.add_argument("--others", nargs="+", default=[], help="further models")
    parser.add_argument("--stride", type=int, default=32)
    parser.add_argument("--out", type=Path, help="a table; else stdout")
    args = parser.parse_args()
    names = list(dict.fromkeys([*args.teachers, *args.others, *args.students]))
    models = {name: tcnfast.load_model(name) for name in names}
    reach = max(model.receptive_field for model in models.values())
    validation = Validation(args.data, reach, args.stride)
    logits = {name: validation.logits(model) for name, model in models.items()}
    if args.teachers:
        weights = {name: len(models[name].members) for name in args.teachers}
        total = sum(weights.values())
        logits[MEAN] = sum(n / total * logits[name] for name, n in weights.items())
    scored = {name: validation.assess(some) for name, some in logits.items()}
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


if __name__ == "__main__":
    main()
