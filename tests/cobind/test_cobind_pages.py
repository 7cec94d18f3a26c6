"""Pages and pictures of co-binding: every label is drawn, nothing is cut off, colours mean one
thing, and names that are markup stay text."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from support.cobind import MOTIFS, random_pairs

from tcnfast.base.chart import text_width
from tcnfast.cobind.cobind_pages import write_influence_page, write_pair_page
from tcnfast.cobind.influence import Influence, InfluenceTable
from tcnfast.cobind.influence_plots import draw_influence
from tcnfast.cobind.pair_plots import apart, draw_network, draw_pairs
from tcnfast.cobind.pictures import LIMIT

EVIL = "<img src=x onerror=alert(1)>@a&b"


def texts(drawing):
    """Texts of a picture with the room that each takes: left, right, top, bottom."""
    found = []
    for text in ElementTree.fromstring(drawing).iter("text"):
        size = float((text.get("style") or "font-size:9px").split(":")[1][:-2])
        wide = text_width(text.text, size)
        turned = re.match(r"translate\((\S+) (\S+)\) rotate", text.get("transform") or "")
        if turned:
            x, y = float(turned[1]), float(turned[2])
            found.append((text.text, x - size, x, y - wide, y))
            continue
        x, y = float(text.get("x")), float(text.get("y"))
        left = x - {"start": 0, "middle": wide / 2, "end": wide}[text.get("text-anchor")]
        found.append((text.text, left, left + wide, y - size, y))
    return found


def assert_whole(drawing, names):
    """Every name is drawn, and no text leaves the picture."""
    width, height = map(float, ElementTree.fromstring(drawing).get("viewBox").split()[2:])
    found = texts(drawing)
    assert set(names) <= {row[0] for row in found}
    for name, left, right, top, bottom in found:
        assert left >= -1 and right <= width + 1 and top >= -1 and bottom <= height + 1, name


def shades(drawing):
    """Class and strength of each square that says what it is, by that."""
    rects = ElementTree.fromstring(drawing).iter("rect")
    return {x[0].text: (x.get("class"), float(x.get("fill-opacity"))) for x in rects if len(x)}


@pytest.mark.parametrize("n", [2, 9, 70])
def test_every_label_of_a_heat_map_is_drawn_and_colours_end_at_the_limit(n):
    labels = [f"FACTOR{i}@{'cell' * (i % 4)}" for i in range(n)]
    table = random_pairs(labels)
    drawing = draw_pairs(table)
    assert_whole(drawing, labels)
    found = shades(drawing)
    sure = table.columns["shift_q"] <= 0.05
    assert len(found) == 2 * sure.sum() > 0
    for i in np.flatnonzero(sure):
        value = np.log2(table.columns["shift_fold"][i])
        words = f"{labels[table.first[i]]}, {labels[table.second[i]]}: {value:+.2f}"
        kind, strength = found[words]
        assert kind == ("more" if value > 0 else "less")
        assert strength == pytest.approx(min(abs(value) / LIMIT, 1), abs=0.006)


def test_one_logit_has_one_colour_in_every_picture():
    label, motif = "ONE@x", MOTIFS[0]
    influence = draw_influence([Influence(motif, label, 20, 20, -2, -0.5, -1.5, -2, -1, 0.01)])
    assert set(shades(influence).values()) == {("more", 0.5)}, "what falls without it is added"
    pairs = shades(draw_pairs(random_pairs(["A@x", "B@x", "C@x"])))
    assert pairs["A@x, C@x: -1.50"] == ("less", 0.5)


def test_every_label_of_a_network_is_drawn_and_names_do_not_lie_on_each_other():
    labels = [f"FACTOR{i}@cell{i % 3}" for i in range(40)]
    table = random_pairs(labels, 3)
    table.columns["shift_q"][:] = 1e-3
    graph = table.graph(0.05, 1.5)
    drawing = draw_network(graph, ["cell0", "cell1", "cell2"])
    joined = [label for label in labels if graph.degree(label)]
    assert len(joined) > 30
    assert_whole(drawing, [*joined, "cell0", "cell1", "cell2"])
    boxes = np.array([row[1:] for row in texts(drawing) if row[0] in joined])
    left, right, top, bottom = boxes.T
    across = np.minimum(right[:, None], right) - np.maximum(left[:, None], left)
    down = np.minimum(bottom[:, None], bottom) - np.maximum(top[:, None], top)
    both = (across > 1) & (down > 1) & ~np.eye(len(boxes), dtype=bool)
    assert not both.any()


def test_names_at_one_place_move_apart():
    places = apart(np.zeros((5, 2)), np.full(5, 50.0))
    gap = np.abs(places[:, None] - places[None]) + 1e3 * np.eye(5)[..., None]
    assert ((gap[..., 0] > 49) | (gap[..., 1] > 21)).all()


def test_names_that_are_markup_stay_text(tmp_path):
    table = random_pairs([EVIL, "B&<b>@c", "C@c"])
    table.columns["shift_q"][:] = 1e-9
    graph = table.graph(0.05, 1.0)
    assert graph.number_of_edges()
    write_pair_page(tmp_path, {"observed": table}, {"observed": graph}, {})
    pages = [(tmp_path / "index.html").read_text()]
    write_influence_page(
        tmp_path,
        InfluenceTable([Influence(MOTIFS[0], EVIL, 20, 20, -2, -0.5, -1.5, -2, -1, 0.01)]),
    )
    pages.append((tmp_path / "index.html").read_text())
    for page in pages:
        assert "<img" not in page and "<b>" not in page and "&lt;img src=x" in page
        assert not re.search(r"""(src|href)=["']?(https?:|//)""", page)
    for path in tmp_path.glob("*.svg"):
        ElementTree.parse(path)
