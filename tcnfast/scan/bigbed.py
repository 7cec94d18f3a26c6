"""Calls of a label as bigBed (bigNarrowPeak: BED6+4), which genome browsers read in part, over a
network too. pybigtools writes it: the extra ``hub``."""

from __future__ import annotations

import errno
import os
import shutil
import struct
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path

from ..base.disk import named
from ..base.extras import install
from .call_columns import read_call_columns

Row = tuple[str, int, int, str]  # contig, start, end, the other columns

LONGEST = 2**32 - 1  # bases of a contig
MAGIC = 0x8789F2EB
DEFINED = 34  # byte of the header where the number of plain BED columns is
# column for column what UCSC's own bigNarrowPeak.as declares
AUTOSQL = """table bigNarrowPeak
"BED6+4: calls of tcnfast scan"
(
    string   chrom;        "Contig"
    uint     chromStart;   "Start, 0-based"
    uint     chromEnd;     "End"
    string   name;         "Label"
    uint     score;        "1000 times the largest probability"
    char[1]  strand;       "."
    float    signalValue;  "Largest probability in the call"
    float    pValue;       "-1: not used"
    float    qValue;       "-1: not used"
    int      peak;         "Place of the largest probability, from the start"
)
"""


def why_not() -> str | None:
    """Why no bigBed can be written here; None if it can."""
    if find_spec("pybigtools") is None:
        return f"pybigtools is not installed ({install('hub')})"
    return None


def write_bigbed(peaks: Path, path: Path, sizes: Mapping[str, int]) -> None:
    """Write the calls of the narrowPeak file ``peaks``, which holds one or more, to ``path``;
    contigs by the bytes of their names, as UCSC's bedToBigBed has them. ``sizes``: of contigs.
    Raises OSError where it was not written whole."""
    calls = read_call_columns(peaks)
    lines = peaks.read_text(encoding="utf-8").split("\n")
    order = sorted(range(len(calls.chroms)), key=lambda at: calls.chroms[at].encode())

    def rows() -> Iterator[Row]:
        for at in order:
            for line in lines[calls.first[at] : calls.first[at + 1]]:
                chrom, start, end, rest = line.split("\t", 3)
                yield chrom, int(start), int(end), rest

    # it is smaller than the text; pybigtools panics on a full disk
    needed = peaks.stat().st_size + 2**16
    if shutil.disk_usage(path.parent).free < needed:
        raise named(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), path, needed)
    held = {calls.chroms[at]: sizes[calls.chroms[at]] for at in order}
    write_rows(path, held, rows(), len(calls))


def write_rows(path: Path, sizes: Mapping[str, int], rows: Iterator[Row], count: int) -> None:
    """Write ``count`` rows. What stops ``rows`` is raised here: pybigtools prints errors, and goes
    on as if there were none."""
    import pybigtools

    stopped: list[BaseException] = []

    def watched() -> Iterator[Row]:
        try:
            yield from rows
        except GeneratorExit:
            raise
        except BaseException as error:
            stopped.append(error)
            raise

    pybigtools.open(str(path), "w").write(dict(sizes), watched(), AUTOSQL)
    if stopped:
        raise stopped[0]
    _settle(path, count)


def _settle(path: Path, count: int) -> None:
    """Check that all rows are there, and say that the columns from the seventh on are no plain
    BED, which pybigtools does not."""
    with open(path, "r+b") as file:
        head = file.read(64).ljust(64, b"\0")
        magic, data_at = struct.unpack_from("<I12xQ", head)
        file.seek(data_at)
        if magic != MAGIC or file.read(8) != struct.pack("<Q", count):
            raise OSError(errno.EIO, "not written whole", str(path))
        file.seek(DEFINED)
        file.write(struct.pack("<H", 6))
