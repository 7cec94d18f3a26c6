"""The card of a model, README.md of its folder: what it was made of and what to expect of it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import numpy as np

from ..base.run_record import versions
from ..base.talk import count
from ..data.dataset import Dataset
from ..evaluate.assessment import Assessment
from ..genome.genome import Region
from ..model.ensemble import Ensemble
from ..model.metrics import MIN_POSITIVES
from ..model.model_folder import scores_file
from ..model.tcn import TCN
from ..model.thresholds import PRECISIONS
from .losses import TEACHER_SHARE
from .train_config import TrainConfig

_TRAINED = """\
# {name}

A multi-label temporal convolutional network: {labels} labels, {parameters:,} parameters; a score \
depends on {width} bp. {symmetric}It reads DNA alone: it does not know which chromatin is open in \
a cell, so it over-calls; restrict a scan to open chromatin (`--within`) where you can.

## Data

{inputs}

A window is bound where {peak} covers at least {min_overlap} of the {label_bin} bp around its \
centre, ambiguous (not trained, not scored) where a peak or a relaxed peak touches it otherwise, \
or the blacklist does; else unbound.

## Split (1-based, inclusive)

{split}

{dropped}## Training

Again: `tcnfast train` with these settings (the bundled model: `make model`)

```json
{settings}
```

Probabilities are calibrated per label on the validation regions (Platt scaling, inside the head). \
Thresholds give the best F1 there; thresholds.tsv also has those at which half, and nine in ten, \
of the windows called there are bound (FDR 50 % and 10 %; NA where no threshold is, with at least \
{fewest} bound windows above it). {measured} Windows are counted every {stride} bp, {strands}.

"""
_MEASURED = (
    "The precision and recall beside them were measured on the test regions, which chose nothing."
)
_LEFT_ALONE = (
    "The test regions were left alone (`--no-test`): the precision and recall beside them are not "
    "known."
)
_SYMMETRIC = (
    "It is symmetric: the channels are pairs that the reverse complement exchanges, so that both "
    "strands of a sequence score the same, in one pass. "
)
_SCORES = """
In brackets: 95 % bootstrap intervals over {blocks} blocks of a megabase; those of every label are \
in {files}.

`pos` are bound windows, `chance` their share, which is the AP of random scores.

"""
_PARTS = {"valid": "validation", "test": "test"}
_TAUGHT = """\
## Teachers

It learned from the labels and from the mean logits, both strands, of the networks below, on the \
same sequence: where a label is known, the teachers have {share:g} of the loss; where it is \
ambiguous, all of it. {floor}What they were trained on, their own cards say.

{listed}

{unlabelled}"""
_FLOOR = """\
On each label only those count whose average precision on validation is at least {share:g} of the \
best one's. """
_UNLABELLED = (
    "A share of the tiles came from {files}, without labels. Contigs of the names above lack the "
    "validation and test regions; sequence like theirs elsewhere in these files is not known.\n\n"
)
_AVERAGES = {
    "logits": "An ensemble: the mean of the logits of {} networks.",
    "weights": "One network: the mean of the weights of {}.",
}
_CALIBRATED = """\
## Calibration

Probabilities are calibrated per label on the validation regions (Platt scaling, inside the head), \
and thresholds chosen there. {measured} Its members may have been trained on other data: their own \
cards say.

{inputs}

"""


def taught_words(
    config: TrainConfig, teachers: list[tuple[str, str]], unlabelled: Iterable[str]
) -> str:
    """What the card says of teachers, names and SHA-256, and of sequence without labels."""
    share = TEACHER_SHARE if config.teacher_share is None else config.teacher_share
    floor = _FLOOR.format(share=config.teacher_floor) if config.teacher_floor else ""
    files = [Path(path).name for path in unlabelled]
    rest = _UNLABELLED.format(files=", ".join(files)) if files else ""
    listed = _files(teachers)
    return _TAUGHT.format(share=share, floor=floor, listed=listed, unlabelled=rest)


def trained_card(
    name: str,
    model: TCN,
    dataset: Dataset,
    dropped: list[tuple[str, int]],
    split: dict[str, list[Region]],
    config: TrainConfig,
    inputs: list[tuple[str, str]],
    tested: bool,
) -> str:
    """Card of a trained model but for its scores. ``inputs``: names and SHA-256; ``tested``: its
    test part is scored."""
    shape = {k: v for k, v in asdict(model.config).items() if k != "labels"}
    settings = {"model": shape, "training": asdict(config), "versions": versions()}
    symmetric = model.config.symmetric
    rare = ", ".join(f"{label} ({count})" for label, count in dropped)
    return _TRAINED.format(
        name=name,
        labels=len(model.labels),
        parameters=sum(p.numel() for p in model.parameters()),
        width=model.receptive_field,
        symmetric=_SYMMETRIC if symmetric else "",
        strands="whose strands score the same" if symmetric else "both strands averaged",
        inputs=_files(inputs),
        peak=f"the {dataset.summits} bp around a summit" if dataset.summits else "a peak",
        min_overlap=dataset.min_overlap,
        label_bin=dataset.label_bin,
        split="\n".join(f"- {part}: {', '.join(map(_area, x))}" for part, x in split.items()),
        dropped=f"Left out for want of training peaks: {rare}.\n\n" if dropped else "",
        settings=json.dumps(settings, indent=1),
        fewest=MIN_POSITIVES,
        measured=_MEASURED if tested else _LEFT_ALONE,
        stride=config.stride,
    )


def averaged_card(name: str, how: str, members: list[tuple[str, str]], networks: int) -> str:
    """Card of an average but for its scores. ``members``: names and SHA-256."""
    listed = "\n".join(f"- {folder} (SHA-256 {digest[:16]})" for folder, digest in members)
    return f"# {name}\n\n{_AVERAGES[how].format(networks)}\n\n## Made of\n\n{listed}\n\n"


def calibration_words(inputs: list[tuple[str, str]], tested: bool) -> str:
    """What the card of an average says of the data that it was calibrated on."""
    return _CALIBRATED.format(measured=_MEASURED if tested else _LEFT_ALONE, inputs=_files(inputs))


def scores_table(model: TCN | Ensemble, scores: dict[str, Assessment]) -> str:
    """The lower half of a card: ``scores`` of every label on each part, in Markdown."""
    lines = ["## Scores", ""]
    for part, a in scores.items():
        lines.append(
            f"- {_PARTS[part]}: macro-AP {_span(a, 'ap')}, macro-AUROC {_span(a, 'auroc')}, over "
            f"the {count(a.counted.sum(), 'label')} with at least {MIN_POSITIVES} bound windows; "
            f"mean expected calibration error {a.macro('ece'):.5f}, predicted over observed bound "
            f"windows {a.macro('predicted'):.2f}"
        )
    for precision in PRECISIONS:
        rows = [model.thresholds[label].at_precision[precision] for label in model.labels]
        measured = [row.precision for row in rows if row and not np.isnan(row.precision)]
        mean = f", on test {np.mean(measured):.2f} on average" if measured else ""
        lines.append(
            f"- a precision of {precision:g} was reached on validation by "
            f"{sum(row is not None for row in rows)} of {count(len(rows), 'label')}{mean}"
        )
    blocks = " and ".join(str(a.n_blocks) for a in scores.values())
    files = " and ".join(map(scores_file, scores))
    head = _SCORES.format(blocks=blocks, files=files)
    return "\n".join(lines) + "\n" + head + "".join(_rows(model, scores))


def _rows(model: TCN | Ensemble, scores: dict[str, Assessment]) -> Iterable[str]:
    measured = ("precision", "recall") if "test" in scores else ()
    names = [name for part in scores for name in (f"{part} pos", "chance", "AP", "AUROC")]
    header = ["label", *names, "threshold", *measured]
    yield f"| {' | '.join(header)} |\n|---|{'---:|' * (len(header) - 1)}\n"
    for index, label in enumerate(model.labels):
        cells = [label]
        for s in (part.scores for part in scores.values()):
            values = s.chance[index], s.ap[index], s.auroc[index]
            cells += [str(s.positives[index]), "{:.4f} | {:.3f} | {:.3f}".format(*values)]
        row = model.thresholds[label]
        cells += [f"{getattr(row, name):.3f}" for name in ("threshold", *measured)]
        yield f"| {' | '.join(cells)} |\n"


def _span(assessment: Assessment, name: str) -> str:
    low, high = assessment.macro_interval(name)
    interval = "" if np.isnan(low) else f" [{low:.3f}, {high:.3f}]"
    return f"{assessment.macro(name):.3f}{interval}"


def _files(inputs: list[tuple[str, str]]) -> str:
    return "\n".join(f"- `{file}` (SHA-256 {digest[:16]})" for file, digest in inputs)


def _area(region: Region) -> str:
    return f"{region.chrom}:{region.start + 1}-{region.end}"
