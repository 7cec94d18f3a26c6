"""What a user may ask of a scan."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..base.errors import TcnfastError
from ..genome.genome import Genome, match_chroms, split_chroms
from ..model.thresholds import parse_cutoff
from .stretch_writer import ZARR_KINDS

TRACK_FORMATS = ("bigwig", *ZARR_KINDS)
BIGWIG_BASES = 2**32 - 1  # of a contig


@dataclass(frozen=True)
class ScanOptions:
    """What a result depends on beside genome, model and device. See
    :func:`tcnfast.scan.scan_genome.scan`."""

    stride: int = 32
    rc: str = "mean"
    chroms: str | list[str] | None = None
    targets: str | list[str] | None = None
    tracks: str | list[str] | None = None
    track_floor: float = 0.01
    track_format: str = "bigwig"
    within: str | Path | None = None
    min_length: int = 64
    max_gap: int = 64
    cutoff: str = "f1"

    def __post_init__(self) -> None:
        object.__setattr__(self, "cutoff", parse_cutoff(self.cutoff))
        if self.min_length < 1:
            raise TcnfastError(f"min-length {self.min_length}: must be at least 1")
        if self.max_gap < 0:
            raise TcnfastError(f"max-gap {self.max_gap}: must be at least 0")
        if not 0 <= self.track_floor < 1:
            raise TcnfastError(f"track-floor {self.track_floor}: must be at least 0 and below 1")
        if self.track_format not in TRACK_FORMATS:
            raise TcnfastError(
                f"track-format {self.track_format!r}: must be one of {', '.join(TRACK_FORMATS)}"
            )


def chosen_chroms(genome: Genome, wanted: str | list[str] | None) -> tuple[list[str], list[str]]:
    """Contigs to scan, in file order, and those left out unasked."""
    if wanted is None:
        return split_chroms(genome.sizes)
    if wanted in ("all", ["all"]):
        return list(genome.sizes), []
    names = [wanted] if isinstance(wanted, str) else list(wanted)
    if not names:
        raise TcnfastError("--chroms: names no contig")
    match_chroms(names, genome.sizes, "--chroms")
    return [chrom for chrom in genome.sizes if chrom in set(names)], []


def chosen_labels(labels: list[str], wanted: str | list[str] | None, flag: str) -> list[str]:
    """Those of a model's labels that ``flag`` asks for, in their order; none for None."""
    if wanted is None:
        return []
    if wanted in ("all", ["all"]):
        return list(labels)
    names = [wanted] if isinstance(wanted, str) else list(wanted)
    if not names:
        raise TcnfastError(f"{flag}: names no label")
    for name in names:
        if name not in labels:
            raise TcnfastError(f"{flag}: the model has no label {name!r}; see tcnfast info")
    return [label for label in labels if label in set(names)]


def chosen_devices(device: str, devices: str | list[str] | None) -> list[str]:
    """``--devices`` as names, a process each; a bare number is a GPU. One of ``--device``."""
    if devices is None:
        return [device]
    names = devices.split(",") if isinstance(devices, str) else list(devices)
    names = [f"cuda:{name}" if name.isdigit() else name for name in map(str.strip, names)]
    if device != "auto":
        raise TcnfastError("--device and --devices: give one of the two")
    if not all(names) or "auto" in names:
        raise TcnfastError("--devices: name each device, as in cuda:0,cuda:1 or cpu,cpu")
    gpus = [name for name in names if name.startswith("cuda")]
    if len(set(gpus)) < len(gpus) or (gpus and len(gpus) < len(names)):
        raise TcnfastError(
            f"--devices {','.join(names)}: each GPU once, and not together with a processor"
        )
    return names


def check_bigwig_lengths(sizes: dict[str, int]) -> None:
    for chrom, size in sizes.items():
        if size > BIGWIG_BASES:
            raise TcnfastError(
                f"--tracks: {chrom} has {size} bases, a bigWig at most {BIGWIG_BASES}; "
                "--track-format zarr has no such limit"
            )
