"""Labels that meet more often than they should, as a network."""

from __future__ import annotations

from pathlib import Path

import networkx
import numpy as np

from .pair_table import PairTable


def of_table(table: PairTable, fdr: float, fold: float) -> networkx.Graph:
    """Significant pairs as a graph: nodes with ``factor``, ``cell`` and ``sites``, edges with
    ``weight``, the log2 of the fold under the strictest null, its ``q``, ``phi``, and the bins of
    ``both``."""
    graph = networkx.Graph()
    for label, sites in zip(table.labels, table.sites.tolist(), strict=True):
        factor, _, cell = label.partition("@")
        graph.add_node(label, factor=factor, cell=cell, sites=sites)
    weights = np.log2(table.columns[f"{table.strictest}_fold"])
    q = table.columns[f"{table.strictest}_q"]
    for pair in np.flatnonzero(table.significant(fdr, fold)).tolist():
        a, b = table.labels[table.first[pair]], table.labels[table.second[pair]]
        both, phi = int(table.columns["both"][pair]), float(table.columns["phi"][pair])
        graph.add_edge(a, b, weight=float(weights[pair]), q=float(q[pair]), phi=phi, both=both)
    return graph


def write(graph: networkx.Graph, path: Path) -> None:
    """GraphML, as Cytoscape, Gephi and networkx read it."""
    networkx.write_graphml_xml(graph, path)
