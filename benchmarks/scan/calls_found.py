"""What a model expects of its calls against what is found on a part of the split.

    python -m benchmarks.scan.calls_found -m encode-v1 --part test -g hg19.fa \\
      --peaks peaks.bed.gz --split split.json -o encode-v1.calls.test.tsv

A row a label and cutoff: ``best`` (the default of a scan), ``precision=0.5`` and ``f1`` (the
default before there were ladders). Beneath, on stdout, means over labels with 20 calls or more.

With ``-t @GM12878,@K562 --within open.bed``: calls with and without ``--within`` of a scan.
``everywhere``, called at the default cutoff; ``inside``, the same cutoff and only the calls inside
the regions; ``ladder``, the best F1 with half of the calls right of a ladder measured inside.
Recall is of all peaks of the label, wherever they lie.
"""

import argparse
from pathlib import Path

import numpy as np

from tcnfast.base.logits import logit
from tcnfast.base.options import chosen_labels
from tcnfast.base.tables import write_rows
from tcnfast.data.source import open_source
from tcnfast.engines.plan import Plan
from tcnfast.evaluate.call_ladder import count_calls, measure_ladders, stretches_of
from tcnfast.evaluate.predict import predict
from tcnfast.genome.intervals import read_bed
from tcnfast.model.cutoffs import choose_cutoffs
from tcnfast.model.load_model import load_model

STRIDE, LEAST_CALLS = 32, 20
RULES = ("best", "precision=0.5", "f1")
WITHIN_COLUMNS = ("regions", "label", "cutoff", "calls", "precision", "recall", "peaks")
COLUMNS = ("cutoff", "label", "grade", "threshold", "expected", "calls", "found", "recall", "peaks")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-m", "--model", default="encode-v1")
    parser.add_argument("-g", "--genome", nargs="+", required=True)
    parser.add_argument("--peaks", nargs="+", required=True)
    parser.add_argument("--ambiguous", nargs="*", default=[])
    parser.add_argument("--blacklist")
    parser.add_argument("--split", required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--part", choices=("valid", "test"), default="valid")
    parser.add_argument("-t", "--targets", type=lambda text: text.split(","), default=["all"])
    parser.add_argument("--within", nargs="+", metavar="BED")
    args = parser.parse_args()
    model = load_model(args.model)
    files = {x: getattr(args, x) for x in ("genome", "peaks", "ambiguous", "blacklist", "split")}
    about = dict(labels=model.labels, label_bin=model.config.label_bin)
    with open_source(None, **files, **about) as source:
        if args.within:
            write_rows(args.output, WITHIN_COLUMNS, measure_within(model, source, args))
            return print(args.output.read_text(), end="")
        rows = measure(model, source, args.part)
    write_rows(args.output, COLUMNS, rows)
    for rule in RULES:
        for graded in (True, False):
            tell(rule, graded, [row for row in rows if row[0] == rule])


def measure(model, source, part: str) -> list[tuple]:
    plan = Plan(model, stride=STRIDE, strand="both")
    regions, dataset = source.split[part], source.dataset
    logits, _ = predict(plan, dataset, regions)
    stretches = stretches_of(dataset, regions, logits, plan.receptive_field, STRIDE)
    rows = []
    for rule in RULES:
        chosen = choose_cutoffs(model.thresholds, model.labels, rule, model.calls)
        thresholds = [x.threshold if x else np.nan for x in chosen.values()]
        found = count_calls(dataset, stretches, STRIDE, logit(np.array(thresholds)))
        columns = found.calls, found.precision, found.recall, found.peaks
        each = zip(chosen.items(), *columns, strict=True)
        for (label, cutoff), calls, precision, recall, peaks in each:
            expected = cutoff.precision if cutoff else np.nan
            numbers = [round(float(x), 4) for x in (precision, recall)]
            about = model.calls.grades[label].grade, cutoff and cutoff.threshold, round(expected, 4)
            rows.append((rule, label, *about, calls, numbers[0], numbers[1], peaks))
    return rows


def measure_within(model, source, args) -> list[tuple]:
    regions, dataset = source.split[args.part], source.dataset
    plan = Plan(model, stride=STRIDE, strand="both")
    logits, _ = predict(plan, dataset, regions)
    wanted = chosen_labels(model.labels, args.targets)
    best = [model.calls.ladders[label].best().threshold for label in model.labels]

    def count(name, cutoff, thresholds, within=None):
        stretches = stretches_of(dataset, regions, logits, plan.receptive_field, STRIDE, within)
        found = count_calls(dataset, stretches, STRIDE, logit(np.array(thresholds)))
        for label in wanted:
            i = model.labels.index(label)
            numbers = [f"{x[i]:.4f}" for x in (found.precision, found.recall)]
            yield (name, label, cutoff, found.calls[i], *numbers, found.peaks[i])

    rows = list(count("all", "everywhere", best))
    for path in args.within:
        inside, name = read_bed(path, dataset.genome.sizes, allow_missing=True), Path(path).name
        rows += count(name, "inside", best, inside)
        stretches = stretches_of(dataset, regions, logits, plan.receptive_field, STRIDE, inside)
        ladders, _ = measure_ladders(dataset, stretches, STRIDE, source.split["train"])
        thresholds = [ladders[label].best().threshold for label in model.labels]
        rows += count(name, "ladder", thresholds, inside)
    return rows


def tell(rule: str, graded: bool, rows: list[tuple]) -> None:
    """One line of means, of labels of grade A to C or of all that are called."""
    rows = [row for row in rows if row[3] is not None and (row[2] != "D" or not graded)]
    expected, calls, found, recall, peaks = (
        np.array([row[i] for row in rows], float) for i in (4, 5, 6, 7, 8)
    )
    judged = calls >= LEAST_CALLS
    right, hit = np.nansum(calls * found) / calls.sum(), np.nansum(peaks * recall) / peaks.sum()
    apart = np.abs(expected - found)[judged].mean()
    print(
        f"{rule}, {'grades A to C' if graded else 'all labels'}: {len(rows)} labels, "
        f"{calls.sum():.0f} calls, {right:.3f} right, recall {hit:.3f}; {judged.sum()} labels with "
        f"{LEAST_CALLS} calls: expected {expected[judged].mean():.3f}, found "
        f"{found[judged].mean():.3f}, apart {apart:.3f}"
    )


if __name__ == "__main__":
    main()
