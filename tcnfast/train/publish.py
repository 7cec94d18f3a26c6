"""From a trained network to a model folder that people can use: calibrated, with thresholds and a
card that says what it was trained on and what to expect of it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ..base.logits import logit
from ..base.options import Run
from ..base.run_record import versions
from ..data.dataset import Dataset
from ..engines.plan import Plan
from ..evaluate.assessment import Assessment, assess
from ..evaluate.evaluation_report import Evaluation
from ..evaluate.predict import describe_windows, predict
from ..genome.genome import Region
from ..model.calibrate import fit_scaling, make_thresholds, scale_head
from ..model.ensemble import Ensemble
from ..model.metrics import MIN_POSITIVES
from ..model.model_folder import CARD, scores_file
from ..model.tcn import TCN
from ..model.thresholds import PRECISIONS
from .train_config import TrainConfig


@dataclass(frozen=True)
class Published:
    """How good the published model is; ``test`` was looked at once and chose nothing."""

    valid: Assessment
    test: Assessment


def publish(
    model: TCN | Ensemble,
    dataset: Dataset,
    split: dict[str, list[Region]],
    folder: Path,
    card: str,
    stride: int,
    run: Run,
) -> Published:
    """Calibrate ``model`` on validation, choose thresholds there, score test once, and write the
    model folder. ``card`` goes on top of its README.md; every score of both parts, with intervals,
    goes to scores.valid.tsv and scores.test.tsv, so that nobody need look at test again.

    All scores are the mean of both strands' logits, as a scan reports them.
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
    scores = Published(**parts)
    model.save(folder)
    for part, assessment in parts.items():
        table = Evaluation(folder.name, part, "f1", assessment).table()
        (folder / scores_file(part)).write_text(table)
    (folder / CARD).write_text(card + scores_table(model, scores))
    return scores


def describe(
    name: str,
    model: TCN,
    dataset: Dataset,
    dropped: list[tuple[str, int]],
    split: dict[str, list[Region]],
    config: TrainConfig,
    inputs: list[tuple[str, str]],
) -> str:
    """The upper half of a card: what the model is, its data, split and settings."""
    shape = {k: v for k, v in asdict(model.config).items() if k != "labels"}
    record = {"model": shape, "training": asdict(config), "versions": versions()}
    lines = [
        f"# {name}",
        "",
        f"A multi-label temporal convolutional network: {len(model.labels)} labels, "
        f"{sum(p.numel() for p in model.parameters()):,} parameters; a score depends on "
        f"{model.receptive_field} bp. It reads DNA alone: it does not know which chromatin is "
        "open in a cell, so it over-calls; restrict a scan to open chromatin (`--within`) where "
        "you can.",
        "",
        "## Data",
        "",
        *(f"- `{file}` (SHA-256 {digest[:16]})" for file, digest in inputs),
        "",
        f"A window is bound where {_peak_words(dataset)} covers at least {dataset.min_overlap} of "
        f"the {dataset.label_bin} bp around its centre, ambiguous (not trained, not scored) where "
        "a peak or a relaxed peak touches it otherwise, or the blacklist does; else unbound.",
        "",
        "## Split (1-based, inclusive)",
        "",
        *(f"- {part}: {', '.join(map(_words, regions))}" for part, regions in split.items()),
        "",
    ]
    if dropped:
        words = ", ".join(f"{label} ({count})" for label, count in dropped)
        lines += ["Left out for want of training peaks: " + words + ".", ""]
    return "\n".join(
        [
            *lines,
            "## Training",
            "",
            "Again: `tcnfast train` with these settings (the bundled model: `make model`)",
            "",
            "```json",
            json.dumps(record, indent=1),
            "```",
            "",
            "Probabilities are calibrated per label on the validation regions (Platt scaling, "
            "inside the head). Thresholds give the best F1 there; thresholds.tsv also has those "
            "at which half, and nine in ten, of the windows called there are bound (FDR 50 % and "
            "10 %; NA where no threshold is, with at least "
            f"{MIN_POSITIVES} bound windows above it). The precision and recall beside them were "
            "measured on the test regions, which chose nothing. They count windows every "
            f"{config.stride} bp, both strands averaged.",
            "",
            "",
        ]
    )


def scores_table(model: TCN | Ensemble, scores: Published) -> str:
    """The lower half of a card: scores of every label on validation and test, in Markdown."""
    lines = ["## Scores", ""]
    for part, a in (("validation", scores.valid), ("test", scores.test)):
        lines.append(
            f"- {part}: macro-AP {_span(a, 'ap')}, macro-AUROC {_span(a, 'auroc')}, over the "
            f"{a.counted.sum()} labels with at least {MIN_POSITIVES} bound windows; mean expected "
            f"calibration error {a.macro('ece'):.5f}, predicted over observed bound windows "
            f"{a.macro('predicted'):.2f}"
        )
    for precision in PRECISIONS:
        rows = [model.thresholds[label].at_precision[precision] for label in model.labels]
        measured = [row.precision for row in rows if row and not np.isnan(row.precision)]
        mean = f", on test {np.mean(measured):.2f} on average" if measured else ""
        lines.append(
            f"- a precision of {precision:g} was reached on validation by "
            f"{sum(row is not None for row in rows)} of {len(rows)} labels{mean}"
        )
    blocks = f"{scores.valid.n_blocks} and {scores.test.n_blocks} blocks of a megabase"
    lines += [
        "",
        f"In brackets: 95 % bootstrap intervals over {blocks}; those of every label are in "
        "scores.valid.tsv and scores.test.tsv.",
        "",
        "`pos` are bound windows, `chance` their share, which is the AP of random scores.",
        "",
        "| label | valid pos | chance | AP | AUROC | test pos | chance | AP | AUROC "
        "| threshold | precision | recall |",
        "|---|" + "---:|" * 11,
    ]
    for index, label in enumerate(model.labels):
        cells = [label]
        for s in (scores.valid.scores, scores.test.scores):
            cells += [
                str(s.positives[index]),
                f"{s.chance[index]:.4f}",
                f"{s.ap[index]:.3f}",
                f"{s.auroc[index]:.3f}",
            ]
        row = model.thresholds[label]
        cells += [f"{row.threshold:.3f}", f"{row.precision:.3f}", f"{row.recall:.3f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _span(assessment: Assessment, name: str) -> str:
    low, high = assessment.macro_interval(name)
    interval = "" if np.isnan(low) else f" [{low:.3f}, {high:.3f}]"
    return f"{assessment.macro(name):.3f}{interval}"


def _peak_words(dataset: Dataset) -> str:
    return f"the {dataset.summits} bp around a summit" if dataset.summits else "a peak"


def _words(region: Region) -> str:
    return f"{region.chrom}:{region.start + 1}-{region.end}"
