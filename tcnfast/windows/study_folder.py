"""The output folder of ``tcnfast windows study``, and :class:`StudyFolder`, which reads it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..base.errors import TcnfastError
from .study_results import CURVES, RESULTS, STATISTICS, TIMES, TUNING, VALIDATION, read_rows

if TYPE_CHECKING:
    import pandas as pd


class StudyFolder:
    """What ``tcnfast windows study`` wrote.

    Args:
        path: the folder.

    Raises:
        TcnfastError: where the folder holds no table of a study.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not any((self.path / name).is_file() for name in (VALIDATION, RESULTS)):
            raise TcnfastError(
                f"{self.path}: is no folder of tcnfast windows study (it holds neither "
                f"{VALIDATION} nor {RESULTS})"
            )

    def __repr__(self) -> str:
        return f"StudyFolder({str(self.path)!r})"

    def validation(self) -> pd.DataFrame:
        """Scores of every cell on the validation part.

        Returns:
            pandas.DataFrame: set, model, seed, label, metric, value. Cutoffs are those of the same
                part, so F1, MCC and accuracy are a little too good.

        Raises:
            TcnfastError: where the folder has no such table, or it is damaged.
        """
        return read_rows(self.path / VALIDATION)

    def results(self) -> pd.DataFrame:
        """Scores of every cell on the test part.

        Returns:
            pandas.DataFrame: set, model, seed, label, metric, value.

        Raises:
            TcnfastError: where the test parts were not scored, or the table is damaged.
        """
        return read_rows(self.path / RESULTS)

    def statistics(self) -> pd.DataFrame:
        """Means over seeds with intervals, and differences between networks with p-values.

        Returns:
            pandas.DataFrame: set, model, against (empty for a model by itself), label, metric,
                value, low, high, p.

        Raises:
            TcnfastError: where the test parts were not scored, or the table is damaged.
        """
        return read_rows(self.path / STATISTICS)

    def curves(self) -> pd.DataFrame:
        """Precision at fixed recalls, of sets of several labels.

        Returns:
            pandas.DataFrame: set, model, recall, precision.

        Raises:
            TcnfastError: where the test parts were not scored, or the table is damaged.
        """
        return read_rows(self.path / CURVES)

    def tuning(self) -> pd.DataFrame:
        """The learning rates that were tried.

        Returns:
            pandas.DataFrame: model, learning_rate, valid_macro_ap, best_epoch.

        Raises:
            TcnfastError: where the study gave every learning rate, or the table is damaged.
        """
        return read_rows(self.path / TUNING)

    def times(self) -> pd.DataFrame:
        """Seconds of each training, which alone differ between two runs of one study.

        Returns:
            pandas.DataFrame: set, model, seed, label (empty), metric, value.

        Raises:
            TcnfastError: where the folder has no such table, or it is damaged.
        """
        return read_rows(self.path / TIMES)
