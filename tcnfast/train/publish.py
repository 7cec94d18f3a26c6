"""From a trained network to a model folder that people can use: calibrated, with thresholds,
scores and a card."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..base.disk import write_text
from ..base.logits import logit
from ..base.options import Run
from ..data.dataset import Dataset
from ..engines.plan import Plan
from ..evaluate.assessment import Assessment, assess
from ..evaluate.call_ladder import count_calls, graded, measure_ladders, stretches_of
from ..evaluate.call_report import CallReport
from ..evaluate.evaluation_report import Evaluation
from ..evaluate.predict import describe_windows, predict
from ..genome.genome import Region
from ..model.calibrate import fit_scaling, make_thresholds, scale_head
from ..model.ensemble import Ensemble
from ..model.grades import calls_words
from ..model.home_genome import HomeGenome
from ..model.model_folder import CARD, scores_file
from ..model.tcn import TCN
from .card import scores_table


def publish(
    model: TCN | Ensemble,
    dataset: Dataset,
    split: dict[str, list[Region]],
    folder: Path,
    card: str,
    stride: int,
    run: Run,
) -> dict[str, Assessment]:
    """Calibrate ``model`` on validation, choose thresholds and measure calls there, score test
    once, and write the model folder. ``card`` goes on top of its README.md; every score of both
    parts, with intervals, goes to scores.valid.tsv and scores.test.tsv, so that nobody need look
    at test again.

    All scores are the mean of both strands' logits, as a scan reports them. Returns those of
    ``valid``, and those of ``test``, which chose nothing.
    """
    options = dict(device=run.device, precision=run.precision, stride=stride, strand="both")
    raw, targets = predict(Plan(model, **options), dataset, split["valid"])
    scaling = fit_scaling(raw, targets)
    scale_head(model, *scaling)
    valid = (raw * scaling[0] + scaling[1]).astype(np.float32), targets
    test = predict(Plan(model, **options), dataset, split["test"])
    model.thresholds = make_thresholds(model.labels, valid, test)
    reach, genome = model.receptive_field, dataset.genome
    stretches = {
        part: stretches_of(dataset, split[part], logits, reach, stride)
        for part, (logits, _) in (("valid", valid), ("test", test))
    }
    ladders, peaks = measure_ladders(dataset, stretches["valid"], stride, split["train"])
    best = [ladders[label].best() for label in model.labels]
    cutoffs = logit(np.array([cutoff.threshold for cutoff in best]))
    expected = np.array([cutoff.precision for cutoff in best])
    parts, tables = {}, {}
    for part, (logits, targets) in (("valid", valid), ("test", test)):
        where = describe_windows(dataset, split[part], targets, reach, stride)
        parts[part] = assess(where, logits, cutoffs)
        found = CallReport(count_calls(dataset, stretches[part], stride, cutoffs), expected)
        tables[part] = Evaluation(folder.name, part, "best", parts[part], calls=found).table()
    model.calls = graded(ladders, peaks, parts["valid"].values["ap"])
    model.home = HomeGenome.of(genome.sizes, genome.codes, split["train"], split["valid"])
    model.save(folder)
    for part, table in tables.items():
        write_text(folder / scores_file(part), table)
    words = calls_words(model.calls, model.home.measured_on)
    write_text(folder / CARD, card + words + scores_table(model, **parts))
    return parts
