"""Motifs found in the attributions of one label: what they look like, and where in the genome each
of their sites lies."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from ..base.arrays import read_arrays
from ..base.disk import save_arrays
from ..base.errors import TcnfastError
from ..pwm.meme import Motif, information

TRIM = 0.1  # a motif ends at the outermost columns of at least this share of the best one
FLANK = 2  # and so many columns further

UNCERTAIN = 0.5  # a consensus shows a base of at least this share


@dataclass(frozen=True, eq=False)
class Pattern:
    """One motif and its seqlets, the sites it was made of.

    ``name``: sign of the contributions and rank, as in pos_0. Matrices are float64 (width, 4),
    columns ACGT: ``frequencies`` (PFM, rows sum to 1), ``contributions`` (CWM: the mean over
    seqlets of what the base that is there adds) and ``hypothetical`` (the same of all bases).
    Seqlets, in TF-MoDISco's order: ``window`` int64 (n,), a row of the attributions; ``chrom`` str
    and ``start`` int64 (n,), the plus-strand base of the genome that the seqlet begins at;
    ``reverse`` bool (n,), whether it was read on the minus strand; ``score`` float32 (n,), the sum
    of its contributions; ``distance`` int64 (n,), from the middle of its window to the middle of
    the core.
    """

    name: str
    frequencies: np.ndarray
    contributions: np.ndarray
    hypothetical: np.ndarray
    window: np.ndarray
    chrom: np.ndarray
    start: np.ndarray
    reverse: np.ndarray
    score: np.ndarray
    distance: np.ndarray

    def __len__(self) -> int:
        """Number of seqlets."""
        return len(self.start)

    @property
    def width(self) -> int:
        return len(self.frequencies)

    @property
    def sign(self) -> str:
        return self.name.partition("_")[0]

    @property
    def core(self) -> slice:
        """Columns of the trimmed motif."""
        return core_of(self.contributions, self.frequencies)

    @property
    def consensus(self) -> str:
        """Of the core: the base that holds at least half of the seqlets, else n."""
        core = self.frequencies[self.core]
        letters = np.array(list("ACGT"))[core.argmax(1)]
        return "".join(np.where(core.max(1) >= UNCERTAIN, letters, "n"))

    @property
    def sites(self) -> tuple[np.ndarray, np.ndarray]:
        """First base and end of the core at every seqlet, plus strand, int64 (n,) each."""
        core = self.core
        left = np.where(self.reverse, self.width - core.stop, core.start)
        return self.start + left, self.start + left + (core.stop - core.start)

    @property
    def distinct(self) -> np.ndarray:
        """Rows of seqlets that lie at a place of their own: overlapping windows show one site
        several times."""
        return first_of_each(self.chrom, self.sites[0])

    def motif(self, id: str, name: str) -> Motif:
        """The trimmed frequencies as a motif of a MEME file."""
        return Motif(name, id, self.frequencies[self.core])


@dataclass(frozen=True, eq=False)
class PatternSet:
    """All patterns of one label, positive ones first, each sign by number of seqlets."""

    label: str
    windows: int  # that were searched
    patterns: list[Pattern]

    def save(self, path: str | Path) -> None:
        """One compressed npz file: label, windows, names, and <pattern>/<field>; no pickle."""
        arrays = {
            "label": np.array(self.label),
            "windows": np.array(self.windows),
            "names": np.array([pattern.name for pattern in self.patterns], np.str_),
        }
        for pattern in self.patterns:
            for field in fields(Pattern)[1:]:
                values = np.asarray(getattr(pattern, field.name))
                text = values.dtype == object
                arrays[f"{pattern.name}/{field.name}"] = values.astype(np.str_) if text else values
        save_arrays(path, arrays)

    @classmethod
    def open(cls, path: str | Path) -> PatternSet:
        """Read the file of :meth:`save`; TcnfastError where it is none."""
        stored = read_arrays(path, "motifs", "motifs")
        columns = [field.name for field in fields(Pattern)[1:]]
        try:
            patterns = [
                Pattern(name, *(stored[f"{name}/{column}"] for column in columns))
                for name in stored["names"].tolist()
            ]
            return cls(str(stored["label"]), int(stored["windows"]), patterns)
        except KeyError as error:
            raise TcnfastError(f"{path}: no motifs of tcnfast ({error} is missing)") from None


def first_of_each(chrom: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Rows of places (n,) that no earlier row has, ascending."""
    keys = [f"{c}:{s}" for c, s in zip(chrom, start, strict=True)]
    return np.sort(np.unique(keys, return_index=True)[1])


def core_of(contributions: np.ndarray, frequencies: np.ndarray) -> slice:
    """The columns of a CWM and PFM (width, 4) between the outermost ones that matter, and ``FLANK``
    more on each side.

    What matters is a column's contribution times its information. By contribution alone (0.3 of
    the largest, as TF-MoDISco's own reports trim) rare GC-rich patterns kept flanks of 20 bases
    that were not conserved, and matched the longest GC-rich motifs of a database.
    """
    weight = np.abs(contributions).sum(1) * information(frequencies).sum(1)
    strong = np.flatnonzero(weight >= TRIM * weight.max())
    return slice(max(0, strong[0] - FLANK), min(len(weight), strong[-1] + 1 + FLANK))
