"""bigWig files, and the arrays that tcnfast writes as npz."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

from ..attribute.attributions import Attributions
from ..base.errors import TcnfastError, some
from ..base.talk import count
from ..genome.genome import Genome, match_chroms
from ..motifs.patterns import PatternSet
from .findings import Findings, sizes_of

BIGWIG, BIGBED = 0x888FFC26, 0x8789F2EB
_HEADER = "IHHQQQHHQQIQ"  # of both, behind which lie the zoom headers
_ZOOM = "IIQQ"
LOOKED_AT = 1 << 20  # bases of each contig whose values are read
PATIENCE = 600  # seconds
_READ = """
import json, sys, pyBigWig
with pyBigWig.open(sys.argv[1]) as file:
    for name, size in file.chroms().items():
        file.intervals(name, 0, min(size, int(sys.argv[2])))
    print(json.dumps([file.chroms(), file.header()]))
"""


def is_bigwig(head: bytes) -> bool:
    """Whether a file that begins with ``head`` is a bigWig or bigBed."""
    return _order(head) is not None


def _order(head: bytes) -> str | None:
    for order in "<>":
        if len(head) >= 4 and struct.unpack(f"{order}I", head[:4])[0] in (BIGWIG, BIGBED):
            return order
    return None


def bigwig(path: Path, found: Findings, genome: Genome | None) -> None:
    """The header and the places that it names, and some values of each contig."""
    found.kind, sizes = "bigWig", sizes_of(genome)
    with open(path, "rb") as file:
        head = file.read(64 + 24 * 16)
    order = _order(head)
    if order is None:
        raise TcnfastError(f"{path}: is named bigWig but is none: another signature")
    _check_whole(path, head, order)
    if struct.unpack(f"{order}I", head[:4])[0] == BIGBED:
        found.kind = "bigBed"
        raise TcnfastError(f"{path}: is bigBed; as BED: bigBedToBed {path.name} new.bed")
    contigs, about = _read(path)
    if not contigs:
        raise TcnfastError(f"{path}: a bigWig without contigs; write or fetch it again")
    found.facts.append(f"{count(len(contigs), 'contig')}: {some(contigs)}")
    if not about.get("nBasesCovered"):
        found.odd.append("it holds no value")
    else:
        found.facts.append(
            f"{about['nBasesCovered']:,} bases with values, {about['minVal']:g} to "
            f"{about['maxVal']:g}"
        )
    if list(contigs) != sorted(contigs, key=str.encode):
        found.odd.append("its contigs are not sorted by name; some browsers do not find them all")
    if sizes is not None:
        match_chroms([x for x in contigs if x not in sizes], sizes, str(path))
        different = [x for x in contigs if contigs[x] != sizes[x]]
        if different:
            found.wrong.append(
                f"{different[0]} has {contigs[different[0]]:,} bases, and {sizes[different[0]]:,} "
                "in the genome: another assembly"
            )


def _read(path: Path) -> tuple[dict[str, int], dict[str, float]]:
    """Contigs and header, where values of each contig can be read. In a process of its own: a
    damaged file crashes libBigWig, and it prints what it does not like. Raises TcnfastError."""
    command = [sys.executable, "-c", _READ, str(path), str(LOOKED_AT)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=PATIENCE)
        contigs, about = json.loads(done.stdout) if done.returncode == 0 else (None, None)
    except (subprocess.TimeoutExpired, ValueError):
        contigs = None
    if contigs is None:
        raise TcnfastError(f"{path}: damaged bigWig; write or fetch it again")
    return contigs, about


def _check_whole(path: Path, head: bytes, order: str) -> None:
    """Raise TcnfastError where a place that the header names lies behind the end of the file."""
    length = struct.calcsize(f"{order}{_HEADER}")
    end = os.path.getsize(path)
    error = TcnfastError(f"{path}: truncated or damaged bigWig; write or fetch it again")
    if len(head) < length:
        raise error
    fields = struct.unpack(f"{order}{_HEADER}", head[:length])
    places = [*fields[3:6], fields[8], fields[9]]
    for zoom in range(fields[2]):
        at = length + zoom * struct.calcsize(f"{order}{_ZOOM}")
        part = head[at : at + struct.calcsize(f"{order}{_ZOOM}")]
        if len(part) < struct.calcsize(f"{order}{_ZOOM}"):
            break
        places += struct.unpack(f"{order}{_ZOOM}", part)[2:]
    if max(places) >= end:
        raise error


def npz(path: Path, found: Findings, genome: Genome | None) -> None:
    """Attributions or motifs."""
    found.kind = "npz"
    try:
        one = Attributions.open(path)
    except TcnfastError as first:
        try:
            motifs = PatternSet.open(path)
        except TcnfastError:
            raise first from None
        found.kind = "motifs of tcnfast motifs"
        found.facts.append(f"{motifs.label}: {count(len(motifs.patterns), 'motif')}")
        return
    found.kind = "attributions of tcnfast attribute"
    found.facts.append(f"{one.label}: {count(len(one), 'window')} of {one.width} bp, {one.method}")
