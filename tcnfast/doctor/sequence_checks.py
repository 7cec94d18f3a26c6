"""FASTA and .2bit files: read from end to end, a piece at a time."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np

from ..base.errors import TcnfastError, some
from ..base.talk import count
from ..genome.assemblies import known_assembly
from ..genome.codes import N, other_letters
from ..genome.fasta_index import build_index, read_index
from ..genome.fasta_text import FastaText, is_gzip, look_at, needs_decoding
from ..genome.genome import Genome, match_chroms, split_chroms
from ..genome.index_fasta import twobit_path
from ..genome.twobit import TwoBitFile
from .findings import Findings, sizes_of

_LOWER = ord("a")


def fasta(path: Path, found: Findings, genome: Genome | None) -> None:
    """Every letter is looked at; the index and the .2bit beside the file are compared with it."""
    found.kind = "FASTA"
    head = look_at(path)
    found.kind = f"FASTA, {_packing(head)}"
    contigs: dict[str, int] = {}
    unknown = lower = 0
    counts = np.zeros(256, np.int64)
    for piece in FastaText(path, head):
        contigs[piece.name] = piece.start + piece.codes.size
        unknown += int(np.count_nonzero(piece.codes == N))
        lower += int(np.count_nonzero(piece.letters >= _LOWER))
        if piece.odd:
            counts += np.bincount(piece.letters, minlength=256)
    bases = sum(contigs.values())
    if not bases:
        raise TcnfastError(f"{path}: no sequence under its {count(len(contigs), 'header')}")
    _say_contigs(found, contigs, sizes_of(genome))
    found.facts.append(f"N {unknown / bases:.1%}, lower case {lower / bases:.1%}")
    others = other_letters(counts)
    if others:
        letters = ", ".join(f"{letter} {n:,}" for letter, n in sorted(others.items()))
        found.odd.append(f"letters other than ACGTN, which are read as N: {letters}")
    if b"\r\n" in head and not is_gzip(head):
        found.odd.append(
            f"lines end as on Windows (CRLF); it is read as it is; to mend it: tr -d '\\r' < "
            f"{path.name} > new.fa"
        )
    _compare_index(path, head, contigs, found)
    _compare_twobit(path, contigs, found)


def twobit(path: Path, found: Findings, genome: Genome | None) -> None:
    """The header of every contig is read, and its first and last bases."""
    found.kind = ".2bit"
    with closing(TwoBitFile(path)) as file:
        contigs = {name: contig.size for name, contig in file.contigs.items()}
        blocks = sum(int((x.n_ends - x.n_starts).sum()) for x in file.contigs.values())
        for name, size in contigs.items():
            file.read_into(name, max(0, size - 1), np.empty(min(1, size), np.uint8))
    _say_contigs(found, contigs, sizes_of(genome))
    found.facts.append(f"N {blocks / sum(contigs.values()):.1%}")


def _packing(head: bytes) -> str:
    if not is_gzip(head):
        return "plain"
    return "bgzip" if len(head) > 14 and head[3] & 4 and head[12:14] == b"BC" else "gzip"


def _say_contigs(found: Findings, contigs: dict[str, int], sizes: dict[str, int] | None) -> None:
    kept, left_out = split_chroms(contigs)
    words = f"{count(len(contigs), 'contig')}, {sum(contigs.values()):,} bases: {some(contigs)}"
    found.facts.append(words)
    known = known_assembly(contigs.values())
    if known is not None:
        found.facts.append(f"by its sizes {known.species}, {known.name}")
    if left_out:
        found.facts.append(f"scans leave out {len(left_out)} of them: {some(left_out)}")
    empty = [name for name, size in contigs.items() if not size]
    if empty:
        found.odd.append(f"{count(len(empty), 'contig')} without a base: {some(empty)}")
    commas = [name for name in contigs if "," in name]
    if commas:
        found.odd.append(f"names with commas, which separate names in --chroms: {some(commas)}")
    if sizes is not None:
        shared = [name for name in contigs if name in sizes]
        if not shared:
            match_chroms(contigs, sizes, found.path)
        different = [name for name in shared if contigs[name] != sizes[name]]
        if different:
            name = different[0]
            found.wrong.append(
                f"{name} has {contigs[name]:,} bases, and {sizes[name]:,} in the genome: another "
                "assembly"
            )


def _compare_index(path: Path, head: bytes, contigs: dict[str, int], found: Findings) -> None:
    if is_gzip(head):
        found.odd.append(
            "compressed FASTA is unpacked by every command that reads it; faster: tcnfast index "
            f"{path.name}"
        )
        return
    if needs_decoding(head) or build_index(path) is None:
        found.odd.append(
            "its lines are not regular (ragged, blanks or a byte order mark), so every command "
            f"decodes it; faster: tcnfast index {path.name}"
        )
        return
    fai = Path(f"{path}.fai")
    if not fai.exists():
        found.facts.append("no .fai index yet; the first command that reads it makes one")
        return
    if fai.stat().st_mtime_ns < path.stat().st_mtime_ns:
        found.odd.append(f"{fai.name} is older than it; the next command makes it anew")
        return
    index = read_index(path, fai)
    if index is None or {name: row.size for name, row in index.items()} != contigs:
        found.odd.append(f"{fai.name} does not fit it; the next command makes it anew")
    else:
        found.facts.append(f"{fai.name} fits it")


def _compare_twobit(path: Path, contigs: dict[str, int], found: Findings) -> None:
    beside = twobit_path(path)
    if not beside.is_file():
        return
    mend = f"tcnfast index {path.name} --force writes it anew"
    try:
        with closing(TwoBitFile(beside)) as file:
            there = {name: contig.size for name, contig in file.contigs.items()}
    except TcnfastError as error:
        found.odd.append(f"its .2bit cannot be read ({error}); {mend}")
        return
    if there != contigs:
        found.odd.append(f"{beside.name} has other contigs; {mend}")
    elif beside.stat().st_mtime_ns < path.stat().st_mtime_ns:
        found.odd.append(f"{beside.name} is older than it; tcnfast index {path.name} compares them")
    else:
        found.facts.append(f"{beside.name} has the same contigs; commands read it faster")
