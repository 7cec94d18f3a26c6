"""Files that say which regions train, validate and test: our own, and those of other programs.

Our own, and a fold of ChromBPNet or ENCODE: ``{"train": [...], "valid": [...], "test": [...]}``.
bpnet-lite: the parameters of its fit, ``training_chroms`` and ``validation_chroms`` among others,
or of its pipeline, where they stand in ``fit_parameters``; what it tests on may not be named.
BPNet: ``{"0": {"train": [...], "val": [...], "test": [...]}}``, a number for each fold.
"""

from __future__ import annotations

from pathlib import Path

from ..base.errors import TcnfastError
from ..base.input_files import read_input_text
from ..base.tables import parse_json

SPLIT_PARTS = ("train", "valid", "test")
_BPNET_LITE = {"train": "training_chroms", "valid": "validation_chroms", "test": "test_chroms"}


def read_fold(path: str | Path) -> dict[str, list | None]:
    """What the file names for each of SPLIT_PARTS; None for a test part that it leaves open.

    Raises OSError where it cannot be read, and TcnfastError for any other content.
    """
    try:
        value = parse_json(read_input_text(path))
    except TcnfastError:
        raise
    except ValueError as error:
        raise TcnfastError(f"{path}: not JSON ({error})") from None
    parts = _parts(path, value) if isinstance(value, dict) else {}
    lists = [isinstance(x, list) or (name == "test" and x is None) for name, x in parts.items()]
    if set(parts) != set(SPLIT_PARTS) or not all(lists):
        raise TcnfastError(f'{path}: must hold lists called "train", "valid" and "test"')
    return parts


def _parts(path: str | Path, value: dict) -> dict[str, list | None]:
    inner = value.get("fit_parameters")
    value = inner if isinstance(inner, dict) and "training_chroms" in inner else value
    if "training_chroms" in value and "validation_chroms" in value:
        return {part: value.get(name) for part, name in _BPNET_LITE.items()}
    folds = [x for name, x in value.items() if name.isdigit() and isinstance(x, dict)]
    if folds and len(folds) == len(value):
        if len(folds) > 1:
            raise TcnfastError(
                f"{path}: holds {len(folds)} folds; save the one to use as a file of its own"
            )
        value = folds[0]
    return {{"val": "valid"}.get(name, name): part for name, part in value.items()}
