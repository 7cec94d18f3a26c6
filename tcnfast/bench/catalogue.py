"""``tcnfast models`` and ``tcnfast labels``: models that are here, and what labels are worth."""

from __future__ import annotations

import math

from ..base.errors import TcnfastError
from ..base.options import matching_labels, no_such_label
from ..base.verb import DEFAULT_MODEL
from ..model.model_folder import ModelFolder

MODEL_COLUMNS = (
    "model",
    "default",
    "species",
    "assembly",
    "labels",
    "MB",
    "A",
    "B",
    "C",
    "D",
    "folder",
)
LABEL_COLUMNS = ("label", "factor", "cell", "grade", "AP", "precision", "recall", "calls_per_mb")


def show_models() -> None:
    """The bundled models as a TSV on stdout."""
    print(*MODEL_COLUMNS, sep="\t")
    for name in ModelFolder.bundled():
        folder = ModelFolder(name)
        size = sum(path.stat().st_size for path in folder.path.iterdir() if path.is_file())
        home, calls = folder.home, folder.calls
        place = (home.species, home.assembly) if home else (None, None)
        grades = calls.counts().values() if calls else [None] * 4
        default = "yes" if name == DEFAULT_MODEL else "no"
        row = (name, default, *place, len(folder.labels), f"{size / 1e6:.1f}", *grades, folder.path)
        print(*("NA" if cell is None else cell for cell in row), sep="\t")


def show_labels(model: str, pattern: str | None) -> None:
    """A model's labels as a TSV on stdout: grade, AP on validation, and precision, recall and calls
    a megabase at the default cutoff; NA where that was not measured. ``pattern``: a label, a
    factor, @cell or a pattern. Raises TcnfastError where it fits none."""
    folder = ModelFolder(model)
    labels, calls = folder.labels, folder.calls
    if pattern is not None:
        labels = matching_labels(labels, pattern)
        if not labels:
            raise TcnfastError(no_such_label(folder.labels, pattern))
    print(*LABEL_COLUMNS, sep="\t")
    for label in labels:
        factor, _, cell = label.partition("@")
        cells = ["NA"] * 5
        if calls is not None:
            row, best = calls.grades[label], calls.ladders[label].best()
            numbers = (row.ap, best.precision, best.recall, best.per_mb)
            cells = [row.grade, *("NA" if math.isnan(x) else f"{x:.3g}" for x in numbers)]
        print(label, factor, cell or "NA", *cells, sep="\t")
