"""Where training and evaluation get their data: files, or a folder of ``tcnfast prepare``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ..base.errors import TcnfastError
from ..base.options import setting
from ..base.run_folder import named_hash
from ..genome.genome import Genome, Region
from .data_options import NEEDED, DataOptions
from .dataset import Dataset, open_dataset
from .prepared import DATASET, open_prepared
from .splits import SPLIT_NAMES, open_split


@dataclass(frozen=True)
class Source:
    """Data that are open: a dataset, the regions of each part of the split, and where from."""

    dataset: Dataset
    split: dict[str, list[Region]]
    paths: tuple[str, ...]  # the files that are open
    made_from: tuple[tuple[str, str], ...] = ()  # (name, SHA-256) of what a folder was made from

    @cached_property
    def inputs(self) -> list[tuple[str, str]]:
        """(file name, SHA-256) of everything it was made from. Files are read when it is asked."""
        return [*(named_hash(path) for path in self.paths), *self.made_from]


@contextmanager
def open_source(
    data: str | None = None,
    genome: Sequence[str] = (),
    peaks: Sequence[str] = (),
    split: str | None = None,
    ambiguous: Sequence[str] = (),
    blacklist: str | None = None,
    labels: Sequence[str] | None = None,
    label_bin: int | None = None,
) -> Iterator[Source]:
    """Open ``data``, a folder of ``tcnfast prepare``; or ``genome``, ``peaks`` and ``split`` files.

    ``labels``: which, in this order; all, sorted, if None. ``label_bin``: that of a model, bases;
    files take it (200 if None), a folder must have been prepared with it. Raises TcnfastError where
    both or neither are named, for a label without peaks, and for another ``label_bin``.
    """
    files = DataOptions(peaks, ambiguous, blacklist, split, genome)
    if data is not None:
        for name in files.given:
            raise TcnfastError(
                f"{setting(name)}: {setting('data')} has it already; give one of the two"
            )
        yield _open_folder(data, labels, label_bin)
        return
    if not files.given:
        names = [setting(name) for name in NEEDED]
        either = f"{', '.join(names[:-1])} and {names[-1]}"
        raise TcnfastError(f"{setting('data')} is required, or {either}")
    files = [*genome, *peaks, *ambiguous, *(path for path in (blacklist, split) if path)]
    with Genome(*genome) as opened:
        regions = open_split(split, opened.sizes)
        dataset = open_dataset(opened, list(peaks), list(ambiguous), blacklist, labels)
        if label_bin is not None:
            dataset.label_bin = label_bin
        paths = [str(path) for path in files if str(path) not in SPLIT_NAMES]
        yield Source(dataset, regions, tuple(paths))


def _open_folder(data: str, labels: Sequence[str] | None, label_bin: int | None) -> Source:
    dataset, split, record = open_prepared(data, None if labels is None else list(labels))
    if label_bin not in (None, dataset.label_bin):
        raise TcnfastError(
            f"{data}: was prepared with {setting('label_bin', dataset.label_bin)}, the model has "
            f"{label_bin}; prepare the data again with that"
        )
    made_from = tuple((entry["name"], entry["sha256"]) for entry in record["inputs"])
    return Source(dataset, split, (str(Path(data) / DATASET),), made_from)
