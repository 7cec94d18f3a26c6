"""The model folder: model.safetensors, config.json, labels.tsv, thresholds.tsv, README.md.

No pickle anywhere: opening a stranger's folder runs none of the stranger's code. thresholds.tsv and
README.md (the card) are there once a model is calibrated and published. An ensemble is one such
folder: config.json lists the shapes of its members, model.safetensors holds the tensors of all.
"""

from __future__ import annotations

import hashlib
import json
from importlib import resources
from pathlib import Path

from ..base.errors import TcnfastError
from ..base.tables import read_bytes, read_table, replace_file
from .thresholds import Threshold, read_thresholds, write_thresholds

FORMAT = 1
WEIGHTS, CONFIG, LABELS, THRESHOLDS = (
    "model.safetensors",
    "config.json",
    "labels.tsv",
    "thresholds.tsv",
)


def bundled_models() -> list[str]:
    """Names of the models that come with the package."""
    root = resources.files("tcnfast.model") / "bundled"
    return sorted(p.name for p in root.iterdir() if p.is_dir()) if root.is_dir() else []


def model_folder(name: str | Path) -> Path:
    """Folder of a model given by path or by bundled name; TcnfastError where there is none."""
    path = Path(name)
    if path.is_dir():
        return path
    if str(name) in bundled_models():
        return Path(str(resources.files("tcnfast.model") / "bundled" / str(name)))
    if path.exists():
        raise TcnfastError(f"model {name}: is a file; a model is a folder holding {WEIGHTS}")
    raise TcnfastError(
        f"model {name}: no such folder, nor a bundled model ({', '.join(bundled_models()) or '-'})"
    )


def folder_hash(folder: Path) -> str:
    """SHA-256 over the files that decide what a scan gives."""
    digest = hashlib.sha256()
    for name in (WEIGHTS, CONFIG, LABELS, THRESHOLDS):
        path = folder / name
        digest.update(name.encode() + (path.read_bytes() if path.exists() else b""))
    return digest.hexdigest()


def write_folder(
    folder: str | Path,
    state: dict,
    config: dict,
    labels: list[str],
    thresholds: dict[str, Threshold] | None,
) -> None:
    """Write a model folder; each file under a temporary name first."""
    from safetensors.torch import save

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    replace_file(folder / WEIGHTS, save(contiguous))
    text = json.dumps({"format": FORMAT, **config}, indent=2) + "\n"
    replace_file(folder / CONFIG, text.encode())
    rows = ["label\ttf\tcell"] + ["\t".join([x, *_tf_and_cell(x)]) for x in labels]
    replace_file(folder / LABELS, ("\n".join(rows) + "\n").encode())
    if thresholds is None:
        (folder / THRESHOLDS).unlink(missing_ok=True)
        return
    write_thresholds(folder / THRESHOLDS, labels, thresholds)


def read_folder(folder: Path) -> tuple[dict, dict, list[str], dict[str, Threshold] | None]:
    """State, config, labels and thresholds. Raises TcnfastError naming the file at fault."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    config = _read_config(folder)
    labels = _read_labels(folder / LABELS)
    try:
        state = load(read_bytes(folder / WEIGHTS))
    except SafetensorError as error:
        raise TcnfastError(f"{folder / WEIGHTS}: no safetensors file ({error})") from None
    thresholds = None
    if (folder / THRESHOLDS).exists():
        thresholds = read_thresholds(folder / THRESHOLDS, labels)
    return state, config, labels, thresholds


def _read_config(folder: Path) -> dict:
    path = folder / CONFIG
    try:
        config = json.loads(read_bytes(path))
    except ValueError as error:
        raise TcnfastError(f"{path}: not JSON ({error})") from None
    if not isinstance(config, dict) or "format" not in config:
        raise TcnfastError(f'{path}: not a tcnfast model configuration (no "format")')
    if config.pop("format") != FORMAT:
        raise TcnfastError(f"{path}: written by another tcnfast (format must be {FORMAT})")
    return config


def _read_labels(path: Path) -> list[str]:
    labels = [row["label"] for row in read_table(path, ("label",))]
    if not labels:
        raise TcnfastError(f"{path}: holds no label")
    for number, label in enumerate(labels, 2):
        if not label or label in labels[: number - 2]:
            raise TcnfastError(f"{path}:{number}: label {label!r} is empty or there twice")
    return labels


def _tf_and_cell(label: str) -> tuple[str, str]:
    tf, _, cell = label.partition("@")
    return tf, cell
