"""A study on paper: which sets, which networks, which seeds, how they are trained."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

from ..base.errors import TcnfastError
from ..base.options import setting
from ..base.run_folder import file_hash
from ..base.tables import read_object
from ..base.talk import count
from .architectures import ARCHITECTURES
from .binary_sets import read_deepbind, read_gue
from .mapping import MAPPINGS
from .window_config import WindowConfig
from .window_set import WINDOWS, WindowSet

# kinds of sets: how many paths each takes, and what reads them
_SOURCES = {"windows": (1, WindowSet.open), "deepbind": (2, read_deepbind), "gue": (3, read_gue)}
_KEYS = ("sets", "models", "grids", "training", "tuning", "reference", "pairs")


@dataclass(frozen=True)
class Model:
    """A network by name: ``shape`` its settings, ``learning_rate`` None where tuning decides,
    ``training`` fields of WindowConfig that are its own. ``random`` false: every seed would give
    the same network, so it has one, which is held against all seeds of another."""

    name: str
    arch: str
    shape: dict = field(default_factory=dict)
    mapping: str = "one-hot"
    learning_rate: float | None = None
    training: dict = field(default_factory=dict)
    random: bool = True


@dataclass(frozen=True)
class SetSource:
    """Where a set comes from: a folder of ``tcnfast windows prepare``, the two files of a
    DeepBind set, or the three of a GUE set."""

    kind: str
    paths: tuple[Path, ...]

    def open(self) -> WindowSet:
        _, read = _SOURCES[self.kind]
        return read(*self.paths)

    def hashes(self) -> list[str]:
        """SHA-256 of what the windows are made from."""
        files = [self.paths[0] / WINDOWS] if self.kind == "windows" else self.paths
        return [file_hash(path) for path in files]


@dataclass(frozen=True)
class Cell:
    """One training: a network on a set from one seed."""

    set_name: str
    model: str
    seed: int

    @property
    def path(self) -> str:
        return f"{self.set_name}/{self.model}/seed{self.seed}"


@dataclass(frozen=True)
class Tuning:
    """Every model without a learning rate is trained on ``set_name`` with each of
    ``learning_rates``, seed 0, and takes the best by validation macro-AP."""

    set_name: str
    learning_rates: tuple[float, ...]


@dataclass(frozen=True)
class Study:
    """``sets``: where each comes from, by name. ``cells``: all trainings, in order. ``training``:
    fields of WindowConfig for all; ``set_training``: those of a set that differ; those of a model
    come last. ``reference``: the model that the others are tested against; ``pairs``: models of
    which the first is tested against the second too."""

    sets: dict[str, SetSource]
    models: dict[str, Model]
    cells: tuple[Cell, ...]
    training: dict
    set_training: dict[str, dict]
    tuning: Tuning | None
    reference: str
    pairs: tuple[tuple[str, str], ...] = ()

    def config(self, cell: Cell, learning_rate: float) -> WindowConfig:
        """Settings of a cell's training."""
        settings = self.training | self.set_training.get(cell.set_name, {})
        settings |= self.models[cell.model].training
        return WindowConfig(**settings, learning_rate=learning_rate, seed=cell.seed)


def read_study(path: str | Path, data: Sequence[str | Path] = ()) -> Study:
    """The study of a JSON file::

        {"sets": {"e2f": {"windows": "sets/e2f"},
                  "USF1": {"deepbind": ["USF1_AC.seq.gz", "USF1_B.seq.gz"]},
                  "tf0": {"gue": ["tf0.train.csv", "tf0.dev.csv", "tf0.test.csv"],
                          "training": {"shift": 5}}},
         "models": {"tcn": {"arch": "tcn", "learning_rate": 0.003},
                    "danq": {"arch": "danq", "training": {"epochs": 20}},
                    "deepbind": {"arch": "deepbind"},
                    "gkm-svm": {"arch": "gkm-svm", "learning_rate": 1, "random": false}},
         "grids": [{"sets": ["e2f"], "models": ["tcn", "danq", "deepbind"], "seeds": [0, 1]}],
         "training": {"epochs": 10}, "reference": "tcn", "pairs": [["danq", "deepbind"]],
         "tuning": {"set": "e2f", "learning_rates": [0.001, 0.003]}}

    Paths are looked for in the folders ``data``, then where the file lies. Raises TcnfastError
    that says what is wrong.
    """
    path = Path(path)
    raw = read_object(path)
    try:
        return _study(raw, [*map(Path, data), path.parent])
    except TcnfastError as error:
        raise TcnfastError(f"{path}: {error}") from None
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        words = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise TcnfastError(f"{path}: {words}") from None


def _study(raw: dict, folders: list[Path]) -> Study:
    unknown = [key for key in raw if key not in _KEYS]
    if unknown:
        raise TcnfastError(f"{unknown[0]!r} is unknown; a study has {', '.join(_KEYS)}")
    sets, set_training = {}, {}
    for name, value in raw["sets"].items():
        sets[name] = _source(name, value, folders)
        set_training[name] = _training(value.get("training", {}))
    models = {name: _model(name, value) for name, value in raw["models"].items()}
    cells = tuple(dict.fromkeys(cell for grid in raw["grids"] for cell in _cells(grid)))
    _check_names("set", [cell.set_name for cell in cells], sets)
    _check_names("model", [cell.model for cell in cells], models)
    _check_single(cells, models)
    _check_names("reference", [raw["reference"]], models)
    tuning = _tuning(raw.get("tuning"), sets)
    pairs = tuple((first, second) for first, second in raw.get("pairs", ()))
    _check_names("model of pairs", [name for pair in pairs for name in pair], models)
    untuned = [m.name for m in models.values() if m.learning_rate is None]
    if untuned and tuning is None:
        raise TcnfastError(f"model {untuned[0]}: has no learning_rate, and there is no tuning")
    training = _training(raw.get("training", {}))
    rest = tuning, raw["reference"], pairs
    study = Study(sets, models, cells, training, set_training, *rest)
    for cell in cells:  # every setting, before the first training
        rates = [models[cell.model].learning_rate]
        for rate in tuning.learning_rates if rates == [None] else rates:
            study.config(cell, rate)
    return study


def _source(name: str, value: dict, folders: list[Path]) -> SetSource:
    kinds = [key for key in value if key != "training"]
    if len(kinds) != 1 or kinds[0] not in _SOURCES:
        known = ", ".join(_SOURCES)
        raise TcnfastError(f"set {name}: needs one of {known}, and may have training")
    (kind,), (wanted, _) = kinds, _SOURCES[kinds[0]]
    paths = [value[kind]] if isinstance(value[kind], str) else value[kind]
    if len(paths) != wanted:
        raise TcnfastError(f"set {name}: {kind} takes {count(wanted, 'path')}")
    return SetSource(kind, tuple(_find(name, path, folders) for path in paths))


def _find(name: str, path: str, folders: list[Path]) -> Path:
    for folder in folders:
        if os.path.exists(folder / path):  # a name may be too long for any file
            return folder / path
    words = ", ".join(map(str, folders))
    raise TcnfastError(
        f"set {name}: {path} is in none of {words}; {setting('data')} names more folders"
    )


def _cells(grid: dict) -> list[Cell]:
    return [
        Cell(set_name, model, int(seed))
        for seed in grid["seeds"]
        for set_name in grid["sets"]
        for model in grid["models"]
    ]


def _check_single(cells: Sequence[Cell], models: dict[str, Model]) -> None:
    seen = set()
    for cell in cells:
        place = cell.set_name, cell.model
        if place in seen and not models[cell.model].random:
            raise TcnfastError(
                f"model {cell.model}: is not random, so one seed on {cell.set_name} is enough"
            )
        seen.add(place)


def _model(name: str, value: dict) -> Model:
    model = Model(name, **value)
    _training(model.training)
    if not isinstance(model.random, bool):
        raise TcnfastError(f"model {name}: random {model.random!r} must be true or false")
    for word, value, known in (
        ("arch", model.arch, ARCHITECTURES),
        ("mapping", model.mapping, MAPPINGS),
    ):
        if value not in known:
            words = ", ".join(known)
            raise TcnfastError(f"model {name}: {word} {value!r} must be one of {words}")
    return model


def _tuning(value: dict | None, sets: dict) -> Tuning | None:
    if value is None:
        return None
    _check_names("tuning set", [value["set"]], sets)
    if not value["learning_rates"]:
        raise TcnfastError("tuning: learning_rates names none")
    return Tuning(value["set"], tuple(value["learning_rates"]))


def _training(value: dict) -> dict:
    known = {f.name for f in fields(WindowConfig)} - {"learning_rate", "seed"}
    unknown = [key for key in value if key not in known]
    if unknown:
        raise TcnfastError(f"training {unknown[0]!r}: must be one of {', '.join(sorted(known))}")
    WindowConfig(**value)
    return dict(value)


def _check_names(what: str, names: list[str], known: dict) -> None:
    for name in names:
        if name not in known:
            raise TcnfastError(f"{what} {name!r} is none of {', '.join(known)}")
        if not name.isprintable() or "/" in name or name in ("", ".", "..") or len(name) > 100:
            raise TcnfastError(f"{what} {name!r}: must be a plain name of at most 100 letters")
