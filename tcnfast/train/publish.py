"""From a trained network to a model folder that people can use: calibrated, with thresholds,
scores and a card."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..base.logits import logit
from ..base.options import Run
from ..data.dataset import Dataset
from ..engines.plan import Plan
from ..evaluate.assessment import Assessment, assess
from ..evaluate.evaluation_report import Evaluation
from ..evaluate.predict import describe_windows, predict
from ..genome.genome import Region
from ..model.calibrate import fit_scaling, make_thresholds, scale_head
from ..model.ensemble import Ensemble
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
    """Calibrate ``model`` on validation, choose thresholds there, score test once, and write the
    model folder. ``card`` goes on top of its README.md; every score of both parts, with intervals,
    goes to scores.valid.tsv and scores.test.tsv, so that nobody need look at test again.

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
    cutoffs = logit(np.array([model.thresholds[label].threshold for label in model.labels]))
    parts = {}
    for part, (logits, targets) in (("valid", valid), ("test", test)):
        where = describe_windows(dataset, split[part], targets, model.receptive_field, stride)
        parts[part] = assess(where, logits, cutoffs)
    model.save(folder)
    for part, assessment in parts.items():
        table = Evaluation(folder.name, part, "f1", assessment).table()
        (folder / scores_file(part)).write_text(table)
    (folder / CARD).write_text(card + scores_table(model, **parts))
    return parts
