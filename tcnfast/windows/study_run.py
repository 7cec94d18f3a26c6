"""What ``tcnfast windows study`` does, from a file to tables."""

from __future__ import annotations

import logging
from pathlib import Path

from ..base.lock_file import alone_in
from ..base.options import Run, setting
from ..base.tables import replace_file
from ..base.talk import count
from . import StudyOptions
from .binary_tables import binary_tables
from .figures import why_not, write_figures
from .pair_tables import pair_tables
from .runner import StudyRun
from .study_config import read_study
from .study_folder import StudyFolder
from .study_results import write_results, write_validation
from .study_tables import Results, multi_tables

log = logging.getLogger(__name__)


def run_study(study: str | Path, out: str | Path, options: StudyOptions, run: Run) -> StudyFolder:
    """Train what is missing, or with ``options.test`` score the test parts; returns the folder."""
    asked = read_study(study, options.data)
    with alone_in(Path(out)):
        return _run_alone(StudyRun(asked, out, run).tuned(), options)


def _run_alone(folder: StudyRun, options: StudyOptions) -> StudyFolder:
    if options.finished:
        folder, whole = folder.finished(), folder.study.cells
        words = "%d of %s finished; the others are missing from the tables"
        log.info(words, len(folder.study.cells), count(len(whole), "training"))
    if options.test:
        folder.test()
        write_results(folder)
        return write_report(folder.folder)
    folder.train()
    write_validation(folder)
    words = "%s in %s; %s scores the test parts"
    trainings = count(len(folder.study.cells), "training")
    log.info(words, trainings, folder.folder, setting("test", True))
    return StudyFolder(folder.folder)


def write_report(folder: Path) -> StudyFolder:
    """tables.md and figures from the CSV files of ``folder``, which is returned."""
    results = Results(folder)
    parts = [*multi_tables(results), *(binary_tables(results) if results.binary else ())]
    parts += pair_tables(results)
    replace_file(folder / "tables.md", "\n".join(filter(None, parts)).encode())
    problem = why_not()
    if problem:
        log.warning("WARNING: no figures: %s", problem)
    else:
        write_figures(folder)
    log.info("tables and figures are in %s", folder)
    return StudyFolder(folder)
