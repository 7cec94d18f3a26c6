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
    no_test: bool,
) -> dict[str, Assessment]:
    """Calibrate ``model`` on validation, choose thresholds and measure calls there, and write the
    model folder. The test part, which chooses nothing, is scored once, or not at all (``no_test``).
    ``card`` goes on top of the folder's README.md; every score of a part, with intervals, goes to
    scores.valid.tsv and scores.test.tsv, so that nobody need look at test again.

    All scores are the mean of both strands' logits, as a scan reports them. Returns those of
    ``valid`` and ``test``.
    """
    options = dict(device=run.device, precision=run.precision, stride=stride, strand="both")
    raw, targets = predict(Plan(model, **options), dataset, split["valid"])
    scaling = fit_scaling(raw, targets)
    scale_head(model, *scaling)
    found = {"valid": ((raw * scaling[0] + scaling[1]).astype(np.float32), targets)}
    if not no_test:
        found["test"] = predict(Plan(model, **options), dataset, split["test"])
    model.thresholds = make_thresholds(model.labels, found["valid"], found.get("test"))
    reach, genome = model.receptive_field, dataset.genome
    stretches = {
        part: stretches_of(dataset, split[part], logits, reach, stride)
        for part, (logits, _) in found.items()
    }
    ladders, peaks = measure_ladders(dataset, stretches["valid"], stride, split["train"])
    best = [ladders[label].best() for label in model.labels]
    cutoffs = logit(np.array([cutoff.threshold for cutoff in best]))
    expected = np.array([cutoff.precision for cutoff in best])
    scores, tables = {}, {}
    for part, (logits, targets) in found.items():
        where = describe_windows(dataset, split[part], targets, reach, stride)
        scores[part] = assess(where, logits, cutoffs)
        calls = CallReport(count_calls(dataset, stretches[part], stride, cutoffs), expected)
        tables[part] = Evaluation(folder.name, part, "best", scores[part], calls=calls).table()
    model.calls = graded(ladders, peaks, scores["valid"].values["ap"])
    model.home = HomeGenome.of(genome.sizes, genome.codes, split["train"], split["valid"])
    model.save(folder)
    for part, table in tables.items():
        write_text(folder / scores_file(part), table)
    words = calls_words(model.calls, model.home.measured_on)
    write_text(folder / CARD, card + words + scores_table(model, scores))
    return scores


def scores_record(scores: dict[str, Assessment]) -> dict[str, float]:
    """What run.json keeps of the scores of each part."""
    return {f"{part}_macro_ap": round(a.macro("ap"), 4) for part, a in scores.items()}
