"""A picture of which motif carries which label. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.patches import Rectangle

from ..base.figure import colour_bar, name_cells, new_figure
from .influence import Influence, q_values

SURE = 0.05  # q below which a square is told with its number
DARK = 0.6  # share of the colour scale from which that is white


def draw_influence(found: Sequence[Influence]):
    """Labels by motifs: how much further a label's logit falls when the motif at its sites is
    scrambled than when random pieces are; empty where too few sites have the motif."""
    labels = list(dict.fromkeys(row.label for row in found))
    motifs = list(dict.fromkeys(row.motif.id for row in found))
    names = {row.motif.id: row.motif.name for row in found}
    values = np.full((len(labels), len(motifs)), np.nan)
    own = []
    figure = new_figure(2.6 + 0.42 * len(motifs), 1.8 + 0.24 * len(labels))
    axes = figure.add_subplot()
    for row in found:
        place = labels.index(row.label), motifs.index(row.motif.id)
        values[place] = row.difference
        if row.own:
            own.append(place)
    limit = max(1.0, float(np.nanmax(np.abs(values), initial=0.0)))
    for row, q in zip(found, q_values(found), strict=True):
        if q <= SURE:
            at = motifs.index(row.motif.id), labels.index(row.label)
            colour = "white" if abs(row.difference) > DARK * limit else "black"
            style = dict(fontsize=6, color=colour, ha="center", va="center")
            axes.text(*at, f"{row.difference:.1f}", **style)
    image = axes.imshow(values, cmap="RdBu", vmin=-limit, vmax=limit, aspect="auto")
    for row, column in own:
        corner = column - 0.48, row - 0.46
        axes.add_patch(Rectangle(corner, 0.96, 0.92, fill=False, lw=1.1, ec="black"))
    name_cells(axes, [names[x] for x in motifs], labels, size=7, rotation=60)
    axes.set_xlabel("motif that is scrambled (framed: the factor's own)", fontsize=8)
    axes.set_ylabel("label, at its sites", fontsize=8)
    colour_bar(figure, image, axes, "change of the logit beyond that of random pieces", 0.7)
    return figure
