"""Motif files of any source: MEME, JASPAR, TRANSFAC and HOMER, and matrices that come with the
package, by name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..base.errors import did_you_mean, shown
from .meme import DATABASE, Motif, MotifError, parse_meme, probability_row, read_text

BUNDLED = {  # name: file; which are there and under what licence: databases/README.md
    "jaspar": DATABASE,
    "jaspar-insects": DATABASE.with_name("jaspar2024_core_insects.meme.gz"),
    "jaspar-fungi": DATABASE.with_name("jaspar2024_core_fungi.meme.gz"),
    "jaspar2026": DATABASE.with_name("jaspar2026_core_vertebrates.meme.gz"),
}
KINDS = ("MEME", "JASPAR", "TRANSFAC", "HOMER")
_TAG = re.compile(r"(AC|ID|VV|XX|NA|DE|BF|P0|PO)(\s|$)")


def motif_file(name: str | Path) -> Path:
    """The file that ``name`` is: a path, or one of BUNDLED, which a path of that name goes before.

    Raises MotifError for what is neither, with a bundled name that is near.
    """
    path = Path(name)
    if str(name) in BUNDLED and not path.exists():
        return BUNDLED[str(name)]
    near = did_you_mean(str(name), BUNDLED)
    if near and not path.exists() and not path.suffix:
        raise MotifError(f"{name}: no such file, nor bundled motifs ({', '.join(BUNDLED)}); {near}")
    return path


def read_motifs(name: str | Path) -> list[Motif]:
    """Motifs of a file in one of KINDS, plain or gzip, or of a bundled name; in file order.

    Counts become shares, without pseudocounts. Raises MotifError with path and line.
    """
    path = motif_file(name)
    lines = read_text(path).splitlines()
    kind = motif_kind(lines)
    if kind == "MEME":
        return parse_meme(path, lines)
    parse = {"JASPAR": _jaspar, "TRANSFAC": _transfac, "HOMER": _homer}[kind]
    motifs: dict[str, Motif] = {}
    for number, motif in parse(path, lines):
        if motif.id in motifs:
            raise MotifError(f"{path}:{number}: motif {shown(motif.id, 60)} is there twice")
        motifs[motif.id] = motif
    if not motifs:
        raise MotifError(f"{path}:1: no motif in the file")
    return list(motifs.values())


def motif_kind(lines: list[str]) -> str:
    """Which of KINDS a file is: MEME where it is none of the others."""
    first = [line for line in lines if line.strip() and not line.startswith("#")][:2] + ["", ""]
    if _TAG.match(first[0]):
        return "TRANSFAC"
    if not first[0].startswith(">"):
        return "MEME"
    row = first[1].split()
    if len(first[0].split("\t")) > 2 and len(row) == 4 and all(map(_is_number, row)):
        return "HOMER"
    return "JASPAR"


def _jaspar(path: Path, lines: list[str]) -> Iterator[tuple[int, Motif]]:
    """``>ID NAME``, then a row of counts for each base, as ``A [ 4 19 0 ]`` or numbers alone."""
    for number, words, rows in _blocks(path, lines):
        counts = []
        for at, row in rows:
            base = re.match(r"\s*([ACGTacgt])(?=[\s\[|:])", row)
            if base and base[1].upper() != "ACGT"[min(len(counts), 3)]:
                raise MotifError(f"{path}:{at}: rows must be those of A, C, G and T, in this order")
            text = re.sub(r"[\[\]|:]", " ", row[base.end() :] if base else row)
            counts.append(_numbers(path, at, text.split()))
        if len(counts) != 4 or len({len(row) for row in counts}) > 1:
            raise MotifError(
                f"{path}:{number}: a JASPAR matrix has four rows, of A, C, G and T, of equal length"
            )
        name = "_".join(words[1:]) or words[0]
        yield number, Motif(name, words[0], _shares(path, number, np.array(counts).T))


def _homer(path: Path, lines: list[str]) -> Iterator[tuple[int, Motif]]:
    """``>CONSENSUS<tab>NAME<tab>threshold...``, then a row of four shares for each base."""
    for number, _, rows in _blocks(path, lines):
        fields = lines[number - 1][1:].split("\t")
        title = fields[1].strip() if len(fields) > 1 else ""
        id = re.sub(r"\s+", "_", title) or fields[0].strip()
        guess = title.partition("BestGuess:")[2] or title
        name = re.split(r"[(/,]", guess)[0].strip() or id
        matrix = np.array([probability_row(f"{path}:{at}", row) for at, row in rows])
        if not len(matrix):
            raise MotifError(f"{path}:{number}: motif {shown(id, 60)} has no rows of numbers")
        yield number, Motif(name, id, _shares(path, number, matrix))


def _transfac(path: Path, lines: list[str]) -> Iterator[tuple[int, Motif]]:
    """Entries that end in ``//``; the matrix has a header ``P0 A C G T`` and numbered rows."""
    about: dict[str, str] = {}
    order, rows, begin = None, [], 1
    for number, line in enumerate([*lines, "//"], 1):
        tag, _, rest = line.strip().partition(" ") if "\t" not in line else line.partition("\t")
        tag, words = tag.strip(), rest.split()
        if tag == "//":
            if order is not None:
                yield begin, _entry(path, begin, about, np.array(rows)[:, order] if rows else None)
            about, order, rows, begin = {}, None, [], number + 1
        elif tag in ("P0", "PO"):
            if sorted(word.upper() for word in words[:4]) != list("ACGT"):
                raise MotifError(f"{path}:{number}: needs the columns A, C, G and T")
            order = [[word.upper() for word in words[:4]].index(base) for base in "ACGT"]
        elif order is not None and tag.isdigit():
            if len(words) < 4:
                raise MotifError(f"{path}:{number}: needs four numbers, not {shown(rest, 40)!r}")
            rows.append(_numbers(path, number, words[:4]))
        elif tag in ("AC", "ID", "NA") and words:
            about.setdefault(tag, "_".join(words))


def _entry(path: Path, number: int, about: dict[str, str], counts: np.ndarray | None) -> Motif:
    id = about.get("AC") or about.get("ID") or about.get("NA")
    if id is None:
        raise MotifError(f"{path}:{number}: an entry has neither AC nor ID")
    if counts is None:
        raise MotifError(f"{path}:{number}: motif {shown(id, 60)} has no rows of numbers")
    name = about.get("NA") or about.get("ID") or id
    return Motif(name, id, _shares(path, number, counts))


def _blocks(path: Path, lines: list[str]) -> Iterator[tuple[int, list[str], list[tuple[int, str]]]]:
    """Line number and words of each header ``>...``, and the (line number, line) below it."""
    number, words, rows = 0, [], []
    for at, line in enumerate(lines, 1):
        if line.startswith(">"):
            if words:
                yield number, words, rows
            number, words, rows = at, line[1:].split(), []
            if not words:
                raise MotifError(f"{path}:{at}: '>' without an id")
        elif line.strip() and not line.startswith("#"):
            if not words:
                raise MotifError(f"{path}:{at}: numbers without a line '>' above them")
            rows.append((at, line))
    if words:
        yield number, words, rows


def _numbers(path: Path, number: int, words: list[str]) -> list[float]:
    try:
        found = [float(word) for word in words]
    except ValueError:
        found = [-1.0]
    if not all(0 <= x < 1e15 for x in found):
        raise MotifError(f"{path}:{number}: needs counts, not {shown(' '.join(words), 40)!r}")
    return found


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _shares(path: Path, number: int, counts: np.ndarray) -> np.ndarray:
    """Counts float64 (width, 4) as shares."""
    total = counts.sum(1, keepdims=True) if counts.size else np.zeros((1, 1))
    if not (total > 0).all():
        raise MotifError(f"{path}:{number}: a column of the matrix holds no count")
    return counts / total
