"""What a user named, against what there is: contigs, labels, devices."""

from __future__ import annotations

from collections.abc import Sequence

from ..base.errors import TcnfastError
from ..base.options import Run, setting
from ..genome.genome import Genome, match_chroms, split_chroms

BIGWIG_BASES = 2**32 - 1  # of a contig


def chosen_chroms(genome: Genome, wanted: Sequence[str] | None) -> tuple[list[str], list[str]]:
    """Contigs to scan, in file order, and those left out unasked."""
    if wanted is None:
        return split_chroms(genome.sizes)
    if list(wanted) == ["all"]:
        return list(genome.sizes), []
    if not wanted:
        raise TcnfastError(f"{setting('chroms')}: names no contig")
    match_chroms(wanted, genome.sizes, setting("chroms"))
    return [chrom for chrom in genome.sizes if chrom in set(wanted)], []


def chosen_labels(labels: list[str], wanted: Sequence[str], option: str) -> list[str]:
    """Those of a model's labels that the option asks for, in their order."""
    if list(wanted) == ["all"]:
        return list(labels)
    if not wanted:
        raise TcnfastError(f"{setting(option)}: names no label")
    for name in wanted:
        if name not in labels:
            raise TcnfastError(
                f"{setting(option)}: the model has no label {name!r}; see tcnfast info"
            )
    return [label for label in labels if label in set(wanted)]


def chosen_devices(run: Run) -> list[str]:
    """``devices`` as names, a process each; a bare number is a GPU. The one ``device`` if None."""
    if run.devices is None:
        return [run.device]
    names = [f"cuda:{name}" if name.isdigit() else name for name in run.devices]
    if run.device != "auto":
        raise TcnfastError(f"{setting('device')} and {setting('devices')}: give one of the two")
    if not names or "auto" in names:
        raise TcnfastError(
            f"{setting('devices')}: name each device, as in cuda:0,cuda:1 or cpu,cpu"
        )
    gpus = [name for name in names if name.startswith("cuda")]
    if len(set(gpus)) < len(gpus) or (gpus and len(gpus) < len(names)):
        given = setting("devices", ",".join(names))
        raise TcnfastError(f"{given}: each GPU once, and not together with a processor")
    return names


def check_bigwig_lengths(sizes: dict[str, int]) -> None:
    """Raise TcnfastError for a contig that is too long for a bigWig."""
    for chrom, size in sizes.items():
        if size > BIGWIG_BASES:
            raise TcnfastError(
                f"{setting('tracks')}: {chrom} has {size} bases, a bigWig at most {BIGWIG_BASES}; "
                f"{setting('track_format', 'zarr')} has no such limit"
            )
