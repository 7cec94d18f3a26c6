"""The output folder of ``tcnfast attribute``: the names of its files, and
:class:`AttributionFolder`, which reads them. Other rooms read attributions through this class.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..base.errors import TcnfastError, some
from ..base.file_names import file_names
from ..base.run_folder import read_record
from ..base.tables import read_frame
from .attributions import Attributions

if TYPE_CHECKING:
    import pandas as pd

COMMANDS = ("attribute", "windows attribute")  # that write such a folder
TABLE = "attributions.tsv"
COLUMNS = ("label", "chrom", "start", "end", "summit", "logit", "completeness_gap")
SEQLET_COLUMNS = ("chrom", "start", "end", "label", "attribution", "strand")


class LabelFiles(NamedTuple):
    """The files of one label."""

    arrays: Path  # npz
    track: Path  # bigWig
    seqlets: Path  # BED, where seqlets were called


def label_files(folder: Path, name: str) -> LabelFiles:
    """``name``: the label's file name."""
    track, seqlets = folder / "tracks" / f"{name}.bw", folder / "seqlets" / f"{name}.bed"
    return LabelFiles(folder / f"{name}.npz", track, seqlets)


class AttributionFolder:
    """What ``tcnfast attribute`` wrote; ``record`` is run.json.

    Arrays are read only by :meth:`attributions`.

    Args:
        path: the folder.

    Raises:
        TcnfastError: where the folder is no finished output of it; of its methods, for a label that
            it does not have.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.record = read_record(self.path, *COMMANDS)

    def __repr__(self) -> str:
        return f"AttributionFolder({str(self.path)!r})"

    @property
    def windows(self) -> dict[str, int]:
        """Number of windows of each label, in the order of the run."""
        self.record.names("windows")
        return dict(self.record["windows"])

    @property
    def labels(self) -> list[str]:
        """The labels, in the order of the run."""
        return list(self.windows)

    @property
    def method(self) -> str:
        """The method and its settings in words."""
        return self.record["method"]

    @property
    def settings(self) -> dict[str, Any]:
        """What the attributions depend on: the method and its settings, hashes of the inputs."""
        return self.record["key"]

    @cached_property
    def regions(self) -> pd.DataFrame:
        """attributions.tsv, a window a row: label, chrom, start, end (of its region, 0-based
        half-open), summit (the base of the logit), logit, completeness_gap (logits)."""
        return read_frame(self.path / TABLE)

    def attributions(self, label: str) -> Attributions:
        """The arrays of a label; its rows are those of ``regions`` with that label.

        Args:
            label: one of ``labels``.

        Returns:
            Attributions: float arrays, in logits.

        Raises:
            TcnfastError: for another label.
        """
        return Attributions.open(self.files(label).arrays)

    def seqlets(self, label: str) -> pd.DataFrame:
        """Stretches that stand out.

        Args:
            label: one of ``labels``.

        Returns:
            pandas.DataFrame: chrom, start, end (0-based half-open), label, attribution (its sum, in
                logits), strand (".").

        Raises:
            TcnfastError: where none were called, for want of tangermeme or by Grad-CAM.
        """
        return read_frame(self.files(label).seqlets, names=SEQLET_COLUMNS)

    def files(self, label: str) -> LabelFiles:
        """Paths of a label's arrays, track and seqlets.

        Args:
            label: one of ``labels``.

        Returns:
            LabelFiles: arrays, track, seqlets; the last may not be there.

        Raises:
            TcnfastError: for another label.
        """
        if label not in self.record["windows"]:
            known = some(self.labels)
            raise TcnfastError(f"{self.path}: has no attributions of {label!r}; it has {known}")
        return label_files(self.path, *file_names([label]))
