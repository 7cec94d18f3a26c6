"""Variants of a VCF file, or of a table ``chrom pos ref alt [id]``, read as a stream of chunks.

Nothing is lost: every alternative allele of every record comes out once, either to be scored or
with the reason why not.
"""

from __future__ import annotations

import codecs
import gzip
import itertools
import os
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from ..base.errors import TcnfastError, shown
from ..base.input_files import open_input
from ..base.talk import count

CHUNK_ALLELES = 8192  # to a chunk, rounded up to whole records

_BASES = re.compile(rb"[ACGTNacgtn]+")
_IUPAC = re.compile(rb"[ACGTNRYSWKMBDHVacgtnryswkmbdhv]+")
_HEADER = re.compile(rb"#?chrom\tpos\tref\talt(\tid)?", re.IGNORECASE)


class Allele(NamedTuple):
    """One alternative allele: ``pos`` is 0-based, ``ref`` and ``alt`` are upper-case letters."""

    record: int  # index of its record within the chunk
    chrom: str
    pos: int
    id: str
    ref: bytes
    alt: bytes

    @property
    def is_snv(self) -> bool:
        """Whether one known base stands for another."""
        return len(self.ref) == len(self.alt) == 1 and self.alt != b"N"

    @property
    def kind(self) -> str:
        """``snv``, ``mnv``, ``insertion``, ``deletion`` or ``indel`` (both lengths differ and are
        above 1)."""
        ref, alt = len(self.ref), len(self.alt)
        if ref == alt:
            return "snv" if ref == 1 else "mnv"
        if ref == 1 or alt == 1:
            return "insertion" if alt > ref else "deletion"
        return "indel"


class Skipped(NamedTuple):
    """An allele, or a whole record, that is not scored; fields are as the file has them."""

    line: int
    fields: bytes  # the first columns of the record
    reason: str

    def as_line(self) -> bytes:
        """Its line of skipped.tsv."""
        return b"\t".join([str(self.line).encode(), self.reason.encode(), self.fields]) + b"\n"


@dataclass
class Chunk:
    """Consecutive records: their lines, the alleles to score, and those that are not scored."""

    lines: list[bytes] = field(default_factory=list)  # without line ends
    first_line: int = 1  # of the file, 1-based
    alleles: list[Allele] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    broken: int = 0  # records without the columns or the place that a record has
    end: int = 0  # bytes of the file read so far, of a compressed one as it lies on disk

    def skip(self, allele: Allele, reason: str) -> Skipped:
        """An allele that is not scored after all."""
        shown = b"\t".join(self.lines[allele.record].split(b"\t")[:5])
        return Skipped(self.first_line + allele.record, shown, reason)


class VariantFile:
    """A VCF file or table, plain, gzip or bgzip, that is read once; ``header``: the lines before
    the first record; ``bytes``: its size on disk.

    A table's first line is ``chrom pos ref alt`` or ``chrom pos ref alt id``, tab-separated, and
    its positions are 1-based, as those of VCF. Raises TcnfastError for a file that is neither.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.header: list[bytes] = []
        self.is_vcf, self.bytes, self._read = False, 0, 0
        self._records = self._lines()
        for line in self._records:
            bare = line if self.header else line.removeprefix(codecs.BOM_UTF8)
            if bare.startswith(b"BCF"):
                raise TcnfastError(
                    f"{self.path}: is BCF; convert it: bcftools view -O z -o new.vcf.gz "
                    f"{self.path.name}"
                )
            if not bare.startswith(b"#") and not _HEADER.fullmatch(bare):
                self._records = itertools.chain([line], self._records)
                break
            self.header.append(line)
        self._understand()

    def _understand(self) -> None:
        if self.header:
            self.header[0] = self.header[0].removeprefix(codecs.BOM_UTF8)
        first = self.header[0] if self.header else b""
        self.is_vcf = first.startswith(b"##fileformat=VCF")
        columns = self.header[-1] if self.header else b""
        if self.is_vcf and not columns.startswith(b"#CHROM\tPOS\tID\tREF\tALT"):
            raise TcnfastError(f"{self.path}: no #CHROM line before the first record of this VCF")
        if not self.is_vcf and not _HEADER.fullmatch(columns):
            raise TcnfastError(
                f"{self.path}: neither VCF (##fileformat=VCF...) nor a table whose first line is "
                "chrom pos ref alt [id], tab-separated"
            )
        # where chrom, pos, id, ref and alt stand
        self._order = (0, 1, 2, 3, 4)
        if not self.is_vcf:
            self._order = (0, 1, 4 if columns.count(b"\t") == 4 else None, 2, 3)

    def chunks(self, alleles: int | None = None) -> Iterator[Chunk]:
        """Chunks of about ``alleles`` alleles, by default CHUNK_ALLELES, in file order, once."""
        alleles = alleles or CHUNK_ALLELES
        chunk = Chunk(first_line=len(self.header) + 1)
        for number, line in enumerate(self._records, len(self.header) + 1):
            self._take(chunk, number, line)
            if len(chunk.alleles) + len(chunk.skipped) >= alleles:
                chunk.end = self._read
                yield chunk
                chunk = Chunk(first_line=number + 1)
        if chunk.lines:
            chunk.end = self.bytes
            yield chunk

    def _take(self, chunk: Chunk, number: int, line: bytes) -> None:
        """Add one record to ``chunk``."""
        chunk.lines.append(line)
        fields = line.split(b"\t")
        shown = b"\t".join(fields[:5])
        last = max(place for place in self._order if place is not None)
        if len(fields) <= last:
            columns = count(len(fields), "column")
            reason = f"{columns}, a record has {last + 1}: are they tab-separated?"
            chunk.skipped.append(Skipped(number, shown, reason))
            chunk.broken += 1
            return
        chrom, pos, id_, ref, alts = (
            b"." if place is None else fields[place] for place in self._order
        )
        reason = _bad_place(chrom, pos)
        chunk.broken += reason is not None
        reason = reason or _bad_alleles(ref, alts)
        if reason:
            chunk.skipped.append(Skipped(number, shown, reason))
            return
        for alt in alts.split(b","):
            reason = _bad_alternative(ref, alt)
            if reason:
                chunk.skipped.append(Skipped(number, shown, reason))
                continue
            names = chrom.decode(errors="replace"), int(pos) - 1, id_.decode(errors="replace")
            chunk.alleles.append(Allele(len(chunk.lines) - 1, *names, ref.upper(), alt.upper()))

    def _lines(self) -> Iterator[bytes]:
        try:
            with open_input(self.path) as raw:
                self.bytes = os.fstat(raw.fileno()).st_size
                zipped = raw.peek(2)[:2] == b"\x1f\x8b"
                for line in gzip.open(raw) if zipped else raw:
                    self._read = min(raw.tell(), self.bytes)
                    yield line.rstrip(b"\r\n")
        except OSError as error:
            words = error.strerror or str(error)
            raise TcnfastError(f"{self.path}: cannot be read ({words})") from None
        except (EOFError, zlib.error):
            raise TcnfastError(f"{self.path}: truncated or damaged gzip; fetch it again") from None


def _bad_place(chrom: bytes, pos: bytes) -> str | None:
    if not chrom:
        return "no contig name"
    if not pos.isdigit() or len(pos) > 18 or int(pos) < 1:
        return f"position {shown(pos)!r} is no number from 1 on"
    return None


def _bad_alleles(ref: bytes, alts: bytes) -> str | None:
    if not _BASES.fullmatch(ref):
        kind = "an IUPAC code" if _IUPAC.fullmatch(ref) else "no DNA"
        return f"REF {shown(ref)!r} is {kind}; ACGTN are scored"
    return "no alternative allele" if alts in (b"", b".") else None


def _bad_alternative(ref: bytes, alt: bytes) -> str | None:
    if alt == b"*":
        return "allele * (deleted by another record)"
    if alt.startswith(b"<") or b"[" in alt or b"]" in alt:
        return "symbolic allele or breakend"
    if not _BASES.fullmatch(alt):
        return f"ALT {shown(alt)!r} is no DNA"
    return "ALT is REF" if alt.upper() == ref.upper() else None
