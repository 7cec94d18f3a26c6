"""Calls of one label as columns, out of the narrowPeak file that a scan wrote: ten million lines a
few seconds."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..base.errors import TcnfastError
from ..base.jit import jit

_TAB, _NEWLINE, _ZERO, _NINE = b"\t\n09"
_FIELDS = 10


class CallColumns(NamedTuple):
    """Calls by contig and start. ``chroms``: contigs in the order of the file; ``first`` int64
    (chroms + 1,): calls ``first[i]:first[i + 1]`` are of ``chroms[i]``; ``start``, ``end`` int64,
    0-based half-open; ``score`` int64: 1000 times the largest probability, rounded."""

    chroms: list[str]
    first: np.ndarray
    start: np.ndarray
    end: np.ndarray
    score: np.ndarray

    def __len__(self) -> int:
        return self.start.size


def read_call_columns(path: Path) -> CallColumns:
    """The calls in a narrowPeak file of ``tcnfast scan``; none where there is no file. Raises
    TcnfastError, with the line, where it is none."""
    text = np.fromfile(path, np.uint8) if path.exists() else np.zeros(0, np.uint8)
    rows = int(np.count_nonzero(text == _NEWLINE))
    numbers = np.empty((3, rows), np.int64)
    names = np.empty((rows, 2), np.int64)
    wrong, contigs = _parse(text, numbers, names)
    if wrong >= 0 or (len(text) and text[-1] != _NEWLINE):
        line = wrong + 1 if wrong >= 0 else rows + 1
        raise TcnfastError(f"{path}:{line}: no narrowPeak line of tcnfast scan; scan again")
    chroms = [text[begin:end].tobytes().decode(errors="replace") for _, begin, end in contigs]
    first = np.array([*(row for row, _, _ in contigs), rows], np.int64)
    return CallColumns(chroms, first, *numbers)


@jit
def _parse(text, numbers, names):
    """Fill start, end and score of each line; the first line that is wrong, or -1, and (row, begin,
    end of the name in the text) wherever another contig begins."""
    contigs = [(0, 0, 0) for _ in range(0)]
    at = 0
    for row in range(names.shape[0]):
        begin = at
        field, value, digits = 0, 0, 0
        while text[at] != _NEWLINE:
            byte = text[at]
            if byte == _TAB:
                if field == 0:
                    names[row, 0], names[row, 1] = begin, at
                elif field == 1 or field == 2 or field == 4:
                    if digits == 0 or digits > 18:
                        return row, contigs
                    numbers[field - 1 if field < 4 else 2, row] = value
                field, value, digits = field + 1, 0, 0
            elif field == 1 or field == 2 or field == 4:
                if byte < _ZERO or byte > _NINE:
                    return row, contigs
                value, digits = 10 * value + (byte - _ZERO), digits + 1
            at += 1
        if field != _FIELDS - 1 or numbers[0, row] >= numbers[1, row]:
            return row, contigs
        at += 1
        length = names[row, 1] - begin
        same = row > 0 and length == names[row - 1, 1] - names[row - 1, 0]
        if same:
            other = names[row - 1, 0]
            for offset in range(length):
                if text[begin + offset] != text[other + offset]:
                    same = False
                    break
        if not same:
            contigs.append((row, begin, begin + length))
    return -1, contigs
