"""A picture of which motif carries which label. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

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
    figure = Figure((2.6 + 0.42 * len(motifs), 1.8 + 0.24 * len(labels)), layout="constrained")
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
            axes.text(*at, f"{row.difference:.1f}", fontsize=6, color=colour, ha="center",
                      va="center")  # fmt: skip
    image = axes.imshow(values, cmap="RdBu", vmin=-limit, vmax=limit, aspect="auto")
    for row, column in own:
        axes.add_patch(_frame(row, column))
    axes.set_xticks(range(len(motifs)), [names[x] for x in motifs], rotation=60, ha="right",
                    fontsize=7)  # fmt: skip
    axes.set_yticks(range(len(labels)), labels, fontsize=7)
    axes.tick_params(length=0)
    axes.set_xlabel("motif that is scrambled (framed: the factor's own)", fontsize=8)
    axes.set_ylabel("label, at its sites", fontsize=8)
    bar = figure.colorbar(image, ax=axes, shrink=0.7, pad=0.02)
    bar.set_label("change of the logit beyond that of random pieces", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    return figure


def _frame(row: int, column: int) -> Rectangle:
    return Rectangle((column - 0.48, row - 0.46), 0.96, 0.92, fill=False, lw=1.1, ec="black")
