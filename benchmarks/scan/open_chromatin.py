"""Calls of a model with and without ``--within``: precision and recall of each label on validation.

    python -m benchmarks.scan.open_chromatin -m encode-v1 -t @GM12878,@K562 --within open.bed \\
      -g hg19.fa --peaks peaks.bed.gz --split split.json -o within.tsv

A row a label and cutoff: ``everywhere``, called at the default cutoff; ``inside``, the same cutoff
and only the calls inside the regions; ``ladder``, the best F1 with half of the calls right of a
ladder measured inside. Recall is of all peaks of the label, wherever they lie.
"""

from pathlib import Path

import numpy as np

from tcnfast.base.logits import logit
from tcnfast.base.options import chosen_labels
from tcnfast.base.tables import write_rows
from tcnfast.engines.plan import Plan
from tcnfast.evaluate.call_ladder import count_calls, measure_ladders, stretches_of
from tcnfast.evaluate.predict import predict
from tcnfast.genome.intervals import read_bed
from tcnfast.model.load_model import load_model

from .calls_found import data_parser, open_data

STRIDE = 32
COLUMNS = ("regions", "label", "cutoff", "calls", "precision", "recall", "peaks")


def main() -> None:
    parser = data_parser(__doc__)
    parser.add_argument("-t", "--targets", required=True, type=lambda text: text.split(","))
    parser.add_argument("--within", nargs="+", required=True)
    args = parser.parse_args()
    model = load_model(args.model)
    with open_data(args, model) as source:
        write_rows(args.output, COLUMNS, measure(model, source, args))
    print(args.output.read_text(), end="")


def measure(model, source, args) -> list[tuple]:
    regions, dataset = source.split["valid"], source.dataset
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


if __name__ == "__main__":
    main()
