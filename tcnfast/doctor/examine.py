"""Which kind of file each is, and who examines that kind."""

from __future__ import annotations

import gzip
import logging
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

from ..base.errors import TcnfastError
from ..genome.fasta_text import foreign
from ..genome.genome import Genome
from ..genome.intervals import TALK
from ..genome.sequence_files import check_is_file
from ..genome.twobit import is_twobit
from ..pwm.motif_formats import motif_kind
from . import binary_files, output_folders, sequence_checks, table_checks
from .findings import Examined, Findings

HEAD = 1 << 16  # bytes that tell what a file is
Check = Callable[[Path, Findings, Genome | None], None]

_BY_ENDING: dict[str, Check] = {  # of files whose content tells nothing
    ".bed": table_checks.bed,
    ".narrowpeak": table_checks.bed,
    ".vcf": table_checks.variants,
    ".meme": table_checks.motifs,
    ".jaspar": table_checks.motifs,
    ".transfac": table_checks.motifs,
    ".motif": table_checks.motifs,
    ".json": table_checks.split,
    ".fa": sequence_checks.fasta,
    ".fasta": sequence_checks.fasta,
    ".fna": sequence_checks.fasta,
    ".bw": binary_files.bigwig,
    ".bigwig": binary_files.bigwig,
    ".npz": binary_files.npz,
}


def examine_files(
    files: Sequence[str | Path], genome: Sequence[str] = (), as_json: bool = False
) -> Examined:
    """Findings about each file; ``genome``: FASTA or .2bit files whose contigs the others must fit.
    Raises TcnfastError where those cannot be read."""
    with Genome(*genome) if genome else nullcontext() as opened:
        return Examined([examine(path, opened) for path in files], as_json)


def examine(path: str | Path, genome: Genome | None = None) -> Findings:
    """Findings about a file or folder, which must fit ``genome``. What readers warn of is odd."""
    path = Path(path)
    found = Findings(str(path))
    with _warnings_to(found.odd):
        try:
            if path.is_dir():
                output_folders.folder(path, found, genome)
            else:
                check_is_file(path)
                kind_of(path)(path, found, genome)
        except TcnfastError as error:
            found.wrong.append(str(error))
        except OSError as error:
            found.wrong.append(f"{path}: cannot be read ({error.strerror or error})")
    return found


class _Kept(logging.Handler):
    """Keeps messages in a list."""

    def __init__(self, kept: list[str]) -> None:
        super().__init__(logging.WARNING)
        self.kept = kept

    def emit(self, record: logging.LogRecord) -> None:
        self.kept.append(record.getMessage().removeprefix("WARNING: "))


@contextmanager
def _warnings_to(kept: list[str]) -> Iterator[None]:
    """Inside, warnings of the package are kept, and not shown."""
    logger, handler = logging.getLogger("tcnfast"), _Kept(kept)
    before, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = before


def kind_of(path: Path) -> Check:
    """Who examines a file, by its first bytes, and by its name where they do not tell."""
    if is_twobit(path):
        return sequence_checks.twobit
    with open(path, "rb") as file:
        raw = file.read(HEAD)
    if binary_files.is_bigwig(raw):
        return binary_files.bigwig
    if raw[:2] == b"PK":
        return binary_files.npz
    check = _of_text(path, unzipped(raw)[:HEAD])
    if check is None:
        ending = [x.lower() for x in path.suffixes if x.lower() not in (".gz", ".bgz")][-1:]
        check = _BY_ENDING.get(*ending) if ending else None
    return check or _none_of_them


def unzipped(raw: bytes) -> bytes:
    """The first bytes of a file, those inside of one that is gzip; as far as they are whole."""
    if raw[:2] != b"\x1f\x8b":
        return raw
    try:
        return zlib.decompressobj(wbits=31).decompress(raw, HEAD)
    except (zlib.error, gzip.BadGzipFile):
        return raw


def _of_text(path: Path, head: bytes) -> Check | None:
    text = head.decode("utf-8-sig", errors="replace")
    lines = [line for line in text.splitlines() if line.strip()]
    first = lines[0] if lines else ""
    words = first.lstrip("#").lower().split("\t")
    if first.startswith(">"):
        return table_checks.motifs if _is_matrix(lines) else sequence_checks.fasta
    if head.startswith(b"BCF"):
        return table_checks.variants
    if first.startswith("##fileformat=VCF") or words[:4] == ["chrom", "pos", "ref", "alt"]:
        return table_checks.variants
    if motif_kind(lines) == "TRANSFAC" or any(x.startswith("MEME version") for x in lines):
        return table_checks.motifs
    if first.lstrip().startswith("{"):
        return table_checks.split
    if "file accession" in words or path.name == "metadata.tsv":
        return table_checks.metadata
    if "label" in words and "path" in words:
        return table_checks.manifest
    if words[1:3] == ["start", "end"]:
        return table_checks.peak_table
    rows = [x for x in lines if not x.encode().startswith(TALK)]
    if rows and re.match(r"[^\s>]+\s+\d+\s+\d+(\s|$)", rows[0]):
        return table_checks.bed
    return None


def _is_matrix(lines: list[str]) -> bool:
    """Whether what begins with '>' is a motif: numbers below it, or a base with numbers."""
    below = next((line for line in lines if not line.startswith(">")), "")
    return re.match(r"\s*([ACGTacgt]?\s*[\[|:]|[ACGTacgt]?\s*[\d.])", below) is not None


def _none_of_them(path: Path, found: Findings, genome: Genome | None) -> None:
    with open(path, "rb") as file:
        head = unzipped(file.read(HEAD))
    what = foreign(head) or (
        "is nothing that tcnfast reads; it reads FASTA, .2bit, BED, narrowPeak, VCF, motif files, "
        "bigWig, splits, manifests, metadata.tsv of ENCODE, and its own folders"
    )
    raise TcnfastError(f"{path}: {what if head.strip() else 'empty file'}")
