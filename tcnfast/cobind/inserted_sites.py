"""Motifs as sites to insert: which of a file, which letters, and how a file is found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..base.errors import TcnfastError
from ..genome.codes import N, reverse_complement
from ..motifs.motif_folder import MEME
from ..pwm.log_odds import log_odds
from ..pwm.meme import DATABASE, Motif, information
from ..pwm.motif_formats import motif_file
from ..pwm.similarity import resemblance

KEPT_BITS = 0.25  # a column that tells less leaves the letter of the background
SAME = 0.8  # correlation of two motifs, at their best offset and strand, from which one is enough


@dataclass(frozen=True, eq=False)
class Site:
    """A motif's most likely letters: ``codes`` uint8 (width,), 4 where the background stays."""

    motif: Motif
    codes: np.ndarray

    @property
    def name(self) -> str:
        return self.motif.name

    @property
    def width(self) -> int:
        return len(self.codes)

    @classmethod
    def of(cls, motif: Motif) -> Site:
        """Consensus without weak columns; the ends are trimmed to strong ones. Raises TcnfastError
        for a motif that has none."""
        strong = information(motif.probabilities).sum(1) >= KEPT_BITS
        if not strong.any():
            raise TcnfastError(f"motif {motif.id}: no column tells {KEPT_BITS} bits; leave it out")
        first, last = np.flatnonzero(strong)[[0, -1]]
        codes = np.where(strong, motif.probabilities.argmax(1), N).astype(np.uint8)
        return cls(motif, codes[first : last + 1])

    def turned(self, reverse: bool) -> np.ndarray:
        """Codes on the plus strand, or of the site on the minus strand."""
        return reverse_complement(self.codes) if reverse else self.codes


def motifs_at(path: str | Path | None) -> Path:
    """The motif file that ``path`` is or names, or that of the folder of ``tcnfast motifs`` that it
    is; the bundled JASPAR 2024 vertebrates if None. TcnfastError for a folder without one."""
    if path is None:
        return DATABASE
    path = motif_file(path)
    if not path.is_dir():
        return path
    if not (path / MEME).exists():
        raise TcnfastError(f"{path}: holds no {MEME}, so it is no folder of tcnfast motifs")
    return path / MEME


def named_motifs(motifs: Sequence[Motif], names: Sequence[str], path: str | Path) -> list[Motif]:
    """The motif of each id or name, in that order, of a name the first in the file; TcnfastError
    for one that is not there or is asked for twice."""
    found = []
    for name in names:
        by_id = [motif for motif in motifs if motif.id == name]
        by_name = [motif for motif in motifs if motif.name.casefold() == name.casefold()]
        if not by_id + by_name:
            near = [motif.name for motif in motifs if motif.is_named(name)][:3]
            more = f"; it has {', '.join(near)}" if near else ""
            raise TcnfastError(f"{path}: no motif with the id or name {name!r}{more}")
        found.append((by_id + by_name)[0])
    ids = [motif.id for motif in found]
    twice = next((motif for i, motif in enumerate(found) if motif.id in ids[:i]), None)
    if twice is not None:
        raise TcnfastError(f"motif {twice.id} ({twice.name}) is named twice")
    return found


def distinct(motifs: Sequence[Motif], wanted: int) -> list[Motif]:
    """The first ``wanted`` motifs that resemble none in front of them."""
    kept: list[Motif] = []
    matrices: list[np.ndarray] = []
    for motif in motifs:
        if len(kept) == wanted:
            break
        matrix = log_odds(motif)
        if all(resemblance(matrix, other) < SAME for other in matrices):
            kept.append(motif)
            matrices.append(matrix)
    return kept
