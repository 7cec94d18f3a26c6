"""A FASTA file as .2bit: what ``tcnfast index`` does."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from ..base.options import Run, setting
from ..base.progress import Progress
from ..base.talk import count
from .fasta_text import FastaText, look_at
from .sequence_files import GenomeError
from .twobit import TwoBitFile, is_twobit
from .twobit_write import write_twobit

log = logging.getLogger(__name__)

_COMPRESSED = (".gz", ".bgz", ".bgzf")
_FASTA = (".fa", ".fasta", ".fna", ".fas")


def index_files(fasta: Sequence[str | Path], out: str | Path | None, run: Run) -> list[Path]:
    """See :func:`tcnfast.genome.index`."""
    if out is not None and len(fasta) > 1:
        raise GenomeError(f"{setting('out')}: names one file; give one FASTA")
    return [_index(Path(x), Path(out) if out else twobit_path(Path(x)), run) for x in fasta]


def twobit_path(fasta: Path) -> Path:
    """Where the .2bit file of a FASTA file lies: hg38.2bit for hg38.fa and hg38.fa.gz."""
    if fasta.suffix.lower() in _COMPRESSED:
        fasta = fasta.with_suffix("")
    if fasta.suffix.lower() in _FASTA:
        fasta = fasta.with_suffix("")
    return fasta.with_name(f"{fasta.name}.2bit")


def _index(fasta: Path, out: Path, run: Run) -> Path:
    if fasta.exists() and is_twobit(fasta):
        raise GenomeError(f"{fasta}: is a .2bit file already; every command reads it")
    look_at(fasta)
    if out.exists():
        if out.is_dir() or not is_twobit(out):
            raise GenomeError(
                f"{out}: exists and is no .2bit file; choose another {setting('out')}"
            )
        if not run.force:
            words = "%s is complete already (%s agree); %s writes it anew"
            log.info(words, out, compare_files(fasta, out), setting("force", True))
            return out
    with Progress(fasta.stat().st_size, "B", run.progress, scale=True) as bar:
        written = write_twobit(fasta, out, bar.update)
    contigs = count(written.contigs, "contig")
    log.info("%s: %s, %.1f Mb", out, contigs, written.bases / 1e6)
    if written.others:
        letters = ", ".join(f"{letter} {n:,}" for letter, n in sorted(written.others.items()))
        log.info("letters other than ACGTN became N: %s", letters)
    if written.version:
        words = "it is of version 1 (64-bit offsets), which several other programs cannot read"
        log.warning("WARNING: %s passes 4 GiB, so %s", out, words)
    return out


def compare_files(fasta: Path, path: Path) -> str:
    """What of ``fasta`` agrees with its .2bit file ``path``, in words: all of it.

    Raises GenomeError where either cannot be read, and where they differ: how, and how to mend it.
    """
    text, mend = FastaText(fasta, look_at(fasta)), f"{setting('force', True)} writes it anew"
    try:
        twobit = TwoBitFile(path)
    except GenomeError as error:
        raise GenomeError(f"{error}; {mend}") from None
    with closing(twobit):
        difference = _difference(text, twobit)
    if difference is not None:
        raise GenomeError(f"{path}: is not the sequence of {fasta}: {difference}; {mend}")
    bases = sum(contig.size for contig in twobit.contigs.values())
    return f"names, sizes and {bases:,} bases"


def _difference(text: FastaText, twobit: TwoBitFile) -> str | None:
    """The first one; None if there is none."""
    sizes: dict[str, int] = {}
    for piece in text:
        if piece.name not in twobit.contigs:
            return f"it lacks {piece.name}"
        size, end = twobit.contigs[piece.name].size, piece.start + piece.codes.size
        if end > size:
            return f"{piece.name} has {size:,} bases in it, and more in the FASTA file"
        theirs = np.empty_like(piece.codes)
        twobit.read_into(piece.name, piece.start, theirs)
        different = np.flatnonzero(piece.codes != theirs)
        if different.size:
            at = int(different[0])
            base, other = "ACGTN"[theirs[at]], "ACGTN"[piece.codes[at]]
            place = f"{piece.name}:{piece.start + at + 1:,}"
            return f"{place} is {base} in it and {other} in the FASTA file"
        sizes[piece.name] = end
    for name, contig in twobit.contigs.items():
        if name not in sizes:
            return f"it has {name}, which the FASTA file lacks"
        if contig.size != sizes[name]:
            return f"{name} has {contig.size:,} bases in it and {sizes[name]:,} in the FASTA file"
    return None if list(sizes) == list(twobit.contigs) else "its contigs are in another order"
