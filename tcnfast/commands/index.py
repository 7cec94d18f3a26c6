"""``tcnfast index``: a FASTA file as .2bit, which is read several times faster."""

from __future__ import annotations

import argparse
import logging

from .flags import command, flags


def add(commands) -> None:
    words = "write the .2bit of a FASTA file beside it, where every command finds it"
    parser = command(commands, "index", run, [flags()], help=words)
    words = "plain, gzip or bgzip; hg38.fa and hg38.fa.gz get hg38.2bit"
    parser.add_argument("fasta", nargs="+", metavar="FASTA", help=words)
    words = "another name for it, of a single FASTA (only beside the FASTA it is found unasked)"
    parser.add_argument("-o", "--output", metavar="FILE", help=words)
    parser.add_argument("--force", action="store_true", help="replace an existing .2bit")


def run(args: argparse.Namespace) -> None:
    from pathlib import Path

    from ..genome.twobit_match import twobit_path

    if args.output and len(args.fasta) > 1:
        args.parser.error("-o/--output names one file; give one FASTA")
    for fasta in map(Path, args.fasta):
        out = Path(args.output) if args.output else twobit_path(fasta)
        _index(fasta, out, args.force, not (args.quiet or args.no_progress))


def _index(fasta, out, force: bool, progress: bool) -> None:
    from ..base.progress import Progress
    from ..genome.fasta_text import look_at
    from ..genome.genome import GenomeError
    from ..genome.twobit import is_twobit
    from ..genome.twobit_match import open_matching
    from ..genome.twobit_write import write_twobit

    if fasta.exists() and is_twobit(fasta):
        raise GenomeError(f"{fasta}: is a .2bit file already; every command reads it")
    look_at(fasta)
    if out.exists():
        if not is_twobit(out) or out.is_dir():
            raise GenomeError(f"{out}: exists and is no .2bit file; name another with -o")
        if not force:
            twobit, compared = open_matching(fasta, out)
            twobit.close()
            words = "%s is complete already (%s agree); --force writes it anew"
            logging.info(words, out, compared)
            return
    with Progress(fasta.stat().st_size, "B", progress, scale=True) as bar:
        written = write_twobit(fasta, out, bar.update)
    contigs = "1 contig" if written.contigs == 1 else f"{written.contigs} contigs"
    logging.info("%s: %s, %.1f Mb", out, contigs, written.bases / 1e6)
    if written.others:
        letters = ", ".join(f"{letter} {n:,}" for letter, n in sorted(written.others.items()))
        logging.info("letters other than ACGTN became N: %s", letters)
    if written.version:
        logging.warning(
            "WARNING: %s passes 4 GiB, so it is of version 1 (64-bit offsets), which several other "
            "programs cannot read", out,
        )  # fmt: skip
