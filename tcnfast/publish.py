"""From a trained network to a model folder that people can use: calibrated, with thresholds and a
card that says what it was trained on and what to expect of it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from .calibrate import fit_scaling, make_thresholds, scale_head
from .dataset import Dataset
from .evaluate import predict
from .genome import Region
from .metrics import MIN_POSITIVES, LabelScores, score_labels
from .model import TCN
from .plan import Plan
from .run_record import versions
from .train import TrainConfig


@dataclass(frozen=True)
class Published:
    """Scores of the published model; ``test`` was looked at once and chose nothing."""

    valid: LabelScores
    test: LabelScores


def publish(
    model: TCN,
    dataset: Dataset,
    split: dict[str, list[Region]],
    folder: str | Path,
    *,
    stride: int,
    device: str,
    precision: str,
    card: str,
) -> Published:
    """Calibrate ``model`` on validation, choose thresholds there, score test once, and write the
    model folder. ``card`` goes on top of its README.md.

    All scores are the mean of both strands' logits, as a scan reports them.
    """
    options = dict(device=device, precision=precision, stride=stride, strand="both")
    raw, targets = predict(Plan(model, **options), dataset, split["valid"])
    scaling = fit_scaling(raw, targets)
    scale_head(model, *scaling)
    valid = (raw * scaling[0] + scaling[1]).astype(np.float32), targets
    test = predict(Plan(model, **options), dataset, split["test"])
    model.thresholds = make_thresholds(model.labels, valid, test)
    scores = Published(score_labels(model.labels, *valid), score_labels(model.labels, *test))
    model.save(folder)
    (Path(folder) / "README.md").write_text(card + scores_table(model, scores))
    return scores


def describe(
    name: str,
    dataset: Dataset,
    dropped: list[tuple[str, int]],
    split: dict[str, list[Region]],
    config: TrainConfig,
    model: TCN,
    inputs: list[tuple[str, str]],
    command: str,
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
        f"A window is bound where a peak covers at least {dataset.min_overlap} of the "
        f"{dataset.label_bin} bp around its centre, ambiguous (not trained, not scored) where a "
        "peak or a relaxed peak touches it otherwise, or the blacklist does; else unbound.",
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
            f"Again: {command}",
            "",
            "```json",
            json.dumps(record, indent=1),
            "```",
            "",
            "Probabilities are calibrated per label on the validation regions (Platt scaling, "
            "inside the head). Thresholds give the best F1 there; the precision and recall beside "
            "them, and in thresholds.tsv, were measured on the test regions, which chose nothing. "
            "They count windows every "
            f"{config.stride} bp, both strands averaged.",
            "",
            "",
        ]
    )


def scores_table(model: TCN, scores: Published) -> str:
    """The lower half of a card: scores of every label on validation and test, in Markdown."""
    lines = ["## Scores", ""]
    for part, s in (("validation", scores.valid), ("test", scores.test)):
        counted = int(s.counted().sum())
        lines.append(
            f"- {part}: macro-AP {s.macro('ap'):.3f}, macro-AUROC "
            f"{s.macro('auroc'):.3f}, over the {counted} labels with at least "
            f"{MIN_POSITIVES} bound windows"
        )
    lines += [
        "",
        "`pos` are bound windows, `chance` their share, which is the AP of random scores.",
        "",
        "| label | valid pos | chance | AP | AUROC | test pos | chance | AP | AUROC "
        "| threshold | precision | recall |",
        "|---|" + "---:|" * 11,
    ]
    for index, label in enumerate(model.labels):
        cells = [label]
        for s in (scores.valid, scores.test):
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


def _words(region: Region) -> str:
    return f"{region.chrom}:{region.start + 1}-{region.end}"
