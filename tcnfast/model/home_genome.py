"""genome.json: the genome that a model was trained on, and whether another is like it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..base.errors import TcnfastError
from ..base.tables import read_object, replace_file
from ..genome.assemblies import Assembly, known_assembly
from ..genome.kmers import WORDS, gc_share, kmer_counts, likeness

if TYPE_CHECKING:  # a network is made without what reads genomes
    from ..genome.genome import Region

GENOME = "genome.json"
# known bases from which sequence is judged. Below 0 are 5 in 1,000 windows of hg19 chr20 of 20 kb,
# 1 in 1,000 of 50 kb, none of 200 kb. The whole is at .052, E. coli at -.09, shuffled human at -.07
FEWEST_BASES = 50_000
PIECE, PIECES = 2**16, 32  # bases and number of the pieces of a genome that are looked at
MOST_TRAINING = 2 * 10**8  # bases of training sequence that are counted

Reader = Callable[[str, int, int], np.ndarray]  # codes of [start, end) of a contig


@dataclass(frozen=True)
class Verdict:
    """How a genome compares with a model's. ``foreign``: what the model expects does not hold.
    ``words`` for a reader, "" where there is nothing to say."""

    foreign: bool
    words: str


@dataclass(frozen=True)
class HomeGenome:
    """What a model was trained on: ``species`` and ``assembly`` (None: not one that is known),
    ``contigs`` and their sizes, the share of ``gc`` and the counts of 5-mers, on both strands, of
    the training regions; ``validated``: the regions, 1-based, that expectations were measured on.
    """

    species: str | None
    assembly: str | None
    contigs: dict[str, int]
    validated: list[str]
    gc: float
    kmers: list[int]

    @classmethod
    def of(
        cls,
        sizes: Mapping[str, int],
        read: Reader,
        train: list[Region],
        valid: list[Region],
    ) -> HomeGenome:
        """Of training regions, whose codes ``read`` gives."""
        known = known_assembly(sizes.values())
        used = {region.chrom for region in (*train, *valid)}
        left, counted = MOST_TRAINING, np.zeros(WORDS, np.int64)
        for chrom, start, end in train:
            end = min(end, start + left)
            left -= end - start
            counted += kmer_counts([read(chrom, start, end)])
        return cls(
            known.species if known else None,
            known.name if known else None,
            {chrom: size for chrom, size in sizes.items() if chrom in used},
            [f"{region.chrom}:{region.start + 1}-{region.end}" for region in valid],
            round(gc_share(counted), 4),
            counted.tolist(),
        )

    @property
    def name(self) -> str:
        """Species and assembly, or what is known of them."""
        if self.assembly is None:
            return f"a genome with {_contigs(self.contigs)}"
        return f"{self.species} {self.assembly}"

    @property
    def measured_on(self) -> str:
        """The validation regions in words."""
        chroms = dict.fromkeys(region.partition(":")[0] for region in self.validated)
        *first, last = chroms
        where = f"{', '.join(first)} and {last}" if first else last
        return f"validation regions of {self.assembly or 'its genome'} {where}"

    def judge(self, sizes: Mapping[str, int], read: Reader) -> Verdict:
        """Compare with contigs of these ``sizes``.

        Foreign is sequence of FEWEST_BASES known bases or more whose own composition predicts it
        better than the 5-mers of training do, and an assembly that is known to be of another
        species. Mammals of unknown contig sizes cannot be told apart.
        """
        counts = kmer_counts(read(*piece) for piece in _spread(sizes))
        if counts.sum() / 2 >= FEWEST_BASES and likeness(counts, np.array(self.kmers)) < 0:
            return Verdict(
                True,
                f"this sequence (GC {gc_share(counts):.2f}) is not like that of {self.name} (GC "
                f"{self.gc:.2f}), which the model was trained on",
            )
        here = known_assembly(sizes.values())
        home = set(self.contigs.values()) & set(sizes.values())
        if here is None or home or here == Assembly(self.species, self.assembly):
            return Verdict(False, "")
        if self.species is not None and here.species != self.species:
            return Verdict(
                True, f"this is {here.species} ({here.name}), the model is of {self.name}"
            )
        if self.species is None:
            return Verdict(False, "")
        return Verdict(
            False, f"this is {here.name}, the model was trained on {self.name}: expectations hold"
        )


def write_home(folder: Path, home: HomeGenome | None) -> None:
    """Write genome.json into a model folder; without ``home`` none is left there."""
    if home is None:
        (folder / GENOME).unlink(missing_ok=True)
    else:
        replace_file(folder / GENOME, (json.dumps(asdict(home)) + "\n").encode())


def read_home(folder: Path) -> HomeGenome | None:
    """genome.json of a model folder, None where it has none; TcnfastError for a broken one."""
    path = folder / GENOME
    if not path.exists():
        return None
    try:
        home = HomeGenome(**read_object(path))
    except TypeError as error:
        raise TcnfastError(f"{path}: {str(error).split('() ')[-1]}") from None
    if not isinstance(home.kmers, list) or len(home.kmers) != WORDS or not home.validated:
        raise TcnfastError(f"{path}: must hold {WORDS} counts of k-mers and validation regions")
    return home


def _spread(sizes: Mapping[str, int]) -> list[tuple[str, int, int]]:
    """Pieces of contigs, at most PIECES of PIECE bases, at even distances along all of them."""
    total = sum(sizes.values())
    apart = max(PIECE, total / PIECES)
    pieces, begin = [], 0.0
    for chrom, size in sizes.items():
        at = -begin % apart
        while at < size:
            pieces.append((chrom, int(at), min(int(at) + PIECE, size)))
            at += apart
        begin += size
    return pieces


def _contigs(sizes: Mapping[str, int]) -> str:
    names = list(sizes)
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
