"""Pictures of co-occurring labels: a clustered heat map, and a network."""

from __future__ import annotations

from collections.abc import Sequence

import networkx
import numpy as np
from markupsafe import Markup, escape
from scipy.cluster.hierarchy import leaves_list, linkage, optimal_leaf_ordering
from scipy.spatial.distance import squareform

from ..base.chart import svg, text_at, text_width
from ..base.heat_map import draw_heat_map
from ..base.talk import count
from .pair_table import PairTable
from .pictures import scale_of

NULL_WORDS = {
    "shift": "null: circular shifts",
    "local": "null: GC and local density kept",
    "active": "null: GC and busy places kept",
}
SURE = 0.05  # q up to which a pair has a colour
DRAWN = 2  # of a label's edges, its strongest ones, in the picture
UNIT = 80  # pixels of the network's units of length
SCROLLED = 960  # pixels of width under which a larger network scrolls
NAME, LINE = 9, 22  # size of a name in it, height of a node with its name


def cluster_order(table: PairTable) -> np.ndarray:
    """Labels in the order of a tree of average linkage on 1 - phi: int64 (labels,)."""
    if len(table.labels) < 3:
        return np.arange(len(table.labels))
    distance = 1 - table.square("phi")
    np.fill_diagonal(distance, 0)
    distance = squareform(np.nan_to_num(distance, nan=1.0), checks=False)
    return leaves_list(optimal_leaf_ordering(linkage(distance, "average"), distance))


def draw_pairs(table: PairTable) -> Markup:
    """Clustered: log2 of observed over expected under the strictest null, empty where q > 0.05."""
    order = cluster_order(table)
    names = [table.labels[i] for i in order]
    null = table.strictest
    with np.errstate(invalid="ignore"):
        fold = np.log2(table.square(f"{null}_fold"))
        fold[~(table.square(f"{null}_q") <= SURE)] = np.nan
    scale = scale_of(f"log2 of observed over expected ({NULL_WORDS[null]})")
    words = f"Co-occurrence of {count(len(names), 'label')}"
    side = 12.0 if len(names) < 60 else 9.0
    return draw_heat_map(
        fold[np.ix_(order, order)], names, names, scale, words, cell=(side, side), size=side - 1
    )


def draw_network(graph: networkx.Graph, cells: Sequence[str]) -> Markup:
    """The strongest edges of each label, each connected part laid out by its distances; colour is
    the cell, of all ``cells`` that any picture shows. Labels without an edge are not in it."""
    shown = networkx.Graph()
    for label in graph:
        edges = sorted(graph.edges(label, data="weight"), key=lambda edge: -edge[2])[:DRAWN]
        shown.add_weighted_edges_from(edges)
    if not len(shown):
        return svg("chart", 330, 40, "no pair", text_at(165, 24, "no pair", "", "middle"))
    labels = sorted(shown)
    found = _layout(shown)
    widths = np.array([text_width(label, NAME) for label in labels]) + 6
    places = apart(UNIT * np.array([found[label] for label in labels]), widths)
    places -= (places - widths[:, None] / 2 * [1, 0]).min(0) - [8, LINE]
    where = dict(zip(labels, places.tolist(), strict=True))
    parts = []
    for a, b, weight in sorted(shown.edges(data="weight")):
        (x, y), (u, v) = where[a], where[b]
        wide = 0.5 + 0.5 * min(weight, 5)
        line = f"M{x:.1f} {y:.1f}L{u:.1f} {v:.1f}"
        parts.append(f'<path class="link" stroke-width="{wide:.1f}" d="{line}"/>')
    for label in labels:
        (x, y), fill = where[label], _colour(cells, graph.nodes[label]["cell"])
        told = f"<title>{escape(label)}</title>"
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="{fill}">{told}</circle>')
        parts.append(text_at(x, y - 7, label, "small", "middle"))
    right = float((places[:, 0] + widths / 2).max()) + 8
    return _with_cells(parts, right, float(places[:, 1].max()) + 14, graph, labels, cells)


def _with_cells(parts, width: float, height: float, graph, labels, cells) -> Markup:
    """The picture with a legend of the cells below it."""
    width, x, y = max(width, 330.0), 8.0, height + 18
    for cell in cells:
        if all(graph.nodes[label]["cell"] != cell for label in labels):
            continue
        name = cell or "no cell"
        if x + 14 + text_width(name) > width:
            x, y = 8.0, y + 18
        fill = _colour(cells, cell)
        parts.append(f'<circle cx="{x + 5:.1f}" cy="{y - 4:.1f}" r="4.5" fill="{fill}"/>')
        parts.append(text_at(x + 14, y, name))
        x += 28 + text_width(name)
    words = f"Network of {count(len(labels), 'label')} and their strongest partners"
    return svg("chart", width, y + 10, words, "".join(parts), min(width, SCROLLED))


def _colour(cells: Sequence[str], cell: str) -> str:
    """Of a cell: hues far apart, of a lightness that is seen on light and on dark."""
    place = list(cells).index(cell)
    return (
        f"hsl({place * 137.5 % 360:.0f} {60 if place % 2 else 75}% {45 + 12 * (place % 3 == 2)}%)"
    )


def apart(places: np.ndarray, widths: np.ndarray) -> np.ndarray:
    """Places (n, 2) moved until no names, ``widths`` (n,) wide, lie on each other."""
    places = places.copy()
    size = np.stack([widths, np.full(len(widths), LINE)], 1)
    for _ in range(400):
        gap = places[:, None] - places[None]
        over = (size[:, None] + size[None]) / 2 - np.abs(gap)
        np.einsum("iik->ik", over)[:] = 0
        hit = (over > 0).all(2)
        if not hit.any():
            break
        along = over.argmin(2)  # the shorter way out
        order = np.arange(len(places))
        sign = np.where(gap == 0, np.sign(order[:, None] - order)[..., None], np.sign(gap))
        push = np.take_along_axis(sign * over, along[..., None], 2)[..., 0] * hit * 0.3
        for axis in (0, 1):
            places[:, axis] += (push * (along == axis)).sum(1)
    return places


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
