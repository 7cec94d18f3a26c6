"""Manifests: tables that name a peak file for each label."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..base.errors import TcnfastError
from ..base.input_files import read_input_text
from ..base.talk import count

COLUMNS = ("label", "path", "ambiguous_path", "cell")


@dataclass(frozen=True)
class PeakFile:
    """A file of peaks of one label, and one of its relaxed peaks; ``where``: what named it."""

    label: str
    path: Path
    ambiguous: Path | None
    where: str


def read_manifest(path: str | Path) -> list[PeakFile]:
    """Rows of a manifest: tab-separated ``label path [ambiguous_path] [cell]``.

    The first line may name the columns, in any order (then others may stand beside them); without
    that they come in this order. Paths are relative to the manifest's folder; an empty field, or a
    dot, is none. With a cell the label becomes ``label@cell``. Several rows may share a label.
    Raises TcnfastError for rows without label or path, files that are not there, and a peak file
    that is listed twice.
    """
    path = Path(path)
    rows = read_tsv(path)
    if not rows:
        raise TcnfastError(f"{path}: is empty; write label and path on each line, with a tab")
    number, first = rows[0]
    names = [name.strip().lstrip("#").lower() for name in first]
    if "label" in names and "path" in names:
        rows = rows[1:]
    else:
        names = list(COLUMNS)
    if not rows:
        raise TcnfastError(f"{path}:{number}: names columns, but no peak file follows")
    files = [_peak_file(path, number, names, fields) for number, fields in rows]
    check_not_twice(files)
    return files


def _peak_file(path: Path, number: int, names: Sequence[str], fields: list[str]) -> PeakFile:
    where = f"{path}:{number}"
    if len(fields) < 2:
        raise TcnfastError(f"{where}: 1 column; needs label and path, with a tab between them")
    if len(fields) > len(names):
        raise TcnfastError(f"{where}: {count(len(fields), 'column')}, not {' '.join(names)}")
    row = {name: field.strip() for name, field in zip(names, fields, strict=False)}
    values = {name: value if (value := row.get(name, "")) != "." else "" for name in COLUMNS}
    for name in ("label", "path"):
        if not values[name]:
            raise TcnfastError(f"{where}: empty {name}")
    label = f"{values['label']}@{values['cell']}" if values["cell"] else values["label"]
    peaks, ambiguous = (
        path.parent / values[name] if values[name] else None for name in ("path", "ambiguous_path")
    )
    for file in (peaks, ambiguous):
        if file is not None and not os.path.isfile(file):
            raise TcnfastError(f"{where}: no file {file}; paths are relative to {path.parent}")
    return PeakFile(label, peaks, ambiguous, where)


def check_not_twice(files: list[PeakFile]) -> None:
    """Raise TcnfastError where a peak file is listed twice."""
    seen: dict[Path, PeakFile] = {}
    for file in files:
        other = seen.setdefault(file.path.resolve(), file)
        if other is not file:
            raise TcnfastError(
                f"{file.where}: {file.path} is listed already, for {other.label} at {other.where}; "
                "take one of the rows out"
            )


def read_tsv(path: Path) -> list[tuple[int, list[str]]]:
    """(line number, fields) of the lines of a tab-separated file that are neither empty nor, but
    for the first, comments. Raises TcnfastError where it cannot be read."""
    try:
        text = io.StringIO(read_input_text(path, "utf-8-sig"), newline="")
        reader = csv.reader(text, delimiter="\t", quoting=csv.QUOTE_NONE)
        rows = [(reader.line_num, fields) for fields in reader]
    except OSError as error:
        raise TcnfastError(f"{path}: cannot be read ({error.strerror})") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise TcnfastError(f"{path}: is no text table ({error})") from None
    return [
        (number, fields)
        for number, fields in rows
        if any(field.strip() for field in fields) and (number == 1 or fields[0][:1] != "#")
    ]
