"""The model folder: model.safetensors, config.json, labels.tsv, thresholds.tsv, README.md.

No pickle anywhere: opening a stranger's folder runs none of the stranger's code. thresholds.tsv and
README.md (the card) are there once a model is calibrated and published.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, fields
from importlib import resources
from pathlib import Path

from .errors import TcnfastError

FORMAT = 1
WEIGHTS, CONFIG, LABELS, THRESHOLDS = (
    "model.safetensors",
    "config.json",
    "labels.tsv",
    "thresholds.tsv",
)


@dataclass(frozen=True)
class Threshold:
    """How to call one label. ``precision``, ``recall`` and ``positives`` (bound windows) were
    measured at ``threshold`` on held-out regions that chose nothing."""

    label: str
    threshold: float  # probability
    precision: float
    recall: float
    positives: int


def bundled_models() -> list[str]:
    """Names of the models that come with the package."""
    root = resources.files("tcnfast") / "models"
    return sorted(p.name for p in root.iterdir() if p.is_dir()) if root.is_dir() else []


def model_folder(name: str | Path) -> Path:
    """Folder of a model given by path or by bundled name; TcnfastError where there is none."""
    path = Path(name)
    if path.is_dir():
        return path
    if str(name) in bundled_models():
        return Path(str(resources.files("tcnfast") / "models" / str(name)))
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
    _replace(folder / WEIGHTS, save(contiguous))
    text = json.dumps({"format": FORMAT, **config}, indent=2) + "\n"
    _replace(folder / CONFIG, text.encode())
    rows = ["label\ttf\tcell"] + ["\t".join([x, *_tf_and_cell(x)]) for x in labels]
    _replace(folder / LABELS, ("\n".join(rows) + "\n").encode())
    if thresholds is None:
        (folder / THRESHOLDS).unlink(missing_ok=True)
        return
    names = [field.name for field in fields(Threshold)]
    rows = ["\t".join(names)]
    for label in labels:
        row = thresholds[label]
        rows.append(
            f"{row.label}\t{row.threshold:.6g}\t{row.precision:.4f}\t{row.recall:.4f}"
            f"\t{row.positives}"
        )
    _replace(folder / THRESHOLDS, ("\n".join(rows) + "\n").encode())


def read_folder(folder: Path) -> tuple[dict, dict, list[str], dict[str, Threshold] | None]:
    """State, config, labels and thresholds. Raises TcnfastError naming the file at fault."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    config = _read_config(folder)
    labels = _read_labels(folder / LABELS)
    try:
        state = load(_read(folder / WEIGHTS))
    except SafetensorError as error:
        raise TcnfastError(f"{folder / WEIGHTS}: no safetensors file ({error})") from None
    thresholds = None
    if (folder / THRESHOLDS).exists():
        thresholds = _read_thresholds(folder / THRESHOLDS, labels)
    return state, config, labels, thresholds


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise TcnfastError(f"{path.parent}: no model folder, {path.name} is missing") from None
    except OSError as error:
        raise TcnfastError(f"{path}: cannot be read ({error.strerror})") from None


def _read_config(folder: Path) -> dict:
    path = folder / CONFIG
    try:
        config = json.loads(_read(path))
    except ValueError as error:
        raise TcnfastError(f"{path}: not JSON ({error})") from None
    if not isinstance(config, dict) or "format" not in config:
        raise TcnfastError(f'{path}: not a tcnfast model configuration (no "format")')
    if config.pop("format") != FORMAT:
        raise TcnfastError(f"{path}: written by another tcnfast (format must be {FORMAT})")
    return config


def _read_table(path: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
    try:
        lines = _read(path).decode().splitlines()
    except UnicodeDecodeError:
        raise TcnfastError(f"{path}: not a text table") from None
    header = lines[0].split("\t") if lines else []
    missing = [name for name in columns if name not in header]
    if missing:
        raise TcnfastError(f"{path}: column {missing[0]!r} is missing from its first line")
    rows = [line.split("\t") for line in lines[1:] if line]
    for number, row in enumerate(rows, 2):
        if len(row) != len(header):
            raise TcnfastError(f"{path}:{number}: {len(row)} columns, its header has {len(header)}")
    return [dict(zip(header, row, strict=True)) for row in rows]


def _read_labels(path: Path) -> list[str]:
    labels = [row["label"] for row in _read_table(path, ("label",))]
    if not labels:
        raise TcnfastError(f"{path}: holds no label")
    for number, label in enumerate(labels, 2):
        if not label or label in labels[: number - 2]:
            raise TcnfastError(f"{path}:{number}: label {label!r} is empty or there twice")
    return labels


def _read_thresholds(path: Path, labels: list[str]) -> dict[str, Threshold]:
    thresholds = {}
    names = tuple(field.name for field in fields(Threshold))
    for number, row in enumerate(_read_table(path, names), 2):
        try:
            entry = Threshold(
                row["label"],
                float(row["threshold"]),
                float(row["precision"]),
                float(row["recall"]),
                int(row["positives"]),
            )
        except ValueError as error:
            raise TcnfastError(f"{path}:{number}: {error}") from None
        if not 0 < entry.threshold < 1:
            raise TcnfastError(f"{path}:{number}: threshold {entry.threshold} is no probability")
        thresholds[entry.label] = entry
    absent = [label for label in labels if label not in thresholds]
    if absent:
        raise TcnfastError(f"{path}: no threshold for label {absent[0]!r}")
    return thresholds


def _tf_and_cell(label: str) -> tuple[str, str]:
    tf, _, cell = label.partition("@")
    return tf, cell


def _replace(path: Path, data: bytes) -> None:
    temporary = path.with_name(path.name + ".tmp")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise TcnfastError(f"{path}: cannot be written ({error.strerror})") from None
