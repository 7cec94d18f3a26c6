"""What ``tcnfast study`` does, from a file to tables."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from ..evaluate import plots
from .figures import write_figures
from .runner import StudyFolder
from .study_config import read_study
from .study_results import write_results, write_validation
from .study_tables import write_tables

log = logging.getLogger(__name__)


def run_study(
    study: str, output: str, *, data: Sequence[str] = (), device: str = "auto", test: bool = False
) -> None:
    """Tune and train what is not there yet, and write validation.csv; with ``test`` score the test
    parts of what is trained, and write results.csv, tables.md and figures. Raises TcnfastError."""
    folder = StudyFolder(read_study(study, data), output, device).tuned()
    if not test:
        folder.train()
        write_validation(folder)
        log.info("%d trainings are in %s; --test scores the test parts",
                 len(folder.study.cells), output)  # fmt: skip
        return
    folder.test()
    write_results(folder)
    write_report(output)


def write_report(folder: str | Path) -> None:
    """tables.md and figures from the CSV files of ``folder``."""
    write_tables(folder)
    problem = plots.why_not()
    if problem:
        log.warning("WARNING: no figures: %s", problem)
    else:
        write_figures(folder)
    log.info("tables and figures are in %s", folder)
