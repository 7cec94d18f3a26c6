"""``tcnfast evaluate --windows``: how any network of ``train --windows`` does on a window set."""

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path

import numpy as np

from ..base import run_record
from ..base.errors import TcnfastError
from ..base.run_folder import OutputFolder, file_hash
from ..genome.labels import AMBIGUOUS, BOUND, UNBOUND
from ..model.model_folder import ModelFolder
from .architectures import window_scorer
from .window_metrics import LABEL_METRICS, cell_scores
from .window_run import open_window_model
from .window_set import KINDS, WINDOWS, WindowSet

log = logging.getLogger(__name__)

_WORDS = {BOUND: "bound", UNBOUND: "unbound", AMBIGUOUS: "ambiguous"}


def evaluate_windows(
    model: str,
    windows: str,
    part: str = "valid",
    out: str | None = None,
    *,
    device: str = "auto",
    precision: str = "auto",
    force: bool = False,
) -> None:
    """Print the scores of a model folder on a part of a window set, as TSV: a line a label.

    Calls are made at the cutoff of the best F1 (MCC: of the best MCC) on the validation part; on
    that part itself they are therefore a little too good. The model may have more labels than the
    set. With ``out`` a folder is written: the same as ``scores.tsv``, ``predictions.tsv`` with the
    logit of every window, and ``run.json``. Raises TcnfastError for a model and a set that do not
    fit each other.
    """
    started, folder = time.monotonic(), ModelFolder(model)
    network, found = open_window_model(folder), WindowSet.open(windows)
    columns = _columns(network.labels, found.names, model, windows)
    length = getattr(network, "length", None)
    if length is not None and length != found.length:
        raise TcnfastError(
            f"{model}: reads windows of {length} bp, those of {windows} have {found.length}"
        )
    here, valid = found.select(part), found.select("valid")
    for name, some in ((part, here), ("valid", valid)):
        if not len(some):
            raise TcnfastError(f"{windows}: part {name} holds no window")
    key = {
        "command": "evaluate",
        "inputs": [folder.hash, file_hash(Path(windows) / WINDOWS)],
        "part": part,
        "precision": precision,
    }
    output = None if out is None else OutputFolder(out, key, force, resume=None)
    try:
        every = window_scorer(network, device, precision)

        def score(codes: np.ndarray) -> np.ndarray:
            return every(codes)[:, columns]

        tuned = score(valid.codes)
        logits = tuned if part == "valid" else score(here.codes)
        table = _scores(found.names, (tuned, valid.labels), (logits, here.labels))
        if output is not None:
            result = output.work / "result"
            result.mkdir()
            (result / "scores.tsv").write_text(table)
            _write_predictions(result / "predictions.tsv", here, logits)
    except BaseException:
        if output is not None:
            output.discard()
        raise
    if output is not None:
        seconds = round(time.monotonic() - started, 1)
        output.publish(result, {"versions": run_record.versions(), "seconds": seconds})
        log.info("%d windows of part %s; written to %s", len(here), part, output.folder)
    sys.stdout.write(table)


def _columns(labels: list[str], names: list[str], model: str, windows: str) -> list[int]:
    """Where in the outputs of the model the labels of the set are."""
    for name in names:
        if name not in labels:
            raise TcnfastError(f"{model}: has no label {name!r}, which {windows} has")
    return [labels.index(name) for name in names]


def _scores(names: list[str], valid: tuple, part: tuple) -> str:
    """The table that is printed; "macro" is the mean over labels that enter it."""
    rows: dict[str, dict[str, float]] = {}
    for label, metric, value in cell_scores(names, valid, part):
        rows.setdefault(label, {})[metric] = value
    labels = [*names, *(["macro"] if len(names) > 1 and "macro" in rows else [])]
    lines = ["\t".join(["label", "windows", "bound", *LABEL_METRICS])]
    for label in labels:
        counts = ["", ""]
        if label != "macro":
            truth = part[1][:, names.index(label)]
            counts = [str((truth != AMBIGUOUS).sum()), str((truth == BOUND).sum())]
        values = [rows[label].get(metric, np.nan) for metric in LABEL_METRICS]
        lines.append("\t".join([label, *counts, *(_number(value) for value in values)]))
    return "\n".join(lines) + "\n"


def _number(value: float) -> str:
    return "NA" if np.isnan(value) else f"{value:.4f}"


def _write_predictions(path: Path, windows: WindowSet, logits: np.ndarray) -> None:
    """A line a window: where it is ("." for none), its kind, and of each label truth and logit."""
    columns = ["chrom", "start", "end", "kind"]
    columns += [f"{label} {what}" for label in windows.names for what in ("truth", "logit")]
    with open(path, "w") as file:
        file.write("#" + "\t".join(columns) + "\n")
        for i in range(len(windows)):
            start = int(windows.start[i])
            place = [".", ".", "."]
            if windows.chrom[i] >= 0:
                chrom = windows.chroms[windows.chrom[i]]
                place = [chrom, str(start), str(start + windows.length)]
            cells = [*place, KINDS[windows.kind[i]]]
            for truth, logit in zip(windows.labels[i].tolist(), logits[i].tolist(), strict=True):
                cells += [_WORDS[truth], f"{logit:.5g}"]
            file.write("\t".join(cells) + "\n")
