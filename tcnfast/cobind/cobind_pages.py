"""index.html of each of the three commands of co-binding: its pictures, and a table of its rows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import networkx
import numpy as np

from ..base.page_table import Cell, Column, Table, breakable, number_cell
from ..base.talk import count
from .cooperation import CooperationTable
from .cooperation_plots import draw_overview, draw_profiles
from .influence import InfluenceTable
from .influence_plots import draw_influence
from .pair_plots import DRAWN, draw_network, draw_pairs
from .pair_table import PairTable
from .pictures import ROWS, Section, write_page

_ALONE = "Labels without a partner, which are not in the network: "


def write_pair_page(
    folder: Path,
    tables: Mapping[str, PairTable],
    graphs: Mapping[str, networkx.Graph],
    summary: dict,
) -> None:
    """The page of ``cobind pairs``: of peaks ("observed"), of calls ("predicted"), or of both."""
    cells = sorted({cell for graph in graphs.values() for _, cell in graph.nodes(data="cell")})
    sections, tiles, files = [], [], []
    for name, table in tables.items():
        graph = graphs[name]
        alone = [label for label in graph if not graph.degree(label)]
        note = (
            "Squares are pairs that meet more (red) or less (blue) often than by chance; "
            f"those of q > 0.05 are left empty. The network holds the {DRAWN} strongest "
            "partners of each label. "
        )
        note += f"{_ALONE}{', '.join(alone)}." if alone else ""
        pictures = {
            f"{name}.heatmap": ("All pairs", draw_pairs(table)),
            f"{name}.network": ("Partners", draw_network(graph, cells)),
        }
        sections.append(Section(f"{name}: {count(len(table.labels), 'label')}", note, pictures))
        sections.append(_partners(name, graph))
        tiles += [
            (f"labels, {name}", f"{len(table.labels):,}"),
            (f"pairs of partners, {name}", f"{graph.number_of_edges():,}"),
        ]
        files += [(f"{name}.tsv", "every pair"), (f"{name}.graphml", "the network")]
    if "agreement" in summary:
        for name, value in summary["agreement"].items():
            if name.endswith("_spearman"):
                null = name.removesuffix("_spearman")
                tiles.append((f"agreement, null {null}", f"{value:.2f}"))
    lead = (
        "Which labels lie together more often than by chance, in peaks (observed) and in the "
        "calls of a scan (predicted)."
    )
    write_page(folder, "Labels that lie together", lead, tiles, sections, files)


def _partners(name: str, graph: networkx.Graph) -> Section:
    columns = [
        Column("Label", "a"),
        Column("Partner", "b"),
        Column("Fold", "fold", number=True, about="observed over expected"),
        Column("q", "q", number=True, wide=True),
        Column("Bins of both", "both", number=True),
        Column("phi", "phi", number=True, wide=True, about="correlation over bins"),
    ]
    edges = sorted(graph.edges(data=True), key=lambda edge: -edge[2]["weight"])
    rows = [
        [
            *(Cell(breakable(label), label) for label in (a, b)),
            number_cell(2 ** edge["weight"], ".1f"),
            number_cell(edge["q"], ".2g"),
            number_cell(edge["both"], ","),
            number_cell(edge["phi"], ".2f"),
        ]
        for a, b, edge in edges[:ROWS]
    ]
    note = f"Of {count(len(edges), 'pair')}, the strongest {len(rows):,}; all pairs: {name}.tsv."
    table = Table(f"{name}-pairs", columns, rows, find="CTCF, RAD21, ...")
    return Section(f"Partners, {name}", note, table=table)


def write_cooperation_page(folder: Path, table: CooperationTable) -> None:
    """The page of ``cobind motifs``."""
    profiles = draw_profiles(table)
    curves = {f"profiles.{i}": panel for i, panel in enumerate(profiles, 1)}
    every = {"overview": ("Pairs of motifs", draw_overview(table))}
    note = "The largest interaction of each pair, and the label that it is of."
    about = (
        "Bands are 95 % intervals. Motifs are additive between the dotted lines, at an "
        f"interaction of \u2212{table.margin:g} and {table.margin:g}."
    )
    sections = [
        Section("All pairs", note, every),
        Section("Interaction against gap", about, curves, side_by_side=True),
        _interactions(table),
    ]
    tiles = [
        ("pairs of motifs", f"{len(table.pairs):,}"),
        ("labels", f"{len(table.labels):,}"),
        ("windows scored", f"{table.windows:,}"),
    ]
    files = [
        ("cooperation.tsv", "every pair with every label"),
        ("profiles.tsv", "the curves"),
        ("interaction.npz", "interactions of all labels at all gaps"),
    ]
    lead = (
        "Pairs of motifs in one sequence: do both together do more, or less, than the sum of "
        "each alone?"
    )
    write_page(folder, "Motifs that cooperate", lead, tiles, sections, files)


def _interactions(table: CooperationTable) -> Section:
    frame = table.table
    columns = [
        Column("Motifs", "motifs"),
        Column("Label", "label"),
        Column("Verdict", "verdict", wide=True),
        Column("Interaction", "interaction", number=True, about="logits"),
        Column("Interval", "low", number=True, wide=True, about="95 %; sorts by its lower end"),
        Column("q", "q", number=True, wide=True),
        Column("Arrangement", "arrangement", wide=True),
        Column("Gap", "gap", number=True, about="bp"),
    ]
    rows = [
        [
            Cell(f"{row.motif_a} + {row.motif_b}"),
            Cell(breakable(row.label), row.label),
            Cell(row.verdict),
            number_cell(row.interaction, "+.2f"),
            Cell(f"{row.low:+.2f} to {row.high:+.2f}", row.low),
            number_cell(row.q, ".2g"),
            Cell(row.arrangement),
            number_cell(row.gap, ".0f"),
        ]
        for row in frame.head(ROWS).itertuples()
    ]
    note = f"Of {count(len(frame), 'row')}, the surest {len(rows):,}; all: cooperation.tsv."
    return Section("Rows", note, table=Table("rows", columns, rows, find="CTCF, K562, ..."))


def write_influence_page(folder: Path, found: InfluenceTable) -> None:
    """The page of ``cobind sites``."""
    note = (
        "Framed: the motif of the factor itself. Numbers stand where q is at most 0.05; "
        "squares are empty where too few sites have the motif."
    )
    columns = [
        Column("Label", "label"),
        Column("Motif", "motif"),
        Column("Adds", "adds", number=True, about="to the logit, beyond random pieces"),
        Column("Interval", "low", number=True, wide=True, about="95 %; sorts by its lower end"),
        Column("q", "q", number=True, wide=True),
        Column("Sites with it", "with_motif", number=True),
        Column("Sites", "sites", number=True, wide=True),
    ]
    rows = []
    for row in found.table.itertuples():
        known = not np.isnan(row.difference)
        interval = f"{-row.high:+.2f} to {-row.low:+.2f}" if known else ""
        rows.append(
            [
                Cell(breakable(row.label), row.label),
                Cell(f"{row.motif} (own)" if row.own else row.motif),
                number_cell(-row.difference, "+.2f"),
                Cell(interval, -row.high),
                number_cell(row.q, ".2g"),
                number_cell(row.with_motif, ","),
                number_cell(row.sites, ","),
            ]
        )
    pictures = {"influence": ("Labels by motifs", draw_influence(found.rows))}
    table = Table("rows", columns, rows, find="CTCF, K562, ...")
    sections = [Section("What motifs add", note, pictures), Section("Rows", table=table)]
    labels, motifs = {row.label for row in found.rows}, {row.motif.id for row in found.rows}
    tiles = [("labels", f"{len(labels):,}"), ("motifs", f"{len(motifs):,}")]
    lead = (
        "At real sites of each label: how much further the label's logit falls when a motif "
        "is scrambled than when random pieces of the same width are."
    )
    files = [("influence.tsv", "every label with every motif")]
    write_page(folder, "Motifs that carry labels", lead, tiles, sections, files)
