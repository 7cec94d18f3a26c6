"""Splits of a genome into regions for training, validation and test, from a file or by name."""

from __future__ import annotations

import logging
from pathlib import Path

from ..base.errors import TcnfastError, some
from ..genome.genome import Region, match_chroms, parse_region, split_chroms
from .fold_files import SPLIT_PARTS, read_fold

log = logging.getLogger(__name__)

_HUMAN = [f"chr{name}" for name in (*range(1, 23), "X", "Y")]
_MOUSE = [f"chr{name}" for name in (*range(1, 20), "X", "Y")]

# assembly -> (chromosomes, those of valid, those of test); the rest trains. Where they are from:
# see named_split
_NAMED = {
    "hg19": (_HUMAN[:-1], ["chr11"], ["chr1", "chr8", "chr21"]),
    "GRCh38": (_HUMAN, ["chr8", "chr20"], ["chr1", "chr3", "chr6"]),
    "mm10": (_MOUSE, ["chr8", "chr10"], ["chr1"]),
}
ASSEMBLIES = {"hg38": "GRCh38", "GRCh37": "hg19", "GRCm38": "mm10"}  # other names
SPLIT_NAMES = (*_NAMED, *ASSEMBLIES)


def open_split(split: str | Path, sizes: dict[str, int]) -> dict[str, list[Region]]:
    """Regions of a split file, or of a split known by the name of an assembly (SPLIT_NAMES).

    ``sizes``: contig lengths of the genome. Raises TcnfastError as ``read_split`` and
    ``named_split`` do.
    """
    if str(split) in SPLIT_NAMES:
        return named_split(str(split), sizes)
    return read_split(split, sizes)


def named_split(name: str, sizes: dict[str, int]) -> dict[str, list[Region]]:
    """Whole chromosomes of ``sizes`` by the usual split of an assembly.

    hg19: test chr1, chr8 and chr21 (the ENCODE-DREAM challenge), valid chr11 (FactorNet), without
    chrY. GRCh38: test chr1, chr3 and chr6, valid chr8 and chr20 (ChromBPNet, fold 0; Zenodo
    7445373). mm10: test chr1, valid chr8 and chr10 (kerasAC, fold 0). The rest trains; hg38, GRCh37
    and GRCm38 are other names. A genome may write ``1`` for ``chr1``. Chromosomes that it lacks are
    left out with a warning; TcnfastError if a part has none.
    """
    chroms, valid, test = _NAMED[ASSEMBLIES.get(name, name)]
    split: dict[str, list[Region]] = {part: [] for part in SPLIT_PARTS}
    wanted: dict[str, list[str]] = {part: [] for part in SPLIT_PARTS}
    missing = []
    for chrom in chroms:
        part = "valid" if chrom in valid else "test" if chrom in test else "train"
        wanted[part].append(chrom)
        here = chrom if chrom in sizes else chrom.removeprefix("chr")
        if here in sizes:
            split[part].append(Region(here, 0, sizes[here]))
        else:
            missing.append(chrom)
    for part in SPLIT_PARTS:
        if not split[part]:
            raise TcnfastError(
                f"split {name}: the genome has none of the chromosomes of {part!r} "
                f"({', '.join(wanted[part])}); give a --split file"
            )
    if missing:
        log.warning("split %s: the genome lacks %s", name, ", ".join(missing))
    return split


def read_split(path: str | Path, sizes: dict[str, int]) -> dict[str, list[Region]]:
    """Read ``{"train": [...], "valid": [...], "test": [...]}``, or a fold of another program (see
    :mod:`tcnfast.data.fold_files`). A test part that it leaves open is what of the genome's
    chromosomes the others do not name.

    Entries are chromosome names or 1-based inclusive ``chr:start-end`` strings; the regions that
    come back are 0-based half-open. Those on contigs that the genome lacks are left out with a
    warning. Raises TcnfastError where parts are missing or overlap, where a part has no contig
    left, and where the genome writes 20 for chr20, or chr20 for 20.
    """
    try:
        parts = read_fold(path)
    except FileNotFoundError:
        names = ", ".join(SPLIT_NAMES)
        raise TcnfastError(
            f"{path}: cannot be read (no such file; nor is it a split by name: {names})"
        ) from None
    except OSError as error:
        raise TcnfastError(f"{path}: cannot be read ({error.strerror})") from None
    if parts["test"] is None:
        others = [region for name in ("train", "valid") for region in parts[name]]
        parts["test"] = [chrom for chrom in split_chroms(sizes)[0] if chrom not in others]
        log.info("split %s names no test part; it is %s", path, some(parts["test"]) or "empty")
    named = {part: [_region(text, path) for text in parts[part]] for part in SPLIT_PARTS}
    split = {part: _in_genome(named[part], sizes, path) for part in SPLIT_PARTS}
    chroms = dict.fromkeys(region.chrom for part in SPLIT_PARTS for region in named[part])
    if missing := [chrom for chrom in chroms if chrom not in sizes]:
        log.warning("split %s: the genome lacks %s", path, some(missing))
    ordered = sorted((region, part) for part in SPLIT_PARTS for region in split[part])
    for (a, part_a), (b, part_b) in zip(ordered, ordered[1:], strict=False):
        if a.chrom == b.chrom and b.start < a.end:
            raise TcnfastError(f"{path}: {part_a} and {part_b} overlap at {b.chrom}:{b.start + 1}")
    return split


def _region(text: str, path: str | Path) -> Region:
    if not isinstance(text, str):
        raise TcnfastError(f'{path}: region {text!r} must be a string, as in "train": ["chr20"]')
    try:
        return parse_region(text)
    except TcnfastError as error:
        raise TcnfastError(f"{path}: {error}") from None


def _in_genome(regions: list[Region], sizes: dict[str, int], path: str | Path) -> list[Region]:
    """The regions on contigs of the genome, with their ends."""
    missing = [region.chrom for region in regions if region.chrom not in sizes]
    renamed = [x for x in missing if f"chr{x}" in sizes or x.removeprefix("chr") in sizes]
    match_chroms(missing if len(missing) == len(regions) else renamed, sizes, str(path))
    kept = []
    for chrom, start, end in regions:
        size = sizes.get(chrom)
        if size is not None and end is not None and end > size:
            raise TcnfastError(
                f"{path}: {chrom}:{start + 1}-{end} ends beyond {chrom}, which has {size} bases"
            )
        if size is not None:
            kept.append(Region(chrom, start, size if end is None else end))
    return kept
