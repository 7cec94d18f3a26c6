"""The output folder of ``tcnfast motifs``: the names of its files, and :class:`MotifFolder`, which
reads them. Other rooms read motifs through this class."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..base.errors import TcnfastError
from ..base.file_names import file_names
from ..base.run_folder import read_record
from ..base.tables import read_frame
from ..pwm.meme import Motif, read_meme
from .patterns import PatternSet

if TYPE_CHECKING:
    import pandas as pd

MOTIFS, MATCHES, LABELS = "motifs.tsv", "matches.tsv", "labels.tsv"
MEME, KNOWN = "motifs.meme", "matches.meme"
TEXT = ("label", "pattern", "sign", "consensus", "match", "match_name", "named_match", "strand")


class LabelFiles(NamedTuple):
    """The files of one label."""

    patterns: Path  # npz
    seqlets: Path  # BED
    hits: Path  # BED, where regions were given


def label_files(folder: Path, name: str) -> LabelFiles:
    """``name``: the label's file name."""
    patterns = folder / "patterns" / f"{name}.npz"
    return LabelFiles(patterns, folder / "seqlets" / f"{name}.bed", folder / "hits" / f"{name}.bed")


class MotifFolder:
    """What ``tcnfast motifs`` wrote; ``record`` is run.json.

    Args:
        path: the folder.

    Raises:
        TcnfastError: where the folder is no finished output of it; of its methods, for a label that
            it does not have.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.record = read_record(self.path, "motifs")

    def __repr__(self) -> str:
        return f"MotifFolder({str(self.path)!r})"

    @cached_property
    def summary(self) -> pd.DataFrame:
        """labels.tsv: label, windows (NaN: not searched), patterns, seqlets, note."""
        needs = ("label", "windows", "note")
        table = read_frame(self.path / LABELS, ("label", "note"), needs=needs)
        return table.fillna({"note": ""})

    @property
    def labels(self) -> list[str]:
        """The labels, those that could not be searched among them."""
        return self.summary["label"].tolist()

    @property
    def failed(self) -> dict[str, str]:
        """Labels that could not be searched, and why."""
        rows = self.summary[self.summary["windows"].isna()]
        return dict(zip(rows["label"], rows["note"], strict=True))

    @cached_property
    def motifs(self) -> pd.DataFrame:
        """motifs.tsv: a motif a row, with its best match and where it stands."""
        return read_frame(self.path / MOTIFS, TEXT)

    @cached_property
    def matches(self) -> pd.DataFrame:
        """matches.tsv: the known motifs most like each motif, best first."""
        return read_frame(self.path / MATCHES, TEXT)

    def patterns(self, label: str) -> PatternSet:
        """Matrices and seqlets of a label's motifs.

        Args:
            label: one of ``labels``.

        Returns:
            PatternSet: the patterns, as arrays.

        Raises:
            TcnfastError: for a label that was not searched.
        """
        return PatternSet.open(self._files(label).patterns)

    def seqlets(self, label: str) -> pd.DataFrame:
        """The sites that a label's motifs were made of, sorted by place, each once.

        Args:
            label: one of ``labels``.

        Returns:
            pandas.DataFrame: a site a row, 0-based half-open.

        Raises:
            TcnfastError: for a label that was not searched.
        """
        return read_frame(self._files(label).seqlets, TEXT)

    def hits(self, label: str) -> pd.DataFrame:
        """Where a label's motifs fit in the regions that were asked for.

        Args:
            label: one of ``labels``.

        Returns:
            pandas.DataFrame: a hit a row, 0-based half-open.

        Raises:
            TcnfastError: where no regions were asked for.
        """
        return read_frame(self._files(label).hits, TEXT)

    @property
    def meme(self) -> list[Motif]:
        """motifs.meme: the trimmed motifs; ids are "<label's file name>.<pattern>"."""
        return read_meme(self.path / MEME)

    @cached_property
    def known(self) -> dict[str, Motif]:
        """matches.meme: the known motifs of ``matches`` by id."""
        some = read_meme(self.path / KNOWN) if len(self.matches) else []
        return {motif.id: motif for motif in some}

    def _files(self, label: str) -> LabelFiles:
        if label not in self.labels:
            raise TcnfastError(f"{self.path}: has no motifs of {label!r}")
        return label_files(self.path, *file_names([label]))
