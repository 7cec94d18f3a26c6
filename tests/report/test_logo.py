"""Drawings of the report: letters, tracks, histograms."""

import re

import numpy as np
import pytest

from tcnfast.base.logo import COLUMN, GLYPHS, draw_logo, glyph_definitions
from tcnfast.base.svg import draw_bars, draw_histogram, draw_spans, draw_track


def letters(drawing):
    """(base, column, upper edge, height) of each letter; the height is below 0 if upside down."""
    found = re.findall(r'href="#base-(.)" transform="matrix\(\S+ 0 0 (\S+) (\S+) (\S+)\)"', drawing)
    return [(b, int(float(x) // COLUMN), float(y), 100 * float(s)) for b, s, x, y in found]


def test_letters_stand_on_each_other_the_largest_on_top():
    heights = np.array([[1.0, 0.5, 0, 0], [0, 0, 2.0, 0]])
    drawn = letters(draw_logo(heights, "x", height=40))
    assert [(b, c) for b, c, _, _ in drawn] == [("C", 0), ("A", 0), ("G", 1)]
    (_, _, c_top, c), (_, _, a_top, a), (_, _, g_top, g) = drawn
    assert (c, a, g) == pytest.approx((10, 20, 40), rel=0.01)
    assert c_top + c == pytest.approx(40, abs=0.1)  # on the ground
    assert a_top + a == pytest.approx(c_top, abs=0.1) and g_top == 0


def test_letters_below_the_line_hang_upside_down():
    drawn = letters(draw_logo(np.array([[1.0, 0, -1.0, -0.5]]), "x", height=50))
    sizes = {base: size for base, _, _, size in drawn}
    line = 50 * 1 / 2.5
    assert sizes["A"] == pytest.approx(20, rel=0.01)
    assert sizes["T"] == pytest.approx(-10, rel=0.01)
    assert sizes["G"] == pytest.approx(-20, rel=0.01)
    edges = {base: top for base, _, top, _ in drawn}
    # an upside-down letter hangs up from its lower edge
    assert edges["T"] - 10 == pytest.approx(line, abs=0.1)
    assert edges["G"] - 20 == pytest.approx(line + 10, abs=0.1)
    assert 'class="axis"' in draw_logo(np.array([[-1.0, 0, 0, 0]]), "x")


def test_nothing_to_draw_is_an_empty_logo():
    assert letters(draw_logo(np.zeros((3, 4)), "x")) == []


def test_a_marked_logo_with_its_bases():
    heights = np.array([[1.0, 0, 0, 0], [0, 0, 0, 1.0], [0, 0, 0, 0]])
    plain, drawing = (
        draw_logo(heights, "x", **more) for more in ({}, dict(bases=[0, 3, 4], marked=(1, 2)))
    )
    # the letters of the logo are where they were, and those of the sequence below them; N is none
    assert letters(drawing)[:2] == letters(plain)
    assert [(b, c, y) for b, c, y, _ in letters(drawing)[2:]] == [("A", 0, 43), ("T", 1, 43)]
    assert f'class="changed" x="{COLUMN}" width="{COLUMN}"' in drawing
    assert 'class="changed gone" x="19" width="2"' in draw_logo(heights, "x", marked=(2, 2))


def test_words_are_escaped():
    assert 'aria-label="a &lt;b&gt; &amp; &#34;c&#34;"' in draw_logo(np.eye(4), 'a <b> & "c"')


def test_every_letter_has_an_outline():
    definitions = glyph_definitions()
    for base, outline in GLYPHS.items():
        assert f'id="base-{base}"' in definitions and outline.startswith("M")


def test_a_track_steps_where_its_values_change():
    drawing = draw_track(np.array([0, 0.5, 0.5, 1.0, np.nan]), "x", top=1.0)
    assert 'd="M0 100H0V100.0H1V50.0H3V0.0H4V100.0H5V100Z"' in drawing


def test_bars_below_zero_are_another_colour():
    drawing = draw_bars(np.array([1.0, 0, -1.0]), "x", marked=(0, 2))
    assert 'class="up" d="M0.5 50.0v-50.0"' in drawing
    assert 'class="down" d="M2.5 50.0v50.0"' in drawing
    assert 'class="ground" x="0" width="2"' in drawing


def test_spans_are_cut_at_the_edges():
    drawing = draw_spans([(-10, 5), (90, 120), (200, 300)], 100, "x")
    assert re.findall(r'rect x="(\S+)" width="(\S+)"', drawing) == [("0", "5"), ("90", "10")]


def test_a_histogram_counts():
    drawing = draw_histogram(np.array([-9, -9, 5, 500]), 20, 10, "x")
    tops = re.findall(r'rect x="(\S+)" width=".88" y="(\S+)"', drawing)
    assert tops == [("1.06", "0.0"), ("2.06", "50.0")]
