"""Motifs, and the MEME motif files that they are read from and written to."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import numpy as np

from ..base.disk import write_text
from ..base.errors import TcnfastError, shown
from ..base.input_files import read_input
from ..base.talk import count

DATABASE = Path(__file__).parent / "databases" / "jaspar2024_core_vertebrates.meme.gz"
_ROUNDING = 0.0201  # of a row: four shares of two decimals each


class MotifError(TcnfastError):
    """A motif file that cannot be used; the message begins with path:line."""


@dataclass(frozen=True, eq=False)
class Motif:
    """Base probabilities float64 (width, 4), columns ACGT, every row summing to 1."""

    name: str
    id: str
    probabilities: np.ndarray

    def is_named(self, factor: str) -> bool:
        """Whether the motif is named for ``factor``, alone or in a dimer such as MAX::MYC."""
        return factor.casefold() in self.name.casefold().split("::")


def read_meme(path: str | Path) -> list[Motif]:
    """Motifs of a MEME motif file (DNA), plain or gzip, in file order.

    A motif without a second word on its MOTIF line is named by its id. Raises MotifError with
    path and line.
    """
    return parse_meme(path, read_text(path).splitlines())


def parse_meme(path: str | Path, lines: list[str]) -> list[Motif]:
    """Motifs of the lines of a MEME motif file; see :func:`read_meme`."""
    _check_format(path, lines)
    motifs: dict[str, Motif] = {}
    pending = None  # line number and words of a MOTIF line that still lacks its matrix
    for number, line in enumerate(lines, 1):
        if line.startswith("ALPHABET"):
            _check_alphabet(path, lines, number)
        elif line.split()[:1] == ["MOTIF"]:
            _check_complete(path, pending)
            # the text of a run of MEME goes on with 'width = 15 sites = 20'
            pending = number, re.split(r"\s+width\s*=", line)[0].split()[1:3]
            if not pending[1]:
                raise MotifError(f"{path}:{number}: MOTIF without an id")
            if pending[1][0] in motifs:
                raise MotifError(f"{path}:{number}: motif {pending[1][0]} is there twice")
        elif line.startswith("letter-probability matrix"):
            if pending is None:
                raise MotifError(f"{path}:{number}: matrix without a MOTIF line")
            words, pending = pending[1], None
            motifs[words[0]] = Motif(words[-1], words[0], _read_matrix(path, lines, number))
    _check_complete(path, pending)
    if not motifs:
        raise MotifError(f"{path}:1: no motif in the file")
    return list(motifs.values())


def _check_format(path: str | Path, lines: list[str]) -> None:
    """Raise MotifError for what is no text of the MEME suite: its motif files, meme.txt, dreme.txt
    and streme.txt have a line 'MEME version' in front of the first motif."""
    for line in takewhile(lambda line: not re.match(r"MOTIF\s", line), lines):
        if line.startswith("MEME version"):
            return
    words = "no MEME motif file; a line 'MEME version 4' must stand in front of its motifs"
    if next((line for line in lines if line.strip()), "").startswith("<"):
        words = "is XML or HTML; name the text file of the same run, as meme.txt"
    raise MotifError(f"{path}:1: {words}")


def _check_alphabet(path: str | Path, lines: list[str], number: int) -> None:
    """Raise MotifError for an alphabet that is not DNA, in line ``number`` or defined from there
    on."""
    line = lines[number - 1].strip()
    if "=" in line.partition('"')[0]:
        if line.partition("=")[2].split()[:1] == ["ACGT"]:
            return
    else:
        # a base with its complement: A "Adenine" CC0000 ~ T "Thymine" 008000
        pairs = set()
        for row in takewhile(lambda row: not row.startswith("END"), lines[number:]):
            pair = re.fullmatch(r"(\S)(?:\s[^~]*)?~\s*(\S)(\s.*)?", row.strip())
            if pair:
                pairs.add(frozenset(pair.groups()[:2]))
        if pairs == {frozenset("AT"), frozenset("CG")}:
            return
    raise MotifError(f"{path}:{number}: {line!r}: must be DNA, as 'ALPHABET= ACGT'")


def write_meme(path: str | Path, motifs: Sequence[Motif], sites: Sequence[int]) -> None:
    """Write a MEME motif file that :func:`read_meme` and the MEME suite read.

    ``sites``: how many sites each motif was made of. Ids must be one word each, and differ:
    MotifError otherwise.
    """
    ids = [motif.id for motif in motifs]
    for id in ids:
        if len(id.split()) != 1 or ids.count(id) > 1:
            raise MotifError(f"{path}: motif id {id!r} must be one word, and there once")
    lines = ["MEME version 4", "", "ALPHABET= ACGT", "", "strands: + -", ""]
    lines += ["Background letter frequencies", "A 0.25 C 0.25 G 0.25 T 0.25", ""]
    for motif, n in zip(motifs, sites, strict=True):
        lines.append(f"MOTIF {motif.id} {'_'.join(motif.name.split()) or motif.id}")
        width = len(motif.probabilities)
        lines.append(f"letter-probability matrix: alength= 4 w= {width} nsites= {n} E= 0")
        lines += [" ".join(f"{share:.6f}" for share in row) for row in motif.probabilities]
        lines.append("")
    write_text(path, "\n".join(lines))


def information(probabilities: np.ndarray) -> np.ndarray:
    """Heights of a logo's letters in bits over uniform bases, float64 (width, 4): probability times
    the information of its column (Schneider and Stephens 1990); a column holds at most 2."""
    shares = np.asarray(probabilities, np.float64)
    bits = np.zeros_like(shares)
    np.log2(shares, out=bits, where=shares > 0)
    return shares * (2 + (shares * bits).sum(1, keepdims=True))


def read_text(path: str | Path) -> str:
    """Text of a motif file, plain or gzip. Raises MotifError where it cannot be read."""
    try:
        data = read_input(path)
        data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
        return data.decode("utf-8-sig", errors="replace")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise MotifError(f"{path}: damaged gzip ({error}); fetch it again") from None
    except OSError as error:
        raise MotifError(f"{path}: cannot be read ({error.strerror})") from None


def _check_complete(path: str | Path, pending: tuple[int, list[str]] | None) -> None:
    if pending is not None:
        number, words = pending
        raise MotifError(
            f"{path}:{number}: motif {words[0]} has no 'letter-probability matrix:' line"
        )


def _read_matrix(path: str | Path, lines: list[str], number: int) -> np.ndarray:
    """The matrix under header line ``number``, counted from 1: float64 (width, 4)."""
    words = lines[number - 1].partition(":")[2].replace("=", " ").split()
    keys = dict(zip(words[::2], words[1::2], strict=False))
    if keys.get("alength", "4") != "4":
        raise MotifError(f"{path}:{number}: alength is {keys['alength']}, needs 4 (DNA)")
    # nan and inf too: they are refused by name, below
    rows = list(takewhile(re.compile(r"\s*[-+]?(\.?\d|(nan|inf)\s)", re.I).match, lines[number:]))
    if not rows or keys.get("w", str(len(rows))) != str(len(rows)):
        width = keys.get("w", "0")
        width = shown(width) if width.strip("0") else "at least 1"
        below = count(len(rows), "row")
        raise MotifError(f"{path}:{number}: {below} of numbers below it, needs {width}")
    where = (f"{path}:{number + i}" for i in range(1, len(rows) + 1))
    matrix = np.array([probability_row(*row) for row in zip(where, rows, strict=False)])
    # files round to a few decimals
    return matrix / matrix.sum(1, keepdims=True)


def probability_row(where: str, line: str) -> list[float]:
    """Four shares of A, C, G and T that sum to 1; MotifError, which names ``where``, else."""
    try:
        row = [float(word) for word in line.split()]
    except ValueError:
        row = []
    if len(row) != 4:
        raise MotifError(f"{where}: needs four numbers, not {shown(line.strip(), 60)!r}")
    if not (all(0 <= share <= 1 for share in row) and abs(sum(row) - 1) < _ROUNDING):
        raise MotifError(
            f"{where}: needs probabilities that sum to 1, not {shown(line.strip(), 60)!r}"
        )
    return row
