"""The output folder of ``tcnfast evaluate``: the names of its files, and
:class:`EvaluationFolder`, which reads them. Other rooms read evaluations through this class."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..base.arrays import read_arrays
from ..base.disk import save_arrays
from ..base.errors import TcnfastError
from ..base.run_folder import read_record
from ..base.tables import read_frame, read_object

if TYPE_CHECKING:
    import pandas as pd

SCORES, SUMMARY, CURVES = "scores.tsv", "summary.json", "curves.npz"
TEXT = ("label", "named_motif", "best_motif")  # columns of the scores that hold no numbers


@dataclass(frozen=True)
class Curves:
    """Of each label: ``precision`` (labels, n) at the ``recall`` (n,); ``reliability`` (labels,
    bins, 3): windows whose probability lies between two of ``edges`` (bins + 1,), the sum of their
    probabilities, how many are bound. ``counted`` bool (labels,): which labels enter means."""

    labels: list[str]
    counted: np.ndarray
    recall: np.ndarray
    precision: np.ndarray
    edges: np.ndarray
    reliability: np.ndarray

    def write(self, path: Path) -> None:
        names = np.array(self.labels)
        save_arrays(path, {**vars(self), "labels": names})

    @classmethod
    def read(cls, path: Path) -> Curves:
        """Raises TcnfastError where the file is missing, or holds something else."""
        arrays = read_arrays(path, "curves", "evaluate")
        fields = cls.__dataclass_fields__
        shapes = {name: arrays[name].shape if name in arrays else None for name in fields}
        n, points, bins = (np.size(arrays.get(x, ())) for x in ("labels", "recall", "edges"))
        wanted = (n,), (n,), (points,), (n, points), (bins,), (n, bins - 1, 3)
        if tuple(shapes.values()) != wanted or arrays["labels"].dtype.kind != "U":
            raise TcnfastError(f"{path}: no curves of tcnfast (its arrays do not fit together)")
        names = arrays["labels"].tolist()
        return cls(**{**{name: arrays[name] for name in fields}, "labels": names})


class EvaluationTables:
    """The tables in the folder ``path``, each read when it is asked for."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @cached_property
    def scores(self) -> pd.DataFrame:
        """scores.tsv, a label a row."""
        table = read_frame(self.path / SCORES, TEXT)
        for name in ("label", "AP", "AUROC", "chance"):
            if name not in table:
                raise TcnfastError(f"{self.path / SCORES}: column {name!r} is missing")
        return table

    @cached_property
    def summary(self) -> dict:
        """summary.json: means over labels, and what they are of."""
        return read_object(self.path / SUMMARY)

    @cached_property
    def curves(self) -> Curves | None:
        """curves.npz; None where an older version wrote the folder."""
        path = self.path / CURVES
        return Curves.read(path) if path.exists() else None


class EvaluationFolder(EvaluationTables):
    """What ``tcnfast evaluate`` wrote to ``path``; ``record`` is run.json. Raises TcnfastError
    where the folder is no finished output of it."""

    def __init__(self, path: str | Path) -> None:
        super().__init__(path)
        self.record = read_record(self.path, "evaluate")
