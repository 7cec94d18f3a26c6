"""``tcnfast windows study``: tune, train each cell, then, as a step of its own, score test parts.

The folder of a study grows: a finished cell costs nothing, a cell that was killed starts again, a
wider study adds cells beside those that are there. ``tests.tsv`` is the ledger of test parts: one
line for each set and model, with the settings it was scored with. A model that was tested on a set
cannot be tested there again with other settings: choices are made on validation.
"""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from ..base.errors import TcnfastError
from ..base.options import Run, setting
from ..base.record import Record
from ..base.tables import replace_file
from .cells import COMMAND, Job
from .study_config import Cell, Study, Tuning

log = logging.getLogger(__name__)

_AS_IT_IS = Run()
TUNING, LEDGER = "tuning.csv", "tests.tsv"
TUNING_COLUMNS = ("model", "learning_rate", "valid_macro_ap", "best_epoch")


class StudyRun:
    """The cells of a study below ``folder``."""

    def __init__(self, study: Study, folder: str | Path, run: Run = _AS_IT_IS) -> None:
        self.study, self.folder, self.run = study, Path(folder), run
        self.folder.mkdir(parents=True, exist_ok=True)
        self.open_set = lru_cache(maxsize=4)(lambda name: study.sets[name].open())

    def job(self, cell: Cell, rate: float | None = None) -> Job:
        """The training of a cell, at the model's learning rate or at ``rate``."""
        model = self.study.models[cell.model]
        config = self.study.config(cell, rate or model.learning_rate)
        folder = self.folder / "cells" / cell.path
        return Job(folder, self.study.sets[cell.set_name], model, config, self.run)

    def tuned(self) -> StudyRun:
        """The same with a learning rate for every model, trained for where it is not given."""
        missing = [m for m in self.study.models.values() if m.learning_rate is None]
        used = {cell.model for cell in self.study.cells}
        missing = [m for m in missing if m.name in used]
        if not missing:
            return self
        found, rows = {}, [",".join(TUNING_COLUMNS)]
        for model in missing:
            records = self._try_rates(model.name, self.study.tuning)
            found[model.name] = max(records, key=lambda rate: _best_ap(records[rate]))
            rows += [
                f"{model.name},{rate:g},{_best_ap(r):.4f},{r['best_epoch']}"
                for rate, r in records.items()
            ]
            log.info("%s: learning rate %g", model.name, found[model.name])
        replace_file(self.folder / TUNING, ("\n".join(rows) + "\n").encode())
        models = {
            name: replace(model, learning_rate=found.get(name, model.learning_rate))
            for name, model in self.study.models.items()
        }
        return StudyRun(replace(self.study, models=models), self.folder, self.run)

    def _try_rates(self, model: str, tuning: Tuning) -> dict[float, Record]:
        cell, found = Cell(tuning.set_name, model, 0), {}
        for rate in tuning.learning_rates:
            folder = self.folder / "tuning" / model / f"{rate:g}"
            found[rate] = self._finish(replace(self.job(cell, rate), folder=folder), cell)
        return found

    def train(self) -> None:
        """Every cell that is not there yet."""
        cells, started = self.study.cells, time.monotonic()
        for number, cell in enumerate(cells, 1):
            record = self._finish(self.job(cell), cell)
            words = f"{number} of {len(cells)}, {cell.path}: validation macro-AP "
            words += f"{_best_ap(record):.4f} (epoch {record['best_epoch']})"
            seconds = record["cpu_seconds"], time.monotonic() - started
            log.info("%s, %.0f s of processor time, %.0f s gone", words, *seconds)

    def finished(self) -> StudyRun:
        """The same with the cells that are trained alone. Raises TcnfastError where none is."""
        cells = tuple(cell for cell in self.study.cells if self.job(cell).record() is not None)
        if not cells:
            raise TcnfastError(f"{self.folder}: nothing of the study is trained yet")
        return StudyRun(replace(self.study, cells=cells), self.folder, self.run)

    def _finish(self, job: Job, cell: Cell) -> Record:
        try:
            return job.record() or job.train(self.open_set(cell.set_name))
        except KeyboardInterrupt:
            words = "%s: stopped in %s; what was finished before is kept; the same command goes on"
            log.warning(words, COMMAND, cell.path)
            raise

    def test(self) -> None:
        """Score the test part of every set with every cell, once. Raises TcnfastError where a cell
        is not trained, and where a model was tested on a set with other settings."""
        keys = {}
        for cell in self.study.cells:
            job = self.job(cell)
            if job.record() is None:
                raise TcnfastError(
                    f"{cell.path} is not trained yet; run the study without {setting('test', True)}"
                )
            keys[cell] = job.settings()
        self._enter_ledger(keys)
        for cell in self.study.cells:
            self.job(cell).test(self.open_set(cell.set_name))

    def _enter_ledger(self, keys: dict[Cell, str]) -> None:
        path = self.folder / LEDGER
        lines = path.read_text().splitlines() if path.exists() else ["set\tmodel\tsettings\tdate"]
        known = {tuple(row[:2]): row[2] for row in (line.split("\t") for line in lines[1:])}
        for cell, key in keys.items():
            place = cell.set_name, cell.model
            if known.setdefault(place, key) != key:
                raise TcnfastError(
                    f"the test part of {cell.set_name} was scored for {cell.model} with other "
                    f"settings already ({path}); choose on validation, or name the model anew"
                )
        new = [place for place in known if place not in {tuple(x.split("\t")[:2]) for x in lines}]
        date = time.strftime("%Y-%m-%d")
        lines += ["\t".join([*place, known[place], date]) for place in new]
        replace_file(path, ("\n".join(lines) + "\n").encode())


def _best_ap(record: Record) -> float:
    try:
        return float(record["epochs"][record["best_epoch"] - 1]["ap"])
    except (TypeError, LookupError):
        raise TcnfastError(f"{record.path}: damaged; delete the folder to train again") from None
