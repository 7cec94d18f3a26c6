"""How alike motifs are.

:func:`best_matches` names the known motifs that a found one resembles, with p-values: TomTom (Gupta
et al. 2007, Genome Biology 8:R24) through memelite. :func:`resemblance` is a plain correlation, for
choosing motifs that differ.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from scipy.stats import false_discovery_control

from ..base.errors import TcnfastError
from ..base.extras import install
from .meme import Motif

log = logging.getLogger(__name__)

FEW = 25  # targets under which memelite calls its p-values unreliable
# least similarity of a match. On labels of encode-v1 matches that a person would call one had 0.73
# or more. Long patterns of hardly any information reach small p-values too, mostly against the
# longest motifs of JASPAR 2024: those had 0.62 or less
ALIKE = 0.7


@dataclass(frozen=True)
class Match:
    """A known motif like a found one. ``offset``: column of the query (below 0: in front of it)
    that the first column of the target, read on ``strand``, lies at."""

    target: Motif
    p: float
    q: float
    offset: int
    overlap: int
    strand: str

    @property
    def aligned(self) -> np.ndarray:
        """Probabilities of the target on the strand that matches, float64 (width, 4)."""
        flipped = self.target.probabilities[::-1, ::-1]
        return flipped if self.strand == "-" else self.target.probabilities

    def similarity(self, query: np.ndarray) -> float:
        """Correlation of the aligned columns, query (width, 4), around a probability of 1/4."""
        first = max(self.offset, 0)
        ours = query[first : first + self.overlap] - 0.25
        theirs = self.aligned[first - self.offset :][: self.overlap] - 0.25
        return float((_unit(ours) * _unit(theirs)).sum())


def best_matches(
    queries: Sequence[np.ndarray], targets: Sequence[Motif], count: int | None = None
) -> list[list[Match]]:
    """The ``count`` best targets (all if None) of every query (width, 4), best first.

    p: of the best alignment on either strand, as TomTom defines it, against the columns of all
    targets. q: Benjamini and Hochberg's over the targets, for each query alone. Targets whose
    aligned columns do not look like those of the query (``ALIKE``) are left out.
    """
    if not queries:
        return []
    try:
        from memelite import tomtom
    except ImportError:
        raise TcnfastError(f"memelite is not installed: {install('motifs')}") from None

    if len(targets) < FEW:
        log.warning("WARNING: only %d known motifs: p-values of matches mean little", len(targets))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "tomtom was given", UserWarning)
        result = tomtom(
            [np.ascontiguousarray(query.T, np.float64) for query in queries],
            [np.ascontiguousarray(target.probabilities.T) for target in targets],
        )
    matches = []
    for row, p in enumerate(result[0]):
        q = false_discovery_control(np.clip(p, 0, 1))
        order = np.argsort(p, kind="stable").tolist()
        ranked = (_match(targets[i], i, row, result, q[i]) for i in order)
        alike = (match for match in ranked if match.similarity(queries[row]) >= ALIKE)
        matches.append(list(islice(alike, count)))
    return matches


def _match(target: Motif, i: int, row: int, result, q: float) -> Match:
    """Target ``i`` for query ``row``, of what memelite's tomtom gives; its offset is that of the
    query on the target."""
    p, _, offset, overlap, strand = (matrix[row, i] for matrix in result)
    return Match(target, float(p), float(q), -int(offset), int(overlap), "-" if strand else "+")


def resemblance(a: np.ndarray, b: np.ndarray, both_strands: bool = True) -> float:
    """Largest correlation of two matrices (width, 4), every column around its mean, over all
    offsets, and over both strands of ``b`` if ``both_strands``. What sticks out counts as 0."""
    first, second = (_unit(matrix - matrix.mean(1, keepdims=True)) for matrix in (a, b))
    width, other = len(first), len(second)
    padded = np.pad(first, ((other, other), (0, 0)))
    strands = (second, second[::-1, ::-1]) if both_strands else (second,)
    return max(
        float((padded[i : i + other] * strand).sum())
        for strand in strands
        for i in range(width + other + 1)
    )


def _unit(matrix: np.ndarray) -> np.ndarray:
    return matrix / max(np.linalg.norm(matrix), 1e-12)
