"""Tables of intervals, variants, motifs and files, each read by the reader that commands use."""

from __future__ import annotations

import gzip
import zlib
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import numpy as np

from ..base.errors import TcnfastError, some
from ..base.talk import count, spread
from ..data.encode_metadata import LeftOut, assemblies_of, read_encode
from ..data.fold_files import read_fold
from ..data.manifest import read_manifest
from ..data.splits import read_split
from ..genome.genome import Genome, match_chroms, parse_region
from ..genome.intervals import (
    TALK,
    IntervalError,
    Intervals,
    is_narrowpeak,
    read_bed,
    read_labelled,
)
from ..pwm.meme import read_text
from ..pwm.motif_formats import motif_kind, read_motifs
from ..variants.records import Chunk, VariantFile
from ..variants.variants_run import ReferenceCheck
from .findings import Findings, sizes_of


def bed(path: Path, found: Findings, genome: Genome | None) -> None:
    """BED, narrowPeak, or a table of four columns whose fourth is a label."""
    found.kind, sizes = "BED", sizes_of(genome)
    fields = _first_row(path)
    if is_narrowpeak(fields):
        found.kind = "narrowPeak"
        peaks = read_bed(path, sizes, allow_missing=True, summits=True)
        _say_intervals(found, peaks)
        known = int(np.count_nonzero(peaks.summit >= 0))
        found.facts.append(f"{known:,} of them with a summit")
        if not known:
            found.odd.append("no peak has a summit (column 10): the middle of each is taken")
        return
    if ".narrowpeak" in path.name.lower():
        found.odd.append(
            f"is called narrowPeak, which has 10 columns, and has {len(fields)}: read as BED, the "
            "middle of each peak is taken for its summit"
        )
    if len(fields) == 4:
        try:
            table = read_labelled(path, sizes, allow_missing=True)
        except IntervalError:
            pass  # its fourth column holds names of peaks
        else:
            found.kind = "table of peaks, its fourth column the label"
            _say_intervals(found, table)
            return
    _say_intervals(found, read_bed(path, sizes, allow_missing=True))


def peak_table(path: Path, found: Findings, genome: Genome | None) -> None:
    """A table with a header that names its columns."""
    found.kind = "table of peaks with labels"
    _say_intervals(found, read_labelled(path, sizes_of(genome), allow_missing=True))


def _first_row(path: Path) -> list[bytes]:
    with open(path, "rb") as raw:
        zipped = raw.peek(2)[:2] == b"\x1f\x8b"
        try:
            for line in gzip.open(raw) if zipped else raw:
                if line.strip() and not line.startswith(TALK):
                    line = line.rstrip(b"\r\n")
                    return line.split(b"\t") if b"\t" in line else line.split()
        except (OSError, EOFError, zlib.error):
            pass  # the reader says what is wrong with it
    return []


def _say_intervals(found: Findings, rows: Intervals) -> None:
    widths = rows.end - rows.start
    words = f"{count(len(rows), 'row')} on {count(len(rows.chroms), 'contig')}"
    found.facts.append(f"{words}: {some(rows.chroms)}")
    middle = int(np.median(widths))
    found.facts.append(f"{spread(widths.min(), widths.max(), 'bp')}, median {middle:,}")
    if rows.label is not None:
        labels = Counter(rows.label.tolist())
        most, least = labels.most_common()[0], labels.most_common()[-1]
        found.facts.append(
            f"{count(len(labels), 'label')}, of {least[1]:,} ({least[0]}) to {most[1]:,} "
            f"({most[0]}) rows"
        )
    keys = [rows.chrom.tolist(), rows.start.tolist(), rows.end.tolist()]
    if rows.label is not None:
        keys.append(rows.label.tolist())
    keys = list(zip(*keys, strict=True))
    twice = len(keys) - len(set(keys))
    if twice:
        found.odd.append(f"{count(twice, 'row')} that another row says already")
    seen: set[str] = set()
    apart = False
    for before, after in pairwise(keys):
        seen.add(before[0])
        apart |= after[0] != before[0] and after[0] in seen
        apart |= after[0] == before[0] and after[1] < before[1]
    if apart:
        found.odd.append("its rows are not sorted, which tcnfast does not mind; others do")


def variants(path: Path, found: Findings, genome: Genome | None) -> None:
    """Every allele, as a stream."""
    found.kind = "VCF or table of variants"
    file = VariantFile(path)
    found.kind = "VCF" if file.is_vcf else "table of variants"
    kinds: Counter[str] = Counter()
    chroms: dict[str, None] = {}
    reasons: dict[str, tuple[int, int]] = {}
    check = None if genome is None else ReferenceCheck(genome, str(path))
    for chunk in file.chunks():
        if check is not None:
            _check_references(check, chunk)
        kinds.update(allele.kind for allele in chunk.alleles)
        chroms |= dict.fromkeys(allele.chrom for allele in chunk.alleles)
        for allele in chunk.skipped:
            line, times = reasons.get(allele.reason, (allele.line, 0))
            if allele.reason in reasons or len(reasons) < 20:
                reasons[allele.reason] = line, times + 1
    alleles = kinds.total()
    if not alleles and not reasons:
        raise TcnfastError(f"{path}: holds no variant")
    if alleles:
        each = ", ".join(f"{n:,} {kind}" for kind, n in kinds.most_common())
        found.facts.append(f"{count(alleles, 'allele')} to score: {each}")
        found.facts.append(f"{count(len(chroms), 'contig')}: {some(chroms)}")
    for reason, (line, times) in reasons.items():
        found.odd.append(f"{count(times, 'allele')} not scored, first in line {line}: {reason}")
    if not alleles:
        found.wrong.append(f"{path}: no allele of it can be scored")
    elif check is not None:
        if not check.checked:
            match_chroms(chroms, genome.sizes, str(path))
        check.stop_if_wrong(finished=True)
        check.tell()


def _check_references(check: ReferenceCheck, chunk: Chunk) -> None:
    for allele in chunk.alleles:
        if allele.chrom in check.genome.sizes:
            check.matches(allele)
    check.stop_if_wrong()


def motifs(path: Path, found: Findings, genome: Genome | None) -> None:
    """Motif files of every format."""
    found.kind = "motif file"
    kind = motif_kind(read_text(path).splitlines())
    found.kind = f"{kind} motif file"
    read = read_motifs(path)
    widths = [len(motif.probabilities) for motif in read]
    names = [motif.name for motif in read]
    wide = spread(min(widths), max(widths), "bp")
    words = f"{count(len(read), 'motif')} of {wide}: {some(names)}"
    found.facts.append(words)
    flat = [motif.id for motif in read if np.ptp(motif.probabilities, axis=1).max() < 0.05]
    if flat:
        found.odd.append(f"{count(len(flat), 'motif')} without a preferred base: {some(flat)}")


def metadata(path: Path, found: Findings, genome: Genome | None) -> None:
    """ENCODE's table, beside which the downloaded files lie."""
    found.kind = "metadata.tsv of ENCODE"
    for assembly in assemblies_of(path):
        try:
            files, left_out = read_encode(path, assembly)
        except TcnfastError as error:
            found.wrong.append(str(error))
            continue
        labels = dict.fromkeys(file.label for file in files)
        words = f"{count(len(files), 'peak file')} of {count(len(labels), 'label')}"
        found.facts.append(f"{assembly}: {words}: {some(labels)}")
        _say_left_out(found, assembly, Counter(map(_reason, left_out)))


def _reason(row: LeftOut) -> str:
    """Why a row was left out, without accessions, so that rows can be counted."""
    if row.why.endswith("of the same experiment is preferred"):
        return "another file of its experiment is preferred"
    return row.why


def _say_left_out(found: Findings, assembly: str, reasons: Counter[str]) -> None:
    for why, times in reasons.most_common(6):
        found.facts.append(f"{assembly}: {count(times, 'row')} left out: {why}")
        if why.startswith("not downloaded"):
            found.odd.append(f"{count(times, 'file')} of {assembly} to download, if wanted: {why}")


def manifest(path: Path, found: Findings, genome: Genome | None) -> None:
    """A manifest, and the peak files that it names."""
    found.kind = "manifest of peak files"
    files = read_manifest(path)
    labels = dict.fromkeys(file.label for file in files)
    found.facts.append(f"{count(len(files), 'peak file')} of {count(len(labels), 'label')}")
    for file in files:
        for peaks in (file.path, file.ambiguous):
            if peaks is not None:
                _try(
                    found, lambda peaks=peaks: read_bed(peaks, sizes_of(genome), allow_missing=True)
                )


def _try(found: Findings, read) -> None:
    try:
        read()
    except TcnfastError as error:
        found.wrong.append(str(error))


def split(path: Path, found: Findings, genome: Genome | None) -> None:
    """A split of a genome; without a genome its regions are read, and not compared."""
    found.kind = "JSON"
    parts = read_fold(path)
    found.kind = "split"
    if genome is not None:
        read = read_split(path, genome.sizes)
        for part, regions in read.items():
            bases = sum(region.end - region.start for region in regions)
            found.facts.append(f"{part}: {count(len(regions), 'region')}, {bases:,} bases")
        return
    for part, regions in parts.items():
        if regions is None:
            found.facts.append(f"{part}: open; what of the chromosomes the others do not name")
            continue
        found.facts.append(f"{part}: {count(len(regions), 'region')}: {_regions(path, regions)}")


def _regions(path: Path, regions: Iterable[object]) -> str:
    for text in regions:
        if not isinstance(text, str):
            raise TcnfastError(
                f'{path}: region {text!r} must be a string, as in "train": ["chr20"]'
            )
        try:
            parse_region(text)
        except TcnfastError as error:
            raise TcnfastError(f"{path}: {error}") from None
    return some(regions) or "none"
