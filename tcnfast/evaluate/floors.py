"""What a model has to rise above on every label: the best single motif, and CpG content.

A bin scores the maximum of a motif over the label bin, both strands. Motifs are chosen for each
label on the very windows that they are scored on, which favours the motif.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..pwm.meme import Motif
from ..pwm.motif_ap import TargetRanking, best_motifs, motif_precisions
from ..pwm.placements import cpg_content


@dataclass(frozen=True)
class Floors:
    """Average precisions float64 (labels,), NaN without positives, and which motif each is of.

    ``named``: the best of the motifs named for the label's factor, or of all where none is.
    """

    named_motif: list[str]
    named_ap: np.ndarray
    best_motif: list[str]
    best_ap: np.ndarray
    cpg_ap: np.ndarray


def measure_floors(
    labels: list[str],
    motifs: list[Motif],
    regions: Sequence[tuple[np.ndarray, np.ndarray]],
    targets: np.ndarray,
    bin_width: int,
) -> Floors:
    """Floors of ``labels``; the other arguments are those of :func:`motif_ap.motif_precisions`.

    The factor of a label is what stands in front of its ``@``.
    """
    cpg = np.concatenate([cpg_content(codes, starts, bin_width) for codes, starts in regions])
    aps = motif_precisions(motifs, regions, targets, bin_width)
    factors = [label.partition("@")[0] for label in labels]
    named = np.array([[motif.is_named(factor) for factor in factors] for motif in motifs])
    named[:, ~named.any(0)] = True
    own, best = best_motifs(aps, named), best_motifs(aps)
    columns = np.arange(len(labels))
    # a label without positives has no best motif: index -1
    titles = [*(f"{motif.id} {motif.name}" for motif in motifs), ""]
    return Floors(
        [titles[index] for index in own],
        np.where(own < 0, np.nan, aps[own, columns]),
        [titles[index] for index in best],
        np.where(best < 0, np.nan, aps[best, columns]),
        TargetRanking(targets).average_precision(cpg),
    )
