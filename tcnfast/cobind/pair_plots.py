"""Pictures of co-occurring labels: a clustered heat map, and a network. Needs matplotlib."""

from __future__ import annotations

import networkx
import numpy as np
from matplotlib import colormaps
from scipy.cluster.hierarchy import leaves_list, linkage, optimal_leaf_ordering
from scipy.spatial.distance import squareform

from ..base.figure import colour_bar, name_cells, new_figure
from .pair_table import PairTable

NULL_WORDS = {
    "shift": "null: circular shifts",
    "local": "null: GC and local density kept",
    "active": "null: GC and busy places kept",
}
SHOWN = 3.0  # log2 fold at which colours end
FADED = 0.25  # what is left of the colour of a pair of q > 0.05
DRAWN = 2  # of a label's edges, its strongest ones, in the picture


def cluster_order(table: PairTable) -> np.ndarray:
    """Labels in the order of a tree of average linkage on 1 - phi: int64 (labels,)."""
    if len(table.labels) < 3:
        return np.arange(len(table.labels))
    distance = 1 - table.square("phi")
    np.fill_diagonal(distance, 0)
    distance = squareform(np.nan_to_num(distance, nan=1.0), checks=False)
    return leaves_list(optimal_leaf_ordering(linkage(distance, "average"), distance))


def draw_heat_map(table: PairTable, title: str):
    """Clustered; above the diagonal log2 of observed over expected under the strictest null, faded
    where q > 0.05; below it phi."""
    order = cluster_order(table)
    names = [table.labels[i] for i in order]
    null = table.strictest
    with np.errstate(invalid="ignore"):
        fold = np.log2(table.square(f"{null}_fold"))[np.ix_(order, order)]
        unsure = table.square(f"{null}_q")[np.ix_(order, order)] > 0.05
    fold = np.where(unsure, FADED * fold, fold)
    phi = table.square("phi")[np.ix_(order, order)]
    above = np.triu(np.ones(fold.shape, bool), 1)
    side = float(np.clip(1.6 + 0.085 * len(names), 4.0, 12.0))
    figure = new_figure(side + 1.2, side)
    axes = figure.add_subplot()
    folds = dict(cmap="RdBu_r", vmin=-SHOWN, vmax=SHOWN, interpolation="nearest")
    phis = dict(cmap="Purples", vmin=0, vmax=0.5, interpolation="nearest")
    upper = axes.imshow(np.where(above, fold, np.nan), **folds)
    lower = axes.imshow(np.where(above.T, phi, np.nan), **phis)
    size = float(np.clip(420 / max(len(names), 1), 3.2, 9))
    name_cells(axes, names, names, size)
    axes.spines[:].set_visible(False)
    figure.suptitle(title, fontsize=10)
    words = f"above the diagonal: log2 of observed over expected\n({NULL_WORDS[null]})"
    for image, text in ((upper, words), (lower, "below: phi")):
        colour_bar(figure, image, axes, text, 0.35, aspect=14)
    return figure


def draw_network(graph: networkx.Graph, title: str):
    """The strongest edges of each label, each connected part laid out by its
    distances; colour is the cell."""
    shown = networkx.Graph()
    for label in graph:
        edges = sorted(graph.edges(label, data="weight"), key=lambda edge: -edge[2])[:DRAWN]
        shown.add_weighted_edges_from(edges)
    figure = new_figure(9, 8)
    axes = figure.add_subplot()
    axes.set_title(f"{title}, the {DRAWN} strongest partners of each", fontsize=10)
    axes.set_axis_off()
    if not len(shown):
        axes.text(0.5, 0.5, "no pair", ha="center")
        return figure
    places = _layout(shown)
    for a, b, weight in shown.edges(data="weight"):
        line = np.array([places[a], places[b]]).T
        axes.plot(*line, color="#777777", lw=0.4 + 0.5 * min(weight, 5), alpha=0.55, zorder=1)
    cells = sorted({graph.nodes[label]["cell"] for label in shown})
    for i, cell in enumerate(cells):
        here = [label for label in shown if graph.nodes[label]["cell"] == cell]
        points = np.array([places[label] for label in here])
        colour = colormaps["tab20"](i % 20)
        axes.scatter(*points.T, s=34, color=colour, label=cell or "no cell", zorder=2, lw=0)
    for label in shown:
        above = dict(xytext=(0, 4), textcoords="offset points", ha="center")
        axes.annotate(graph.nodes[label]["factor"], places[label], fontsize=6.5, zorder=3, **above)
    figure.legend(loc="outside lower center", ncols=min(6, len(cells)), frameon=False, fontsize=8)
    return figure


def _layout(graph: networkx.Graph) -> dict:
    """Places of the nodes: each connected part by itself, the parts side by side in rows."""
    parts = sorted(networkx.connected_components(graph), key=lambda part: (-len(part), min(part)))
    places, x, y, height = {}, 0.0, 0.0, 0.0
    width = 1.3 * sum(len(part) for part in parts) ** 0.5
    for part in parts:
        side = len(part) ** 0.5
        if x and x + side > width:
            x, y, height = 0.0, y - height - 0.5, 0.0
        inner = graph.subgraph(sorted(part))
        # without the weights: strong edges would pile their labels up
        found = networkx.kamada_kawai_layout(inner, weight=None)
        points = np.array([found[node] for node in found])
        low, high = points.min(0), points.max(0)
        points = (points - low) / np.maximum(high - low, 1e-9) * side
        for node, point in zip(found, points, strict=True):
            places[node] = (x + point[0], y - point[1])
        x, height = x + side + 0.6, max(height, side)
    return places
