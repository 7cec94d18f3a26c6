"""ENCODE's ``metadata.tsv``: which of its peak files make which label, and why others do not."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from ..base.errors import TcnfastError
from ..base.talk import count
from .manifest import PeakFile, check_not_twice, read_tsv
from .splits import ASSEMBLIES

# best first: the first two are the set that ENCODE recommends, under its newer and older name
OUTPUT_TYPES = (
    "IDR thresholded peaks",
    "optimal IDR thresholded peaks",
    "conservative IDR thresholded peaks",
)

_NEEDED = (
    "File accession",
    "File format",
    "Output type",
    "File assembly",
    "Experiment accession",
    "Biosample term name",
    "Experiment target",
)


_OLD_NAMES = {"Assembly": "File assembly"}  # what ENCODE called a column before


@dataclass(frozen=True)
class LeftOut:
    """A row of the metadata that is not used."""

    accession: str
    label: str
    why: str


@dataclass(frozen=True)
class _Row:
    number: int
    values: dict[str, str]

    def __getitem__(self, name: str) -> str:
        return self.values.get(name, "")

    @property
    def label(self) -> str:
        """``TF@CELL``; the target ends in its species, as in CTCF-human. Commas, as of the cell
        "CD4-positive, alpha-beta T cell", are left out, for they separate labels."""
        target, cell = self["Experiment target"].rpartition("-")[0], self["Biosample term name"]
        return f"{target}@{cell}".replace(",", "")


def read_encode(
    path: str | Path, assembly: str | None = None, allow_audit_errors: bool = False
) -> tuple[list[PeakFile], list[LeftOut]]:
    """Peak files of an ENCODE ``metadata.tsv``, which lie beside it, and the rows left out.

    Taken are released narrowPeak files of the assembly asked for (hg38 and GRCh38 are one) that are
    in the folder as ``ACCESSION.bed.gz`` or ``.bed``, of experiments with a target, no treatment
    and no audit error; of each experiment one file: the best of OUTPUT_TYPES, then the one of most
    replicates, the newest analysis and the last accession. The label is ``TF@CELL``; experiments
    of one label are joined.

    Raises TcnfastError for a file that is no such table, for several assemblies where none was
    asked for, and where no file is left.
    """
    path = Path(path)
    rows = _rows(path)
    assembly = _assembly(path, rows, assembly)
    kept: dict[str, list[tuple[_Row, Path]]] = {}
    left_out: list[LeftOut] = []
    for row in rows:
        why = _unfit(row, assembly, allow_audit_errors)
        file = None if why else _file(path.parent, row["File accession"])
        if file is None:
            why = why or "not downloaded: no such file beside the metadata"
            left_out.append(LeftOut(row["File accession"], row.label, why))
        else:
            kept.setdefault(row["Experiment accession"], []).append((row, file))
    files = []
    for candidates in kept.values():
        (best, file), *others = sorted(candidates, key=lambda pair: _rank(pair[0]), reverse=True)
        files.append(PeakFile(best.label, file, None, f"{path}:{best.number}"))
        why = f"{best['File accession']} of the same experiment is preferred"
        left_out += [LeftOut(row["File accession"], row.label, why) for row, _ in others]
    if not files:
        reasons = "; ".join(f"{row.accession}: {row.why}" for row in left_out[:3])
        its = count(len(rows), "row")
        raise TcnfastError(f"{path}: of its {its} none can be used ({reasons}, ...)")
    check_not_twice(files)
    return files, left_out


def assemblies_of(path: str | Path) -> list[str]:
    """Assemblies of the narrowPeak files of an ENCODE ``metadata.tsv``. Raises TcnfastError for a
    file that is no such table, and for one that holds none."""
    path = Path(path)
    found = _assemblies(_rows(path))
    if not found:
        raise TcnfastError(f"{path}: holds no bed narrowPeak file with an assembly")
    return found


def _assemblies(rows: list[_Row]) -> list[str]:
    peaks = [row for row in rows if row["File format"] == "bed narrowPeak"]
    return sorted({row["File assembly"] for row in peaks if row["File assembly"]})


def _rows(path: Path) -> list[_Row]:
    lines = read_tsv(path)
    names = [name.strip() for name in lines[0][1]] if lines else []
    names = [_OLD_NAMES.get(x, x) if _OLD_NAMES.get(x) not in names else x for x in names]
    missing = [name for name in _NEEDED if name not in names]
    if missing:
        raise TcnfastError(
            f"{path}: is no metadata.tsv of ENCODE: has no column {missing[0]!r}; "
            "for a table of your own use --manifest"
        )
    if len(lines) == 1:
        raise TcnfastError(f"{path}: has no rows")
    rows = []
    for number, fields in lines[1:]:
        # writers may drop empty fields at the end of a line, not those in front
        if len(fields) > len(names) or len(fields) <= max(names.index(x) for x in _NEEDED):
            raise TcnfastError(
                f"{path}:{number}: {count(len(fields), 'column')}, the header names {len(names)}"
            )
        fields = [field.strip() for field in fields]
        rows.append(_Row(number, dict(zip(names, fields, strict=False))))
    return rows


def _assembly(path: Path, rows: list[_Row], asked: str | None) -> str:
    """The assembly to take, checked to be there."""
    found = _assemblies(rows)
    if asked is None and len(found) > 1:
        raise TcnfastError(f"{path}: holds peaks on {', '.join(found)}; choose one by --assembly")
    if not found:
        raise TcnfastError(f"{path}: holds no bed narrowPeak file with an assembly")
    chosen = found[0] if asked is None else ASSEMBLIES.get(asked, asked)
    if chosen not in found:
        raise TcnfastError(f"{path}: holds no peaks on {asked}, only on {', '.join(found)}")
    return chosen


def _unfit(row: _Row, assembly: str, allow_audit_errors: bool) -> str | None:
    """Why a row cannot be used; None if it can. The first reason that holds."""
    status = row["File Status"] or row["File status"] or "released"
    error = row["Audit ERROR"]
    reasons = [
        (row["File format"] != "bed narrowPeak", f"format {row['File format']}"),
        (row["File assembly"] != assembly, f"assembly {row['File assembly'] or 'unknown'}"),
        (row["Output type"] not in OUTPUT_TYPES, f"output type {row['Output type']}"),
        (status != "released", f"status {status}"),
        (not row["Experiment target"], "no target"),
        (row.label.startswith("@"), f"target {row['Experiment target']} without a species"),
        (not row["Biosample term name"], "no biosample"),
        (bool(row["Biosample treatments"]), f"treated: {row['Biosample treatments']}"),
        (bool(error) and not allow_audit_errors, f"audit error: {error}"),
    ]
    return next((words for holds, words in reasons if holds), None)


def _rank(row: _Row) -> tuple:
    """Sorts files of one experiment, the best last."""
    replicates = [x for x in row["Biological replicate(s)"].split(",") if x.strip()]
    return (
        -OUTPUT_TYPES.index(row["Output type"]),
        len(replicates),
        row["File analysis status"] == "released",
        _numbered(row["File analysis title"]),
        row["File accession"],
    )


def _numbered(text: str) -> list[str]:
    """What sorts a text by its numbers: version 1.10.0 comes after 1.9.0."""
    return [part.zfill(20) if part.isdigit() else part for part in re.split("([0-9]+)", text)]


def _file(folder: Path, accession: str) -> Path | None:
    names = (f"{accession}.bed.gz", f"{accession}.bed")
    return next((folder / name for name in names if os.path.isfile(folder / name)), None)
