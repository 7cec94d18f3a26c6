"""The output folder of ``tcnfast variants``, and :class:`VariantFolder`, which reads it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.errors import TcnfastError
from ..base.options import setting
from ..base.run_folder import read_record
from ..base.tables import read_frame

if TYPE_CHECKING:
    import pandas as pd

TABLE, PARQUET, VCF = "variants.tsv", "variants.parquet", "variants.vcf"
SKIPPED = "skipped.tsv"
TEXT = ("id", "ref", "alt", "kind", "ref_match", "top_label", "gained", "lost")


class VariantFolder:
    """What ``tcnfast variants`` wrote; ``record`` is run.json.

    Args:
        path: the folder.

    Raises:
        TcnfastError: where the folder is no finished output of it.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.record: dict[str, Any] = read_record(self.path, "variants")

    def __repr__(self) -> str:
        return f"VariantFolder({str(self.path)!r})"

    @property
    def file(self) -> Path:
        """The scored alleles: variants.tsv, variants.parquet or variants.vcf."""
        return next(self.path / x for x in (TABLE, PARQUET, VCF) if (self.path / x).exists())

    def table(self) -> pd.DataFrame:
        """The scored alleles, one a row, in the order of the input.

        Returns:
            pandas.DataFrame: chrom, pos (1-based), id, ref, alt, kind, ref_match, top_label, its
                differences, gained, lost, and a column a label of each that was asked for.

        Raises:
            TcnfastError: where the run wrote a VCF file.
        """
        import pandas

        if self.file.name == VCF:
            raise TcnfastError(
                f"{self.file}: is a VCF file; run it again with {setting('format', 'tsv')}"
            )
        if self.file.name == PARQUET:
            return pandas.read_parquet(self.file)
        return read_frame(self.file, TEXT)

    def skipped(self) -> pd.DataFrame:
        """The alleles that were not scored, with the reason.

        Returns:
            pandas.DataFrame: the columns of skipped.tsv, text.
        """
        return read_frame(self.path / SKIPPED, ("id", "ref", "alt", "reason"))
