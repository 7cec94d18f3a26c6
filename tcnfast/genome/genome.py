"""Genomes as codes, their contig names and their coordinates (0-based, half-open)."""

from __future__ import annotations

import operator
import os
import re
from collections.abc import Iterable, Mapping
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..base.errors import shown, some
from .codes import N
from .fasta import FastaFile
from .sequence_files import GenomeError, Parts
from .twobit import TwoBitFile, is_twobit

_SKIPPED_SUFFIX = re.compile(r"_(alt|random|fix|decoy)", re.IGNORECASE)
# the haplotypes of hg18 and hg19; chr1_hap1 is a chromosome of an assembly in two haplotypes
_SKIPPED_HAPLOTYPE = re.compile(r"chr\d+_(apd|cox|dbb|mann|mcf|qbl|ssto|ctg\d+|h2)_hap\d*$")
_SKIPPED_NAME = re.compile(r"chrUn|Un_|hs37d5$|(chr)?MT?$")
_MITOCHONDRIA = ("chrM", "MT", "M", "chrMT")
_UNPLACED_ACCESSION = re.compile(r"(GL000|KI27)\d")


MANY_FILES = 200  # with more, none stays open: a process may hold 1,024


class Region(NamedTuple):
    """A stretch of a contig, 0-based half-open; ``end`` None is the end of the contig."""

    chrom: str
    start: int = 0
    end: int | None = None


def parse_region(text: str) -> Region:
    """Region of ``chrom:start-end`` (1-based, inclusive, commas allowed) or of a plain ``chrom``.

    Raises GenomeError for anything else.
    """
    match = re.fullmatch(r"(.+):([\d,]+)-([\d,]+)", text.strip(), re.ASCII)
    if match is None:
        # HLA alleles are contigs with colons in their names, as in HLA-A*01:01
        if not text.strip() or (":" in text and "*" not in text):
            raise GenomeError(f"region {text!r}: write chrom or chrom:start-end, as chr20:1-5,000")
        return Region(text.strip())
    numbers = [number.replace(",", "") or "0" for number in match.groups()[1:]]
    if max(map(len, numbers)) > 18:
        raise GenomeError(f"region {shown(text, 60)!r}: lies beyond every contig")
    start, end = map(int, numbers)
    if not 1 <= start <= end:
        raise GenomeError(f"region {text!r}: needs 1 <= start <= end")
    return Region(match[1], start - 1, end)


class Genome:
    """The contigs of one or more files: FASTA (plain, gzip or bgzip) or UCSC .2bit.

    Exactly the files named are read, whatever lies beside them. ``sizes`` maps contig names to
    lengths in file order. ``paths`` are the files: by their hashes a result says what it was made
    of, so that a FASTA file and its .2bit count as two inputs though they give the same codes.
    Threads may share a genome; a pickled one opens ``paths`` again.

    Args:
        paths: the files, one or more.

    Raises:
        GenomeError: for files that are missing, damaged or no nucleotide sequence, and for contig
            names that occur twice.
    """

    def __init__(self, *paths: str | os.PathLike[str]) -> None:
        if not paths:
            raise GenomeError("no genome: name at least one FASTA or .2bit file")
        self._files: list[FastaFile | TwoBitFile] = []
        self._file_of: dict[str, FastaFile | TwoBitFile] = {}
        try:
            for path in paths:
                self._add(_open(Path(path)))
                if len(paths) > MANY_FILES:
                    self._files[-1].open_for_each()
        except BaseException:
            self.close()
            raise
        self.paths = tuple(file.path for file in self._files)
        self.sizes = {name: file.contigs[name].size for name, file in self._file_of.items()}

    def _add(self, file: FastaFile | TwoBitFile) -> None:
        self._files.append(file)
        for name in file.contigs:
            if name in self._file_of:
                other = self._file_of[name].path
                raise GenomeError(f"contig {name!r} is in {other} and {file.path}; leave one out")
            self._file_of[name] = file

    def codes(
        self, chrom: str, start: int = 0, end: int | None = None, out: np.ndarray | None = None
    ) -> np.ndarray:
        """Codes of [start, end) of a contig, 0-based; 4 outside the contig.

        Args:
            chrom: name of the contig.
            start: first base; may lie before the contig.
            end: behind the last base; None: the end of the contig.
            out: where to write them, uint8 (end - start,) and contiguous; None: a new array.

        Returns:
            numpy.ndarray: uint8 (end - start,).

        Raises:
            GenomeError: for an unknown contig, end < start, or a letter that is no nucleotide.
            ValueError: for another ``out``.
        """
        if chrom not in self.sizes:
            match_chroms([chrom], self.sizes, "the request")
        size = self.sizes[chrom]
        start, end = operator.index(start), size if end is None else operator.index(end)
        if end < start:
            raise GenomeError(f"{chrom}: end {end} lies before start {start}")
        if out is None:
            out = np.empty(end - start, np.uint8)
        elif out.shape != (end - start,) or out.dtype != np.uint8 or not out.flags.c_contiguous:
            raise ValueError(f"out: must be contiguous uint8 ({end - start},)")
        left = min(max(-start, 0), out.size)
        right = max(min(size, end) - start, left)
        out[:left] = N
        out[right:] = N
        if left < right:
            self._file_of[chrom].read_into(chrom, start + left, out[left:right])
        return out

    def read_parts(self, parts: Parts, codes: np.ndarray) -> None:
        """Fill ``codes``, uint8, with parts of many contigs at once.

        Args:
            parts: of contigs that are there, in any order.
            codes: contiguous; what no part covers stays as it is.

        Raises:
            GenomeError: for a letter that is no nucleotide.
        """
        at = 0
        for file, group in groupby(parts.names, self._file_of.__getitem__):
            here = slice(at, at + len(list(group)))
            file.read_parts(parts.some(here), codes)
            at = here.stop

    def close(self) -> None:
        """Release the files; harmless when done twice."""
        for file in self._files:
            file.close()

    def __enter__(self) -> Genome:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[type[Genome], tuple[Path, ...]]:
        return Genome, self.paths

    def __repr__(self) -> str:
        return f"Genome({', '.join(repr(str(path)) for path in self.paths)})"


def _open(path: Path) -> FastaFile | TwoBitFile:
    return TwoBitFile(path) if is_twobit(path) else FastaFile(path)


def match_chroms(wanted: Iterable[str], sizes: Mapping[str, int], what: str) -> None:
    """Raise GenomeError if ``sizes`` lacks a name in ``wanted`` (of ``what``, as in "peaks.bed").

    The message says how to mend it where one side writes ``chr20`` and the other ``20``.
    """
    missing = [chrom for chrom in dict.fromkeys(wanted) if chrom not in sizes]
    if not missing:
        return
    name, other = missing[0], _other_style(missing[0], sizes)
    if other is not None:
        raise GenomeError(
            f"{what}: contig {name!r} is called {other!r} in the genome; "
            f"rename one side (for a BED file: sed {_edits(missing, sizes)})"
        )
    more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    raise GenomeError(f"{what}: no contig {name!r}{more} in the genome, which has {some(sizes)}")


def _edits(missing: list[str], sizes: Mapping[str, int]) -> str:
    """What sed does to a BED file so that the first of its contigs is called as in ``sizes``, and
    the mitochondrion too."""
    edits, name, other = [], missing[0], _other_style(missing[0], sizes) or ""
    for mito in _MITOCHONDRIA:
        known = _other_style(mito, sizes) if mito in missing else None
        if known is not None and mito.removeprefix("chr") != known.removeprefix("chr"):
            new = known if mito.startswith("chr") else known.removeprefix("chr")
            edits.append(f"s/^{mito}/{new}/")  # in front of the other edit: nobody says chrMT
    if name.startswith("chr") != other.startswith("chr"):
        edits.append("s/^chr//" if name.startswith("chr") else "s/^/chr/")
    return f"'{edits[0]}'" if len(edits) == 1 else " ".join(f"-e '{edit}'" for edit in edits)


def renamed(names: Iterable[str], sizes: Mapping[str, int]) -> list[str]:
    """Those of ``names`` that ``sizes`` lacks and has in another style: 20 for chr20."""
    return [name for name in names if name not in sizes and _other_style(name, sizes) is not None]


def _other_style(chrom: str, sizes: Mapping[str, int]) -> str | None:
    """How ``sizes`` calls a contig that it does not call ``chrom``; None if it has none such."""
    others: tuple[str, ...]
    if chrom in _MITOCHONDRIA:
        others = _MITOCHONDRIA
    elif chrom.startswith("chr"):
        others = (chrom[3:],)
    else:
        others = ("chr" + chrom,)
    return next((name for name in others if name in sizes), None)


def split_chroms(sizes: Mapping[str, int]) -> tuple[list[str], list[str]]:
    """Contig names to scan by default and names to leave out, two lists in the order of ``sizes``.

    Left out are alternative loci, patches, unplaced contigs, decoys and the mitochondrion; if that
    would leave nothing, all are kept.
    """
    skipped = [name for name in sizes if _SKIPPED_SUFFIX.search(name)]
    for pattern in (_SKIPPED_NAME, _SKIPPED_HAPLOTYPE, _UNPLACED_ACCESSION):
        skipped += [name for name in sizes if pattern.match(name)]
    if len(skipped) == len(sizes):
        return list(sizes), []
    left_out = set(skipped)
    kept = [name for name in sizes if name not in left_out]
    return kept, [name for name in sizes if name in left_out]
