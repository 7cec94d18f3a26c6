"""Pictures of pairs of motifs: all of them at a glance, and curves of the strongest. Needs
matplotlib."""

from __future__ import annotations

import numpy as np

from ..base.figure import bare, colour_bar, name_cells, new_figure
from .cooperation import NAMES, CooperationTable

COLOURS = ("#1f5fa8", "#d9601e", "#3f7a1e", "#8a4fa3")
PANELS = 12  # curves are drawn of so many pairs
COLUMNS = 3


def draw_overview(table: CooperationTable):
    """The largest interaction of each pair of motifs, and the label that it is of."""
    names = list(
        dict.fromkeys(site.name for pair in table.pairs for site in (pair.first, pair.second))
    )
    values = np.full((len(names),) * 2, np.nan)
    words = {}
    for pair in table.pairs:
        a, b = names.index(pair.first.name), names.index(pair.second.name)
        strength = pair.cooperation.interaction[pair.reacting]
        values[a, b] = values[b, a] = strength
        words[a, b] = words[b, a] = f"{strength:+.1f}\n{table.labels[pair.reacting]}"
    side = float(np.clip(1.6 + 0.75 * len(names), 4, 13))
    figure = new_figure(side + 1, side)
    axes = figure.add_subplot()
    limit = max(2 * table.margin, float(np.nanmax(np.abs(values))))
    image = axes.imshow(values, cmap="RdBu_r", vmin=-limit, vmax=limit)
    for (row, column), text in words.items():
        dark = abs(values[row, column]) > 0.6 * limit
        style = dict(ha="center", va="center", fontsize=6, color="white" if dark else "black")
        axes.text(column, row, text.replace("@", "\n@"), **style)
    name_cells(axes, names, names, size=8, rotation=45)
    axes.spines[:].set_visible(False)
    figure.suptitle("largest interaction of each pair, and the label it is of", fontsize=10)
    colour_bar(figure, image, axes, "interaction, AB - A - B + 0 (logits)")
    return figure


def draw_profiles(table: CooperationTable):
    """Interaction against the gap, each arrangement, of the pairs with the largest ones."""
    strength = [abs(pair.cooperation.interaction[pair.reacting]) for pair in table.pairs]
    order = np.argsort(-np.array(strength), kind="stable")[:PANELS]
    columns = min(COLUMNS, len(order))
    rows = -(-len(order) // columns)
    figure = new_figure(3.5 * columns + 0.6, 2.3 * rows + 0.6)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes, index in zip(grid.flat, order.tolist(), strict=False):
        _draw_curves(axes, table, index)
    for axes in grid.flat[len(order) :]:
        axes.set_visible(False)
    figure.supxlabel("gap between the sites (bp)", fontsize=9)
    figure.supylabel("interaction (logits), mean and 95 % interval", fontsize=9)
    handles = grid.flat[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside upper center", ncols=4, frameon=False, fontsize=8)
    return figure


def _draw_curves(axes, table: CooperationTable, index: int) -> None:
    pair = table.pairs[index]
    gaps = np.arange(pair.interaction.shape[1])
    means, errors = pair.interaction[..., pair.reacting], pair.error[..., pair.reacting]
    for name, colour, mean, error in zip(NAMES, COLOURS, means, errors, strict=True):
        axes.plot(gaps, mean, color=colour, lw=1.1, label=name)
        low, high = mean - 1.96 * error, mean + 1.96 * error
        axes.fill_between(gaps, low, high, color=colour, alpha=0.2, lw=0)
    axes.axhline(0, color="black", lw=0.6)
    axes.axhspan(-table.margin, table.margin, color="#bbbbbb", alpha=0.25, lw=0)
    verdict = pair.cooperation.verdict(table.margin)[pair.reacting]
    words = f"A {pair.first.name}, B {pair.second.name}\n{table.labels[pair.reacting]}: {verdict}"
    axes.set_title(words, fontsize=8)
    axes.tick_params(labelsize=7)
    bare(axes)
