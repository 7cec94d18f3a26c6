"""``tcnfast windows evaluate``: how well a network calls the windows of a set."""

from __future__ import annotations

import io
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..base.disk import write_text
from ..base.errors import TcnfastError
from ..base.options import Run
from ..base.run_folder import RunFolder, file_hash
from ..base.tables import as_cell, read_frame, write_frame
from ..base.talk import count
from ..genome.labels import AMBIGUOUS, BOUND, UNBOUND
from ..model.model_folder import ModelFolder
from .architectures import window_scorer
from .window_metrics import LABEL_METRICS, cell_scores
from .window_run import open_window_model
from .window_set import KINDS, WINDOWS, WindowSet

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

_WORDS = {BOUND: "bound", UNBOUND: "unbound", AMBIGUOUS: "ambiguous"}


@dataclass(frozen=True)
class WindowScores:
    """Scores of a network on windows: ``table``, TSV with a row a label, and the folder that was
    written, if one was asked for."""

    table: str
    folder: Path | None

    def frame(self) -> pd.DataFrame:
        """The same as a pandas table, with numbers."""
        return read_frame(io.StringIO(self.table))


def evaluate_windows(
    windows: str | Path, model: str | Path, out: str | Path | None, part: str, run: Run
) -> WindowScores:
    """What ``tcnfast windows evaluate`` does."""
    if out is None:
        table, _, _, _ = _scored(windows, model, part, run)
        return WindowScores(table, None)
    key = {}
    with RunFolder(out, "windows evaluate", run, key=lambda: key) as output:
        table, here, logits, inputs = _scored(windows, model, part, run)
        key |= {"inputs": inputs, "part": part, "precision": run.precision}
        write_text(output.result / "scores.tsv", table)
        _write_predictions(output.result / "predictions.tsv", here, logits)
        output.publish()
    log.info("%s of part %s; written to %s", count(len(here), "window"), part, output.path)
    return WindowScores(table, output.path)


def _scored(
    windows: str | Path, model: str | Path, part: str, run: Run
) -> tuple[str, WindowSet, np.ndarray, list[str]]:
    """The table, the windows of the part and their logits (n, labels), and hashes of the inputs."""
    folder, found = ModelFolder(model), WindowSet.open(windows)
    network = open_window_model(folder)
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
    score = window_scorer(network, run.device, run.precision)
    tuned = score(valid.codes)[:, columns]
    logits = tuned if part == "valid" else score(here.codes)[:, columns]
    table = _scores(found.names, (tuned, valid.labels), (logits, here.labels))
    return table, here, logits, [folder.hash, file_hash(Path(windows) / WINDOWS)]


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
        lines.append("\t".join([label, *counts, *(as_cell(x, ".4f") for x in values)]))
    return "\n".join(lines) + "\n"


def _write_predictions(path: Path, windows: WindowSet, logits: np.ndarray) -> None:
    """A line a window: where it is ("." for none), its kind, and of each label truth and logit."""
    import pandas as pd

    start, placed = windows.start.astype(object), windows.chrom >= 0
    columns = {"#chrom": np.array([*windows.chroms, "."], object)[windows.chrom]}
    columns |= {"start": np.where(placed, start, ".")}
    columns |= {"end": np.where(placed, start + windows.length, ".")}
    columns |= {"kind": np.array(KINDS, object)[windows.kind]}
    for label, truth, scores in zip(windows.names, windows.labels.T, logits.T, strict=True):
        columns |= {f"{label} truth": [_WORDS[x] for x in truth], f"{label} logit": scores}
    write_frame(path, pd.DataFrame(columns), "%.5g")
