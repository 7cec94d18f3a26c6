"""The tidy files of a study: results.csv, statistics.csv, curves.csv; written and read here."""

from __future__ import annotations

import csv
import io
import json
import logging
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from ..base.arrays import read_array
from ..base.errors import TcnfastError
from ..base.tables import replace_file
from ..base.talk import count
from ..evaluate.assessment import RECALLS
from ..genome.labels import AMBIGUOUS, BOUND
from ..model.ranking import Ranking
from .cells import TEST, VALID
from .runner import LEDGER, TUNING, TUNING_COLUMNS, StudyRun
from .statistics import replicates, score_rows
from .study_config import Cell
from .window_metrics import cell_scores, counted_labels, f1_cutoffs
from .window_set import PARTS, WindowSet

log = logging.getLogger(__name__)

VALIDATION, RESULTS = "validation.csv", "results.csv"
STATISTICS, CURVES = "statistics.csv", "curves.csv"
TIMES = "times.csv"  # all that differs between two runs of one study
ABOUT = "about.json"
SCORES = ("set", "model", "seed", "label", "metric", "value")
COLUMNS = {
    VALIDATION: SCORES,
    RESULTS: SCORES,
    STATISTICS: ("set", "model", "against", "label", "metric", "value", "low", "high", "p"),
    CURVES: ("set", "model", "recall", "precision"),
    TIMES: SCORES,
    TUNING: TUNING_COLUMNS,
}
TEXTS = ("set", "model", "against", "seed", "label", "metric")
COSTS = ("parameters", "train_windows", "best_epoch")
SECONDS = ("cpu_seconds", "train_seconds", "step_cpu_seconds", "windows_per_cpu_second")


def write_validation(folder: StudyRun) -> None:
    """validation.csv: as results.csv, of the validation part; cutoffs are those of the same part,
    so F1, MCC and accuracy are a little too good."""
    rows = []
    for cell in folder.study.cells:
        if folder.job(cell).record() is not None:
            valid = _part(folder, cell, VALID)
            rows += _cell_rows(folder, cell, valid, valid)
    write_rows(folder.folder / VALIDATION, SCORES, rows)
    _write_times(folder)


def _write_times(folder: StudyRun) -> None:
    """times.csv: seconds of each cell, apart from what is the same in every run."""
    rows = []
    for cell in folder.study.cells:
        if (record := folder.job(cell).record()) is not None:
            head = {"set": cell.set_name, "model": cell.model, "seed": cell.seed, "label": ""}
            rows += [head | {"metric": name, "value": record[name]} for name in SECONDS]
    write_rows(folder.folder / TIMES, COLUMNS[TIMES], rows)


def write_results(folder: StudyRun) -> None:
    """results.csv, statistics.csv, curves.csv (of multi-label sets) and about.json of a study whose
    test parts were scored."""
    results, statistics, curves = [], [], []
    for set_name in dict.fromkeys(cell.set_name for cell in folder.study.cells):
        cells = [cell for cell in folder.study.cells if cell.set_name == set_name]
        windows = folder.open_set(set_name)
        results += _set_rows(set_name, windows)
        for cell in cells:
            valid, test = _part(folder, cell, VALID), _part(folder, cell, TEST)
            results += _cell_rows(folder, cell, valid, test)
        statistics += _statistics(folder, cells)
        if len(windows.names) > 1:
            curves += _curves(folder, cells)
        log.info("%s: %s scored", set_name, count(len(cells), "cell"))
    write_rows(folder.folder / RESULTS, COLUMNS[RESULTS], results)
    write_rows(folder.folder / STATISTICS, COLUMNS[STATISTICS], statistics)
    write_rows(folder.folder / CURVES, COLUMNS[CURVES], curves)
    _write_times(folder)
    _write_about(folder)


def _write_about(folder: StudyRun) -> None:
    """about.json: the study as it ran, what it ran on, and the ledger of test parts."""
    study = folder.study
    record = folder.job(study.cells[0]).record()
    ledger = [line.split("\t") for line in (folder.folder / LEDGER).read_text().splitlines()]
    about = {
        "training": study.training,
        "set_training": study.set_training,
        "models": {name: asdict(model) for name, model in study.models.items()},
        "cells": [cell.path for cell in study.cells],
        "windows": {name: source.hashes() for name, source in study.sets.items()},
        "tests": [dict(zip(ledger[0], row, strict=True)) for row in ledger[1:]],
        **{name: record[name] for name in ("processor", "threads", "versions")},
    }
    replace_file(folder.folder / ABOUT, (json.dumps(about, indent=1) + "\n").encode())


def _part(folder: StudyRun, cell: Cell, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Logits and targets of a cell on the part that its file ``name``, VALID or TEST, is of."""
    job = folder.job(cell)
    part = "test" if name == TEST else job.config.choosing_part
    labels = folder.open_set(cell.set_name).select(part).labels
    return _logits(job.folder / name, labels.shape), labels


def _logits(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """Of a file, which must hold so many. Raises TcnfastError where it does not."""
    logits = read_array(path)
    if logits.shape != shape or logits.dtype.kind != "f" or not np.isfinite(logits).all():
        raise TcnfastError(f"{path}: must hold {shape} finite numbers; delete the folder it is in")
    return logits


def _cell_rows(folder: StudyRun, cell: Cell, valid: tuple, test: tuple) -> list[dict]:
    names = folder.open_set(cell.set_name).names
    head = {"set": cell.set_name, "model": cell.model, "seed": cell.seed}
    rows = [
        head | {"label": label, "metric": metric, "value": value}
        for label, metric, value in cell_scores(names, valid, test)
        if not np.isnan(value)
    ]
    record = folder.job(cell).record()
    rows += [head | {"label": "", "metric": name, "value": record[name]} for name in COSTS]
    rate = record["key"]["config"]["learning_rate"]
    return [*rows, head | {"label": "", "metric": "learning_rate", "value": rate}]


def _set_rows(set_name: str, windows: WindowSet) -> list[dict]:
    """How many windows a set has, and how many of them each label binds."""
    rows, head = [], {"set": set_name, "model": "", "seed": ""}
    for part in PARTS:
        here = windows.select(part)
        counts = dict(zip(here.names, (here.labels == BOUND).sum(0).tolist(), strict=True))
        for label, n in {"": len(here.codes), **counts}.items():
            metric = f"{part}_{'bound' if label else 'windows'}"
            rows.append(head | {"label": label, "metric": metric, "value": n})
    return rows


def _by_model(cells: list[Cell]) -> dict[str, list[Cell]]:
    names = dict.fromkeys(cell.model for cell in cells)
    return {name: [cell for cell in cells if cell.model == name] for name in names}


def _statistics(folder: StudyRun, cells: list[Cell]) -> list[dict]:
    set_name, reference = cells[0].set_name, folder.study.reference
    test = folder.open_set(set_name).select("test")
    models = _by_model(cells)
    seeds = {name: {cell.seed for cell in own} for name, own in models.items()}
    found = {name: _replicates(folder, own, test) for name, own in models.items()}
    rows = [row for model, r in found.items() for row in score_rows(set_name, model, test.names, r)]
    others = [(reference, model) for model in models if model != reference]
    for first, second in (*others, *folder.study.pairs):
        if first not in found or second not in found:
            continue
        # where one ran fewer seeds, both are held against each other on those seeds; what is not
        # random has run all
        shared, sides = seeds[first] & seeds[second], []
        if not all(folder.study.models[name].random for name in (first, second)):
            shared = seeds[first] | seeds[second]
        if not shared:
            continue
        for name in (first, second):
            own = [cell for cell in models[name] if cell.seed in shared]
            same = len(own) == len(models[name])
            sides.append(found[name] if same else _replicates(folder, own, test))
        rows += score_rows(set_name, first, test.names, sides[0], second, sides[1])
    return rows


def _replicates(folder: StudyRun, cells: list[Cell], test: WindowSet):
    logits = [_logits(folder.job(cell).folder / TEST, test.labels.shape) for cell in cells]
    cutoffs = [f1_cutoffs(*_part(folder, cell, VALID)) for cell in cells]
    return replicates(test, logits, cutoffs)


def _curves(folder: StudyRun, cells: list[Cell]) -> list[dict]:
    """Precision at each recall, the mean over counted labels and seeds."""
    rows, test = [], folder.open_set(cells[0].set_name).select("test")
    counted = np.flatnonzero(counted_labels(test.labels))
    for model, own in _by_model(cells).items():
        total = []
        for cell in own:
            logits = _logits(folder.job(cell).folder / TEST, test.labels.shape)
            for i in counted:
                known = test.labels[:, i] != AMBIGUOUS
                truth = test.labels[known, i] == BOUND
                total.append(Ranking.of(logits[known, i], truth).precision_at(RECALLS))
        if total:
            rows += [
                {"set": cells[0].set_name, "model": model, "recall": r, "precision": p}
                for r, p in zip(RECALLS, np.mean(total, 0), strict=True)
            ]
    return rows


def write_rows(path: Path, columns: tuple[str, ...], rows: Iterable[dict]) -> None:
    """A CSV file; numbers with six digits, nothing for NaN."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _word(row[name]) for name in columns})
    replace_file(path, text.getvalue().encode())


def _word(value) -> str:
    if isinstance(value, float | np.floating):
        return "" if np.isnan(value) else f"{value:.6g}"
    return str(value)


def read_rows(path: Path) -> pd.DataFrame:
    """A file of COLUMNS as a pandas table. Raises TcnfastError where a file or a column is missing,
    or holds what is no number."""
    columns = COLUMNS[path.name]
    kinds = {name: str if name in TEXTS else float for name in columns}
    numbers = [name for name in columns if name not in TEXTS]
    try:
        table = pd.read_csv(
            path, dtype=kinds, keep_default_na=False, na_values=dict.fromkeys(numbers, "")
        )
    except OSError as error:
        raise TcnfastError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise TcnfastError(f"{path}: {error}") from None
    if set(table) != set(columns):
        raise TcnfastError(f"{path}: must have the columns {', '.join(columns)}")
    return table
