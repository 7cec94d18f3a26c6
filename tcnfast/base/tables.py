"""The small files of a model folder: read whole, written whole, with errors that name the file."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .disk import named, write_text
from .errors import TcnfastError
from .input_files import read_input_text
from .talk import count

if TYPE_CHECKING:
    import pandas as pd

NO_VALUE = ["", "NA", "nan"]


def read_bytes(path: Path) -> bytes:
    """Contents of a file of a model folder; TcnfastError where it is missing or unreadable."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise TcnfastError(f"{path.parent}: no model folder, {path.name} is missing") from None
    except OSError as error:
        raise TcnfastError(f"{path}: cannot be read ({error.strerror})") from None


def read_table(
    path: Path, columns: tuple[str, ...], data: bytes | None = None
) -> list[dict[str, str]]:
    """Rows of a tab-separated table with a header that holds at least ``columns``. ``data``: what
    is in the file, where it was read before."""
    try:
        lines = (path.read_bytes() if data is None else data).decode().splitlines()
    except OSError as error:
        raise TcnfastError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise TcnfastError(f"{path}: not a text table") from None
    header = lines[0].split("\t") if lines else []
    missing = [name for name in columns if name not in header]
    if missing:
        raise TcnfastError(f"{path}: column {missing[0]!r} is missing from its first line")
    rows = [line.split("\t") for line in lines[1:] if line]
    for number, row in enumerate(rows, 2):
        if len(row) != len(header):
            found = count(len(row), "column")
            raise TcnfastError(f"{path}:{number}: {found}, its header has {len(header)}")
    return [dict(zip(header, row, strict=True)) for row in rows]


def read_rows(
    path: Path, columns: tuple[str, ...], text: Sequence[str] = ("label",)
) -> list[dict[str, Any]]:
    """The rows of :func:`read_table`, numbers as int or float but in the columns ``text``; what
    :func:`read_frame` takes for no value is NaN, in text None. For small tables where the import of
    pandas, half a second, would be felt."""
    rows: list[dict[str, Any]] = list(read_table(path, columns))
    for number, row in enumerate(rows, 2):
        for name, value in row.items():
            try:
                row[name] = _parsed(value, name in text)
            except ValueError:
                raise TcnfastError(f"{path}:{number}: {name} {value!r} is no number") from None
    return rows


def _parsed(value: str, as_text: bool) -> str | float | None:
    if value in NO_VALUE:
        return None if as_text else math.nan
    if as_text:
        return value
    return int(value) if value.isdecimal() else float(value)


def as_number(cell: str) -> float:
    """The number in a cell, NaN for NA. Raises ValueError for anything else."""
    return math.nan if cell == "NA" else float(cell)


def as_cell(value: float, form: str) -> str:
    """What :func:`as_number` reads: ``value`` in a form as ".4f", NA for NaN."""
    return "NA" if math.isnan(value) else format(value, form)


def parse_json(text: str | bytes) -> object:
    """The value of a JSON text. Raises ValueError where it is none, or nested beyond reason."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def read_object(path: str | Path) -> dict:
    """The object in a JSON file; TcnfastError where it cannot be read or is none."""
    try:
        value = parse_json(read_input_text(path))
    except TcnfastError:  # says itself what is wrong
        raise
    except OSError as error:
        raise TcnfastError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise TcnfastError(f"{path}: not JSON ({error})") from None
    if not isinstance(value, dict):
        raise TcnfastError(f"{path}: must hold an object, as {{...}}")
    return value


def read_description(path: Path, command: str, version: int) -> dict:
    """The JSON file that describes a folder of ``tcnfast command``; TcnfastError where the folder
    has none, and where another version of tcnfast wrote it."""
    if not path.is_file():
        raise TcnfastError(f"{path.parent}: is no folder of tcnfast {command} (no {path.name})")
    found = read_object(path)
    if found.get("version") != version:
        raise TcnfastError(
            f"{path}: has version {found.get('version')}, this tcnfast reads {version}; run "
            f"{command} again"
        )
    return found


def read_frame(
    path: Path | io.StringIO,
    text: Sequence[str] = ("label",),
    names: Sequence[str] | None = None,
    needs: Sequence[str] = (),
    numbers: Sequence[str] = (),
) -> pd.DataFrame:
    """A tab-separated table as a pandas table; TcnfastError where it is missing or none.

    ``text``: columns that hold text, whatever it looks like. ``names``: of the columns, where the
    file has no header. NA, nan and nothing at all stand for no value. ``needs``: columns that must
    be there; ``numbers``: those that must be and hold numbers.
    """
    import pandas

    try:
        table = pandas.read_csv(
            path,
            sep="\t",
            names=names,
            dtype=dict.fromkeys(("#chrom", "chrom", *text), str),
            keep_default_na=False,
            quoting=csv.QUOTE_NONE,
            na_values=NO_VALUE,
        )
    except pandas.errors.EmptyDataError:
        if names is None:
            raise TcnfastError(f"{path}: not a table (not even a header)") from None
        table = pandas.DataFrame(columns=names)
    except OSError as error:
        raise TcnfastError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError as error:  # pandas' own errors are ValueErrors
        raise TcnfastError(f"{path}: not a table ({error})") from None
    table = table.rename(columns={"#chrom": "chrom"})
    for name in (*needs, *numbers):
        if name not in table:
            raise TcnfastError(f"{path}: column {name!r} is missing")
        if name in numbers and len(table) and table[name].dtype.kind not in "iuf":
            raise TcnfastError(f"{path}: column {name!r} must hold numbers")
    return table


def write_rows(path: Path, columns: Sequence[str], rows: Iterable[Sequence]) -> None:
    """Write a tab-separated table: a header and one line a row; NA stands for what is None."""
    lines = [columns, *(["NA" if value is None else str(value) for value in row] for row in rows)]
    write_text(path, "".join("\t".join(line) + "\n" for line in lines))


def write_frame(path: Path, table, numbers: str = "%.6g") -> None:
    """Write a pandas table as :func:`read_frame` reads it, its floating numbers in the form
    ``numbers``; nan stands for no value."""
    quiet = csv.QUOTE_NONE
    text = table.to_csv(sep="\t", index=False, float_format=numbers, na_rep="nan", quoting=quiet)
    write_text(path, text)


def replace_file(path: Path, data: bytes) -> None:
    """Write ``data`` under a temporary name, then rename: a reader never sees half a file. A
    symbolic link in either place is replaced, and what it leads to stays as it is."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        if temporary.is_symlink():
            temporary.unlink()
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        words = named(error, path, len(data)).strerror
        raise TcnfastError(f"{path}: cannot be written ({words})") from None
