"""Pictures of pairs of motifs: all of them at a glance, and curves of the strongest."""

from __future__ import annotations

import numpy as np
from markupsafe import Markup

from ..base.chart import Axis, Band, Line, draw_chart, text_width
from ..base.heat_map import draw_heat_map
from .cooperation import NAMES, CooperationTable
from .pictures import scale_of

PANELS = 12  # curves are drawn of so many pairs


def draw_overview(table: CooperationTable) -> Markup:
    """The largest interaction of each pair of motifs, and the label that it is of."""
    sites = [site.name for pair in table.pairs for site in (pair.first, pair.second)]
    names = list(dict.fromkeys(sites))
    values = np.full((len(names),) * 2, np.nan)
    texts, widest = {}, 0.0
    for pair in table.pairs:
        a, b = names.index(pair.first.name), names.index(pair.second.name)
        strength = pair.cooperation.interaction[pair.reacting]
        factor, at, cell = table.labels[pair.reacting].partition("@")
        lines = f"{strength:+.1f}".replace("-", "\u2212"), factor, at + cell
        widest = max(widest, *(text_width(line, 9) for line in lines))
        for place in ((a, b), (b, a)):
            values[place], texts[place] = strength, [line for line in lines if line]
    scale = scale_of("interaction, AB \u2212 A \u2212 B + 0 (logits)")
    words = "The largest interaction of each pair of motifs, and the label that it is of"
    shape = dict(cell=(max(44.0, widest + 6), 40), size=11, texts=texts)
    return draw_heat_map(values, names, names, scale, words, **shape)


def draw_profiles(table: CooperationTable) -> list[tuple[str, Markup]]:
    """Interaction against the gap, each arrangement, of the pairs with the largest ones: captions
    and charts, all with the same axes and colours."""
    strength = [abs(pair.cooperation.interaction[pair.reacting]) for pair in table.pairs]
    order = np.argsort(-np.array(strength), kind="stable")[:PANELS].tolist()
    shown = [table.pairs[index] for index in order]
    most = max(table.margin, *(np.abs(_curves(pair)).max() for pair in shown)) * 1.05
    gaps = max(pair.interaction.shape[1] for pair in shown) - 1
    axes = Axis("gap between the sites (bp)", 0, max(gaps, 1)), Axis("interaction", -most, most)
    return [_chart(table, pair, axes) for pair in shown]


def _curves(pair) -> np.ndarray:
    """Lower ends, means and upper ends (3, arrangements, gaps) of the label that reacts most."""
    mean, error = pair.interaction[..., pair.reacting], pair.error[..., pair.reacting]
    return np.stack([mean - 1.96 * error, mean, mean + 1.96 * error])


def _chart(table: CooperationTable, pair, axes: tuple[Axis, Axis]) -> tuple[str, Markup]:
    low, mean, high = _curves(pair)
    gaps = np.arange(mean.shape[1])
    ends, margin = [0, axes[0].high], table.margin
    marks: list[Line | Band] = [Line(ends, [edge] * 2, "edge dotted") for edge in (-margin, margin)]
    marks.append(Line(ends, [0, 0], "edge"))
    marks += [Band(gaps, low[i], high[i], f"s{i}") for i in range(len(NAMES))]
    marks += [Line(gaps, mean[i], f"s{i}", name) for i, name in enumerate(NAMES)]
    label = table.labels[pair.reacting]
    verdict = pair.cooperation.verdict(margin)[pair.reacting]
    caption = f"A {pair.first.name}, B {pair.second.name}: {label}, {verdict}"
    return caption, draw_chart(*axes, marks, f"Interaction against gap: {caption}", height=200)
