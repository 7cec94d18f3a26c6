"""What the strategies that score alleles share.

A strategy is made once for a model and is called with a genome and alleles. It returns columns
float32 (alleles, labels): ``ref_logit`` and ``alt_logit``, and for all steps also
``max_delta_logit`` and ``sum_delta_logit``. All arithmetic is float32: an effect is a small
difference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from itertools import chain
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from ..genome.genome import Genome
from .records import Allele

Strategy = Callable[[Genome, list[Allele]], dict[str, np.ndarray]]
CENTRE = ("ref_logit", "alt_logit")
FULL = (*CENTRE, "max_delta_logit", "sum_delta_logit")
AT_ONCE = 4096  # alleles
Key, Value = TypeVar("Key"), TypeVar("Value")


def empty_columns(names: Sequence[str], alleles: int, labels: int) -> dict[str, np.ndarray]:
    """Columns that are yet to be filled: NaN."""
    return {name: np.full((alleles, labels), np.nan, np.float32) for name in names}


def once(make: Callable[[Key], Value], strands: list[list[Key]]) -> list[list[Value]]:
    """``make`` of every member on every strand, once of one that is there on both: a symmetric
    network, whose strands are the same."""
    made = {}
    for member in chain.from_iterable(strands):
        if id(member) not in made:
            made[id(member)] = make(member)
    return [[made[id(member)] for member in members] for members in strands]


def over_strands(logits: list[Tensor], strand: str) -> Tensor:
    """Logits of one strand or both -> those that are reported; ``strand`` as in a scan."""
    return reduce(torch.maximum, logits) if strand == "max" else sum(logits) / len(logits)


def over_steps(ref: Tensor, alt: Tensor, exists: Tensor) -> dict[str, np.ndarray]:
    """Logits (V, steps, labels) of both alleles -> the columns of all steps, each (V, labels).

    ``exists`` bool (V, steps): steps of the contig. ``max_delta_logit`` is the signed difference of
    the step at which it is largest in size.
    """
    there = exists.to(ref.device)[..., None]
    delta = torch.where(there, alt - ref, 0)
    largest = delta.gather(1, delta.abs().argmax(1, keepdim=True))[:, 0]
    values = {
        "ref_logit": torch.where(there, ref, -torch.inf).amax(1),
        "alt_logit": torch.where(there, alt, -torch.inf).amax(1),
        "max_delta_logit": largest,
        "sum_delta_logit": delta.sum(1),
    }
    return {name: value.cpu().numpy() for name, value in values.items()}


def by_contig(alleles: list[Allele]) -> Iterator[tuple[str, np.ndarray, np.ndarray, np.ndarray]]:
    """Single bases, contig by contig: its name, the rows of its alleles, their positions in
    ascending order, both int64, and the codes of ALT, uint8."""
    chroms = np.array([allele.chrom for allele in alleles], object)
    positions = np.array([allele.pos for allele in alleles], np.int64)
    codes = np.array(["ACGT".index(allele.alt.decode()) for allele in alleles], np.uint8)
    for chrom in dict.fromkeys(chroms.tolist()):
        rows = np.flatnonzero(chroms == chrom)
        rows = rows[np.argsort(positions[rows], kind="stable")]
        yield chrom, rows, positions[rows], codes[rows]
