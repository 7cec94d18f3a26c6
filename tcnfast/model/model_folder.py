"""The model folder: the one room that writes and reads one.

It holds model.safetensors, config.json and labels.tsv; thresholds.tsv and README.md (the card) once
the model is calibrated and published, calls.tsv, grades.tsv and calls.within.tsv with them (what to
expect of calls: grades.py) and genome.json (home_genome.py); and run.json, train.tsv and
scores.*.tsv where ``tcnfast train`` wrote it. No pickle anywhere: opening a stranger's folder runs
none of the stranger's code. An ensemble is one such folder: config.json lists the shapes of its
members, model.safetensors holds the tensors of all.
"""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.errors import TcnfastError, did_you_mean
from ..base.finite import check_finite
from ..base.run_folder import RECORD, read_json
from ..base.tables import parse_json, read_bytes, read_frame, read_table, replace_file
from .grades import CALLS, GRADED, WITHIN, Calls, read_calls, write_calls
from .home_genome import GENOME, HomeGenome, read_home, write_home
from .thresholds import Threshold, read_thresholds, write_thresholds

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

    import pandas as pd
    from torch import Tensor, nn

FORMAT = 1
WEIGHTS, CONFIG, LABELS, THRESHOLDS = (
    "model.safetensors",
    "config.json",
    "labels.tsv",
    "thresholds.tsv",
)
LABELS_HASH = "labels_sha256"  # in config.json
CARD, EPOCHS = "README.md", "train.tsv"


def scores_file(part: str) -> str:
    """Name of the table of scores on a part of the split."""
    return f"scores.{part}.tsv"


class ModelFolder:
    """A model on disk. Nothing is read before it is asked for, and labels, configuration and
    thresholds are read without the weights.

    Args:
        name: a folder, or the name of a bundled model.

    Raises:
        TcnfastError: where there is no such folder; its properties raise it where a file is at
            fault,
            and name that file.
    """

    def __init__(self, name: str | Path) -> None:
        self.path = _find(name)

    @property
    def name(self) -> str:
        """The name of the folder."""
        return self.path.name

    @staticmethod
    def bundled() -> list[str]:
        """The models that come with the package.

        Returns:
            list[str]: their names, sorted.
        """
        root = _bundled_root()
        return sorted(p.name for p in root.iterdir() if p.is_dir()) if root.is_dir() else []

    @staticmethod
    def holds_model(folder: str | Path) -> bool:
        """Whether a folder looks like one of a model.

        Args:
            folder: a path.

        Returns:
            bool: whether a config.json lies in it.
        """
        return (Path(folder) / CONFIG).exists()

    @property
    def config(self) -> dict[str, Any]:
        """Of config.json: the shape of a network, or those of the members of an ensemble."""
        return {name: x for name, x in self._config.items() if name != LABELS_HASH}

    @cached_property
    def _config(self) -> dict[str, Any]:
        path = self.path / CONFIG
        data = read_bytes(path)
        try:
            config = parse_json(data)
        except ValueError as error:
            raise TcnfastError(f"{path}: not JSON ({error})") from None
        if not isinstance(config, dict) or "format" not in config:
            raise TcnfastError(f'{path}: not a tcnfast model configuration (no "format")')
        if config.pop("format") != FORMAT:
            raise TcnfastError(f"{path}: written by another tcnfast (format must be {FORMAT})")
        return config

    @cached_property
    def labels(self) -> list[str]:
        """The labels in the order of the model's outputs."""
        path = self.path / LABELS
        labels = [row["label"] for row in read_table(path, ("label",), read_bytes(path))]
        if not labels:
            raise TcnfastError(f"{path}: holds no label")
        for number, label in enumerate(labels, 2):
            if not label or label in labels[: number - 2]:
                raise TcnfastError(f"{path}:{number}: label {label!r} is empty or there twice")
        if self._config.get(LABELS_HASH) not in (None, labels_hash(labels)):  # older: None
            raise TcnfastError(
                f"{path}: its labels are not those, in their order, that the model was saved with "
                f"({LABELS_HASH} of {CONFIG}); put the rows back, or fetch the folder again"
            )
        return labels

    @cached_property
    def thresholds(self) -> dict[str, Threshold] | None:
        """How to call each label; None for a model that was not calibrated."""
        path = self.path / THRESHOLDS
        return read_thresholds(path, self.labels) if path.exists() else None

    @cached_property
    def calls(self) -> Calls | None:
        """What to expect of calls; None for a model for which that was not measured."""
        return read_calls(self.path, self.labels)

    @cached_property
    def home(self) -> HomeGenome | None:
        """The genome that the model was trained on; None where it does not say."""
        return read_home(self.path)

    @property
    def record(self) -> dict[str, Any]:
        """run.json: how the model was made; empty where it says nothing."""
        return read_json(self.path / RECORD)

    @cached_property
    def hash(self) -> str:
        """SHA-256 over the files that decide what a scan gives."""
        digest = hashlib.sha256()
        for name in (WEIGHTS, CONFIG, LABELS, THRESHOLDS):
            path = self.path / name
            digest.update(name.encode() + (path.read_bytes() if path.exists() else b""))
        for name in (CALLS, WITHIN, GRADED, GENOME):
            path = self.path / name
            if path.exists():
                digest.update(name.encode() + path.read_bytes())
        return digest.hexdigest()

    def state(self) -> dict[str, Tensor]:
        """The weights, on the CPU.

        Returns:
            dict[str, Tensor]: the tensors by name, all of them finite.

        Raises:
            TcnfastError: where the file is missing, damaged, or holds what is not finite.
        """
        return read_tensors(self.path / WEIGHTS)

    def table(self) -> pd.DataFrame:
        """The labels, one a row.

        Returns:
            pandas.DataFrame: label, tf, cell and, of a calibrated model, the columns of
                thresholds.tsv.

        Raises:
            TcnfastError: where a table is damaged.
        """
        labels = read_frame(self.path / LABELS, ("label", "tf", "cell"))
        if not (self.path / THRESHOLDS).exists():
            return labels
        return labels.merge(read_frame(self.path / THRESHOLDS), on="label", how="left")

    def epochs(self) -> pd.DataFrame:
        """The course of the training, an epoch a row.

        Returns:
            pandas.DataFrame: loss and validation scores, the columns of train.tsv.

        Raises:
            TcnfastError: where the folder has no train.tsv.
        """
        return read_frame(self.path / EPOCHS)

    def scores(self, part: str = "test") -> pd.DataFrame:
        """Every score of every label on a part of the split.

        Args:
            part: "valid" or "test".

        Returns:
            pandas.DataFrame: a label a row.

        Raises:
            TcnfastError: where the model was not scored on that part.
        """
        return read_frame(self.path / scores_file(part))

    @classmethod
    def write(
        cls,
        folder: str | Path,
        state: dict[str, Tensor],
        config: dict[str, Any],
        labels: list[str],
        thresholds: dict[str, Threshold] | None = None,
        calls: Calls | None = None,
        home: HomeGenome | None = None,
    ) -> ModelFolder:
        """Write a model folder, each file under a temporary name first.

        Args:
            folder: made where it is missing; files of a model that is there are replaced.
            state: tensors by name.
            config: what config.json is to hold.
            labels: in the order of the outputs.
            thresholds: how to call each label; None for a model that is not calibrated.
            calls: what to expect of calls, or None.
            home: the genome that the model was trained on, or None.

        Returns:
            ModelFolder: the folder.

        Raises:
            TcnfastError: for weights that are not finite.
        """
        from safetensors.torch import save

        folder = Path(folder)
        check_finite(state, f"the model for {folder}", "nothing was written")
        folder.mkdir(parents=True, exist_ok=True)
        contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
        replace_file(folder / WEIGHTS, save(contiguous))
        bound = {"format": FORMAT, LABELS_HASH: labels_hash(labels)}
        text = json.dumps(bound | config, indent=2) + "\n"
        replace_file(folder / CONFIG, text.encode())
        parts = [(label, *label.partition("@")) for label in labels]
        rows = ["label\ttf\tcell", *(f"{label}\t{tf}\t{cell}" for label, tf, _, cell in parts)]
        replace_file(folder / LABELS, ("\n".join(rows) + "\n").encode())
        if thresholds is None:
            (folder / THRESHOLDS).unlink(missing_ok=True)
        else:
            write_thresholds(folder / THRESHOLDS, labels, thresholds)
        write_calls(folder, calls)
        write_home(folder, home)
        return cls(folder)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, on the CPU. Raises TcnfastError where it is none, and for
    what is not finite."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        state = load(read_bytes(path))
    except SafetensorError as error:
        raise TcnfastError(f"{path}: no safetensors file ({error})") from None
    check_finite(state, str(path), "train it anew, or fetch it again")
    return state


def take_weights(model: nn.Module, state: dict[str, Tensor], path: Path) -> None:
    """Put the tensors of the file ``path`` into a network. Raises TcnfastError where they are of
    another one."""
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise TcnfastError(f"{path}: {' '.join(str(error).split())[:200]}") from None


def labels_hash(labels: list[str]) -> str:
    """SHA-256 that binds names to the outputs of a head: of the labels in their order."""
    return hashlib.sha256("\n".join(labels).encode()).hexdigest()


def _bundled_root() -> Traversable:
    return resources.files("tcnfast.model") / "bundled"


def _find(name: str | Path) -> Path:
    path = Path(name)
    if path.is_dir():
        return path
    bundled = ModelFolder.bundled()
    if str(name) in bundled:
        return Path(str(_bundled_root() / str(name)))
    if path.exists():
        raise TcnfastError(f"model {name}: is a file; a model is a folder holding {WEIGHTS}")
    mend = did_you_mean(path.name, bundled)
    raise TcnfastError(
        f"model {name}: no such folder, nor a bundled model ({', '.join(bundled) or '-'})"
        + (f"; {mend}" if mend else "")
    )
