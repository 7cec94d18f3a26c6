"""Options that say where peaks and genome come from; shared by every verb that takes them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from ..base.errors import TcnfastError
from ..base.options import Options, genome_option, option, setting
from ..base.verb import Input

DATA = Input(
    "data",
    "folder of tcnfast prepare; in place of --genome, --peaks and --split",
    ("-d", "--data"),
    unit="DIR",
)
NEEDED = ("genome", "peaks", "split")
_DATA = "data"
_PEAKS = (
    "peak tables: a header #chrom start end with a label column, or with tf and cell; or the four "
    "columns chrom start end label. A label comes from the first table that has it"
)
_SPLIT = "regions or chromosomes called train, valid and test; or hg19, GRCh38 (hg38) or mm10"


def _files(help: str) -> tuple[str, ...]:
    return option((), help, kind=str, unit="BED", many=True, group=_DATA)


@dataclass(frozen=True)
class PeakTableOptions(Options):
    """Peaks in tables with labels, what to leave out, and the split."""

    peaks: tuple[str, ...] = _files(_PEAKS)
    ambiguous: tuple[str, ...] = _files(
        "tables of relaxed peaks: bins that only they touch are not scored"
    )
    blacklist: str | None = option(None, "regions to leave out", unit="BED", group=_DATA)
    split: str | None = option(None, _SPLIT, unit="JSON|NAME", group=_DATA)


@dataclass(frozen=True)
class DataOptions(PeakTableOptions):
    """Data as files, where no folder of ``tcnfast prepare`` is given."""

    genome: tuple[str, ...] = genome_option(group=_DATA)

    @property
    def given(self) -> list[str]:
        """Names of the options that were given."""
        return [name for name in DataOptions.__dataclass_fields__ if getattr(self, name)]

    def check(self) -> None:
        missing = [name for name in NEEDED if name not in self.given]
        if self.given and missing:
            raise TcnfastError(
                f"{setting(missing[0])} is required beside {setting(self.given[0])}; "
                f"{setting('data')} takes none of them"
            )


@dataclass(frozen=True)
class PeakOptions(PeakTableOptions):
    """Peaks from tables with labels, from a manifest or from ENCODE's metadata: exactly one."""

    manifest: str | None = option(
        None,
        "table of peak files, BED or narrowPeak: label path [ambiguous_path] [cell], with tabs",
        unit="TSV",
        group=_DATA,
    )
    encode: str | None = option(
        None, "metadata.tsv of ENCODE, with the downloaded files beside it", unit="TSV", group=_DATA
    )
    assembly: str | None = option(
        None, "which assembly of the metadata: GRCh38, hg19 or mm10", unit="NAME", group=_DATA
    )
    allow_audit_errors: bool = option(
        False, "take files of the metadata that have an audit error too", group=_DATA
    )

    def check(self) -> None:
        peaks, manifest, encode = (setting(x) for x in ("peaks", "manifest", "encode"))
        if sum(map(bool, (self.peaks, self.manifest, self.encode))) != 1:
            raise TcnfastError(f"give one of {peaks}, {manifest} and {encode}")
        for name in ("assembly", "allow_audit_errors"):
            if getattr(self, name) and not self.encode:
                raise TcnfastError(f"{setting(name)} goes with {encode}")
        if self.ambiguous and not self.peaks:
            raise TcnfastError(
                f"{setting('ambiguous')} goes with {peaks}; a manifest has a column for it"
            )
        if not self.split:
            raise TcnfastError(f"{setting('split')} is required")
        for paths in (self.peaks, self.ambiguous):
            for path, times in Counter(Path(path).resolve() for path in paths).items():
                if times > 1:
                    raise TcnfastError(f"{path}: is listed twice")


@dataclass(frozen=True)
class LabelRule(Options):
    """What makes a bin bound: see ``tcnfast.data.dataset.Dataset``."""

    label_bin: int = option(200, "bases around a centre that decide a label", unit="BP", least=1)
    min_overlap: int = option(
        100, "bases of the bin that a peak must cover, or its whole length", unit="BP", least=1
    )
    summits: int | None = option(
        None,
        "replace each peak by this many bases around its summit (default: whole peaks)",
        kind=int,
        unit="BP",
        least=1,
    )

    def check(self) -> None:
        if self.min_overlap > self.label_bin:
            raise TcnfastError(
                f"{setting('min_overlap')} {self.min_overlap}: must be within 1 and "
                f"{setting('label_bin')} {self.label_bin}"
            )


@dataclass(frozen=True)
class PrepareOptions(PeakOptions, LabelRule):
    """Of ``tcnfast prepare``."""

    min_peaks: int = option(
        200, "list labels with fewer training peaks, which train drops", unit="N", least=1
    )
    report: bool = option(
        False, "count labels, bases and pairs of labels: tables in the folder, text on stdout"
    )

    def check(self) -> None:
        PeakOptions.check(self)
        LabelRule.check(self)
