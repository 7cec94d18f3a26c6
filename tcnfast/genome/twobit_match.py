"""Whether a .2bit file holds the sequence of a FASTA file.

Comparing every base would cost what the .2bit file is there to save. So names and sizes are
compared, and bases at places all over the genome; of a compressed FASTA file, which cannot be read
at a place, all bases at its beginning.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..base.options import setting
from .fasta import FastaFile, index_of
from .fasta_text import FastaText, look_at
from .sequence_files import GenomeError
from .twobit import TwoBitFile

# bases: genomes up to this size are compared whole, others of compressed files to there
_WHOLE = 1 << 20
_BEGINNING = 1 << 22

# places in a genome, ends of contigs, ends of blocks of N; and bases at each
_PLACES, _CONTIGS, _BLOCKS = 1024, 512, 256
_WIDTH = 32


class Place(NamedTuple):
    """Bases [start, end) of a contig."""

    chrom: str
    start: int
    end: int


def compare_files(fasta: Path, path: Path) -> str:
    """What of ``fasta`` and its .2bit file ``path`` was compared, and is equal.

    Raises GenomeError where either cannot be read, and where they differ: how, and how to mend it.
    """
    head = look_at(fasta)
    mend = f"{setting('force', True)} writes it anew"
    try:
        twobit = TwoBitFile(path)
    except GenomeError as error:
        raise GenomeError(f"{error}; {mend}") from None
    with closing(twobit):
        indexed = index_of(fasta, head) is not None
        compare = _compare_places if indexed else _compare_beginning
        difference, compared = compare(fasta, head, twobit)
        if difference is not None:
            raise GenomeError(f"{path}: is not the sequence of {fasta}: {difference}; {mend}")
    return compared


def _compare_places(path: Path, head: bytes, twobit: TwoBitFile) -> tuple[str | None, str]:
    """How they differ, None if they do not, and what was compared."""
    fasta = FastaFile(path)
    try:
        sizes = {name: contig.size for name, contig in fasta.contigs.items()}
        difference, seen = _compare_sizes(sizes, twobit), 0
        if difference is not None:
            return difference, ""
        for place in _places(twobit):
            bases = np.empty((2, place.end - place.start), np.uint8)
            for file, row in zip((fasta, twobit), bases, strict=True):
                file.read_into(place.chrom, place.start, row)
            seen += bases.shape[1]
            difference = _compare_bases(place.chrom, place.start, *bases)
            if difference is not None:
                return difference, ""
        return None, f"names, sizes and {seen:,} bases"
    finally:
        fasta.close()


def _compare_beginning(fasta: Path, head: bytes, twobit: TwoBitFile) -> tuple[str | None, str]:
    """As ``_compare_places``, by the beginning of the text."""
    if twobit.path.stat().st_mtime_ns < fasta.stat().st_mtime_ns:
        return "it is older, and only the beginning of a compressed file can be compared", ""
    sizes: dict[str, int] = {}
    seen, whole = 0, True
    for piece in FastaText(fasta, head):
        contig = twobit.contigs.get(piece.name)
        if contig is None:
            return f"it lacks {piece.name}", ""
        end = piece.start + piece.codes.size
        if end > contig.size:
            return f"{piece.name} has {contig.size:,} bases in it, and more in the FASTA file", ""
        theirs = np.empty_like(piece.codes)
        twobit.read_into(piece.name, piece.start, theirs)
        difference = _compare_bases(piece.name, piece.start, piece.codes, theirs)
        if difference is not None:
            return difference, ""
        sizes[piece.name] = end
        seen += piece.codes.size
        if seen >= _BEGINNING:
            whole = False
            break
    if not whole:
        # of the last contig that was seen there is more
        sizes[piece.name] = contig.size
    return _compare_sizes(sizes, twobit, whole), f"{'all' if whole else 'the first'} {seen:,} bases"


def _compare_sizes(sizes: dict[str, int], twobit: TwoBitFile, whole: bool = True) -> str | None:
    """``sizes`` are of all contigs of the FASTA file, or (not ``whole``) of its first."""
    for name, size in sizes.items():
        if name not in twobit.contigs:
            return f"it lacks {name}"
        theirs = twobit.contigs[name].size
        if theirs != size:
            return f"{name} has {theirs:,} bases in it and {size:,} in the FASTA file"
    for name in twobit.contigs if whole else ():
        if name not in sizes:
            return f"it has {name}, which the FASTA file lacks"
    if list(sizes) != list(twobit.contigs)[: len(sizes)]:
        return "its contigs are in another order"
    return None


def _compare_bases(chrom: str, start: int, ours: np.ndarray, theirs: np.ndarray) -> str | None:
    different = np.flatnonzero(ours != theirs)
    if different.size == 0:
        return None
    at = int(different[0])
    base, other = "ACGTN"[theirs[at]], "ACGTN"[ours[at]]
    return f"{chrom}:{start + at + 1:,} is {base} in it and {other} in the FASTA file"


def _places(twobit: TwoBitFile) -> Iterator[Place]:
    """Where bases are compared, the same places every time."""
    contigs = twobit.contigs
    names = [name for name in contigs if contigs[name].size]
    sizes = np.array([contigs[name].size for name in names])
    ends = np.cumsum(sizes)
    if ends[-1] <= _WHOLE:
        for name, size in zip(names, sizes.tolist(), strict=True):
            yield Place(name, 0, size)
        return
    # one at random in each of equal parts: a period of the sequence cannot hide a difference
    parts = (np.arange(_PLACES) + np.random.default_rng(0).random(_PLACES)) / _PLACES
    for centre in (parts * ends[-1]).astype(np.int64).tolist():
        index = int(np.searchsorted(ends, centre, "right"))
        yield _around(contigs, names[index], centre - int(ends[index] - sizes[index]))
    for index in _spread(len(names), _CONTIGS):
        yield _around(contigs, names[index], 0)
        yield _around(contigs, names[index], int(sizes[index]))
    # both sides of the borders between letters and N
    blocks = np.array([contigs[name].n_ends.size for name in names])
    last = np.cumsum(blocks)
    for block in _spread(int(last[-1]), _BLOCKS):
        index = int(np.searchsorted(last, block, "right"))
        within = block - int(last[index] - blocks[index])
        contig = contigs[names[index]]
        yield _around(contigs, names[index], int(contig.n_starts[within]))
        yield _around(contigs, names[index], int(contig.n_ends[within]))


def _spread(count: int, most: int) -> list[int]:
    """At most ``most`` of ``range(count)``, evenly spread, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64)).tolist()


def _around(contigs: dict, name: str, position: int) -> Place:
    start = max(position - _WIDTH // 2, 0)
    return Place(name, start, min(start + _WIDTH, contigs[name].size))
