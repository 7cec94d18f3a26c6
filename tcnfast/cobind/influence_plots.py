"""The picture of motifs at real sites: which motif carries which label."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from ..base.heat_map import draw_heat_map
from .influence import Influence, q_values
from .pictures import scale_of

SURE = 0.05  # q up to which a square is told with its number


def draw_influence(found: Sequence[Influence]) -> Markup:
    """Labels by motifs: what the motif at a label's sites adds to its logit: how much further that
    falls when the motif is scrambled than when random pieces are; empty where too few sites have
    the motif, framed where the motif is the factor's own."""
    labels = list(dict.fromkeys(row.label for row in found))
    motifs = list(dict.fromkeys(row.motif.id for row in found))
    names = {row.motif.id: row.motif.name for row in found}
    values = np.full((len(labels), len(motifs)), np.nan)
    texts, own = {}, []
    for row, q in zip(found, q_values(found), strict=True):
        place = labels.index(row.label), motifs.index(row.motif.id)
        values[place] = -row.difference
        if row.own:
            own.append(place)
        if q <= SURE:
            texts[place] = (f"{-row.difference:.1f}".replace("-", "\u2212"),)
    scale = scale_of("what the motif adds to the logit (logits)")
    columns = [names[motif] for motif in motifs]
    words = "What motifs add to the logits of labels at their sites"
    shape = dict(cell=(30, 20), size=11, texts=texts, framed=own)
    return draw_heat_map(values, labels, columns, scale, words, **shape)
