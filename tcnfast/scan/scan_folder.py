"""The output folder of a scan: the names of its files, and :class:`ScanFolder`, which reads them.

Other rooms read a scan through this module only. pandas is imported when a table is asked for.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..base.errors import TcnfastError
from ..base.file_names import file_names
from ..base.options import setting
from ..base.record import Record
from ..base.run_folder import read_record
from ..base.tables import read_frame, read_rows
from ..genome.intervals import Intervals, read_bed
from ..model.ladder import percentile

if TYPE_CHECKING:
    import pandas as pd

    from .zarr_tracks import ZarrTracks

SUMMARY, PERCENTILES = "summary.tsv", "percentiles.tsv"
ZARR_FOLDER = "tracks.zarr"
BED6 = ("chrom", "start", "end", "name", "score", "strand")
NARROWPEAK = (*BED6, "probability", "p_value", "q_value", "summit")
HITS = (*BED6, "p_value")
KINDS: dict[str, type] = dict.fromkeys(("start", "end", "summit"), np.int64)
KINDS |= dict.fromkeys(("score", "probability", "p_value"), np.float64)


def peaks_file(folder: Path, name: str) -> Path:
    """The narrowPeak file of the label with the file name ``name``."""
    return folder / "peaks" / f"{name}.narrowPeak"


def bigwig_file(folder: Path, name: str) -> Path:
    """The bigWig of the label with the file name ``name``."""
    return folder / "tracks" / f"{name}.bw"


def hits_file(folder: Path, name: str) -> Path:
    """The hits of the motif with the file name ``name``."""
    return folder / "hits" / f"{name}.bed.gz"


def motif_file_names(motifs: Sequence[tuple[str, str]]) -> list[str]:
    """File names of motifs, each given as (id, name)."""
    return file_names([motif if name == motif else f"{motif}.{name}" for motif, name in motifs])


class ScanFolder:
    """What ``tcnfast scan`` wrote: labels and calls of a model, or hits of motifs.

    ``record`` is run.json.

    Args:
        path: the folder.

    Raises:
        TcnfastError: where the folder is no finished scan; and from what reads calls where the scan
            was one for motifs, and the other way round.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.record = read_record(self.path, "scan")
        self._key: Record = self.record["key"]

    def __repr__(self) -> str:
        return f"ScanFolder({str(self.path)!r})"

    @property
    def of_motifs(self) -> bool:
        """Whether motifs were looked for, not the labels of a model."""
        return "motifs" in self._key

    @property
    def model_hash(self) -> str:
        """SHA-256 of the model that scored the genome."""
        self._needs("calls")
        return self._key["model"]

    @property
    def labels(self) -> list[str]:
        """Labels that the scan reports; of a scan for motifs, their ids."""
        return self._key.names("motifs" if self.of_motifs else "targets")

    @property
    def called_labels(self) -> list[str]:
        """Labels with a call or more."""
        return [label for label, path in self._peaks.items() if _holds_rows(path)]

    @cached_property
    def summary(self) -> pd.DataFrame:
        """summary.tsv: calls (or hits) of each label in all (chrom "all") and on each contig."""
        return read_frame(self.path / SUMMARY, ("label", "motif", "name"))

    @cached_property
    def totals(self) -> list[dict[str, Any]]:
        """The rows of ``summary`` over all contigs, without pandas."""
        text = ("label", "motif", "name", "chrom", "grade")
        rows = read_rows(self.path / SUMMARY, ("chrom",), text)
        return [row for row in rows if row["chrom"] == "all"]

    def calls(self, label: str) -> pd.DataFrame:
        """Calls of a label, by contig and start.

        Args:
            label: one of ``labels``.

        Returns:
            pandas.DataFrame: chrom, start, end (0-based half-open), probability (the largest in the
                call), summit (a position on the contig) and percentile: the per cent of steps of
                the
                model's validation regions that score less in this label, which compares calls of
                several labels (NaN where that is not known).

        Raises:
            TcnfastError: for another label, and where the scan was one for motifs.
        """
        path = self.peaks_of(label)
        table = _read_table(path if _holds_rows(path) else io.StringIO(), NARROWPEAK)
        table["summit"] += table["start"]
        table["percentile"] = self._percentiles(label, table["probability"].to_numpy())
        return table[["chrom", "start", "end", "probability", "summit", "percentile"]]

    def _percentiles(self, label: str, probabilities: np.ndarray) -> np.ndarray:
        path = self.path / PERCENTILES
        if not path.exists():
            return np.full(len(probabilities), np.nan)
        rows = read_frame(path, needs=("label",), numbers=("probability", "percentile"))
        rows = rows[rows["label"] == label]
        inside = rows["probability"].between(0, 1) & rows["percentile"].between(0, 100)
        if rows.empty or not inside.all() or not rows["probability"].is_monotonic_increasing:
            raise TcnfastError(f"{path}: damaged (label {label!r}); scan anew")
        share = 1 - rows["percentile"].to_numpy() / 100
        # narrowPeak files hold four decimals
        inside = np.clip(probabilities, rows["probability"].min(), 1 - 1e-4)
        return percentile(inside, rows["probability"].to_numpy(), share)

    def intervals(
        self, labels: str | Sequence[str] | None = None, sizes: Mapping[str, int] | None = None
    ) -> Intervals:
        """Calls of several labels, label after label, with summits and labels.

        Args:
            labels: one or several; None: all.
            sizes: lengths of contigs by name, to check the calls with; None: no check.

        Returns:
            Intervals: arrays (calls,): chrom, start, end, summit, label.

        Raises:
            IntervalError: for a call outside of ``sizes``.
            TcnfastError: for another label, and where the scan was one for motifs.
        """
        wanted = [labels] if isinstance(labels, str) else self.labels if labels is None else labels
        parts = []
        for label in wanted:
            path = self.peaks_of(label)
            if _holds_rows(path):
                calls = read_bed(path, sizes, summits=True)
                columns = (calls.chrom, calls.start, calls.end, calls.summit)
                parts.append((*columns, np.full(len(calls), label, object)))
        if not parts:
            names, places = np.empty(0, object), np.empty(0, np.int64)
            return Intervals(names, places, places, places, names)
        return Intervals(*map(np.concatenate, zip(*parts, strict=True)))

    def sites(self, sizes: Mapping[str, int]) -> Intervals:
        """Calls of all labels, as :meth:`intervals`.

        Args:
            sizes: lengths of contigs by name.

        Returns:
            Intervals: arrays (calls,).

        Raises:
            TcnfastError: where there are none.
        """
        calls = self.intervals(sizes=sizes)
        if not len(calls):
            raise TcnfastError(
                f"{self.path}: the scan holds no call; scan with a lower {setting('cutoff')}"
            )
        return calls

    @property
    def tracks(self) -> dict[str, Path]:
        """Labels with a track: the bigWig of each, or the zarr folder that holds them all."""
        self._needs("calls")
        labels = self._key.names("tracks")
        if self._key["track_format"] != "bigwig":
            return dict.fromkeys(labels, self.path / ZARR_FOLDER)
        names = file_names(labels)
        return {x: bigwig_file(self.path, name) for x, name in zip(labels, names, strict=True)}

    def zarr_tracks(self) -> ZarrTracks:
        """The dense tracks, open for reading.

        Returns:
            ZarrTracks: scores of labels by contig.

        Raises:
            TcnfastError: where the scan wrote none.
        """
        from .zarr_tracks import ZarrTracks

        return ZarrTracks.open(self.path / ZARR_FOLDER, "r")

    def hits(self, motif: str) -> pd.DataFrame:
        """Hits of a motif, by contig and start.

        Args:
            motif: its id.

        Returns:
            pandas.DataFrame: chrom, start, end (0-based half-open), motif, score (bits), strand and
                p_value.

        Raises:
            TcnfastError: for another motif, and where the scan was one with a model.
        """
        self._needs("hits")
        rows = self.summary.drop_duplicates("motif")
        motifs = list(zip(rows["motif"], rows["name"], strict=True))
        for (known, _), name in zip(motifs, motif_file_names(motifs), strict=True):
            if known == motif:
                table = _read_table(hits_file(self.path, name), HITS)
                return table.rename(columns={"name": "motif"})
        raise TcnfastError(f"{self.path}: the scan has no motif {motif!r}")

    @cached_property
    def _peaks(self) -> dict[str, Path]:
        """File of each label. A label that the scan's cutoff never calls has none."""
        self._needs("calls")
        names = file_names(self.labels)
        return {x: peaks_file(self.path, name) for x, name in zip(self.labels, names, strict=True)}

    def peaks_of(self, label: str) -> Path:
        """The narrowPeak file of a label.

        Args:
            label: one of ``labels``.

        Returns:
            Path: the file, which is not there where the cutoff never calls the label.

        Raises:
            TcnfastError: for another label, and where the scan was one for motifs.
        """
        if label not in self._peaks:
            raise TcnfastError(f"{self.path}: the scan has no label {label!r}")
        return self._peaks[label]

    def _needs(self, what: str) -> None:
        if self.of_motifs != (what == "hits"):
            kind = "for motifs" if self.of_motifs else "with a model"
            raise TcnfastError(f"{self.path}: is a scan {kind}, which has no {what}")


def _holds_rows(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def _read_table(path: Path | io.StringIO, columns: Sequence[str]) -> pd.DataFrame:
    """Rows of a BED-like file."""
    table = read_frame(path, ("name", "strand"), columns)
    kinds = {name: kind for name, kind in KINDS.items() if name in columns}
    try:
        return table.astype(kinds)
    except (ValueError, TypeError, OverflowError) as error:  # pandas has a kind for each kind
        raise TcnfastError(f"{path}: damaged ({str(error).splitlines()[0]}); scan anew") from None
