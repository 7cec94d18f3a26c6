"""Dinucleotide shuffles: what they keep, and that they are uniform."""

import itertools

import numpy as np
import pytest
from scipy.stats import chisquare

from tcnfast.base.errors import TcnfastError
from tcnfast.genome.codes import encode
from tcnfast.genome.shuffle import dinucleotide_shuffles
from tcnfast.windows.window_leaks import composition


def every_shuffle(text):
    """All sequences with the ends and the dinucleotide counts of ``text``, by trying them all."""
    first, *middle, last = text
    pairs = sorted(itertools.pairwise(text))
    orders = set(itertools.permutations(middle))
    found = ("".join((first, *order, last)) for order in orders)
    return sorted(word for word in found if sorted(itertools.pairwise(word)) == pairs)


@pytest.mark.parametrize("length", [1, 2, 3, 50, 101, 500])
def test_counts_and_ends_are_kept(make_codes, length):
    codes = make_codes(200, length).numpy()
    shuffled = dinucleotide_shuffles(codes, np.random.default_rng(0))
    assert shuffled.dtype == np.uint8 and shuffled.shape == codes.shape
    np.testing.assert_array_equal(composition(shuffled), composition(codes))
    np.testing.assert_array_equal(shuffled[:, [0, -1]], codes[:, [0, -1]])
    if length >= 101:
        assert (shuffled != codes).mean() > 0.6  # as of unrelated sequences


@pytest.mark.parametrize(
    "text", ["ACAGATACGA", "AAACCAACA", "ACGTNACGAT", "AACCGTTAAC", "ACCCCCCACA", "TGAAAGATGT"]
)
def test_shuffles_are_uniform(text):
    """As often as each other, all sequences that there are. A choice of last edges that is not
    uniform among the trees fails this, as does one of the orders."""
    words = every_shuffle(text)
    assert 3 <= len(words) and text in words
    codes = np.tile(encode(text), (400 * len(words), 1))
    shuffled = dinucleotide_shuffles(codes, np.random.default_rng(3))
    rows, counts = np.unique(shuffled, axis=0, return_counts=True)
    assert sorted("".join("ACGTN"[i] for i in row) for row in rows) == words
    assert chisquare(counts).pvalue > 1e-3, counts


def test_low_complexity():
    codes = np.stack([encode("A" * 40), encode("AC" * 20), encode("N" * 40)])
    np.testing.assert_array_equal(dinucleotide_shuffles(codes, np.random.default_rng(0)), codes)


def test_a_seed_gives_the_same(make_codes):
    codes = make_codes(5, 60).numpy()
    a, b, c = (dinucleotide_shuffles(codes, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert (a != c).any()


def test_nothing_to_shuffle():
    for shape in ((0, 9), (3, 0)):
        codes = np.empty(shape, np.uint8)
        assert dinucleotide_shuffles(codes, np.random.default_rng(0)).shape == shape


@pytest.mark.parametrize(
    "codes", [np.zeros((2, 3), np.int64), np.zeros(3, np.uint8), np.full((2, 3), 5, np.uint8)]
)
def test_other_codes_are_refused(codes):
    with pytest.raises(TcnfastError, match="shuffles take codes"):
        dinucleotide_shuffles(codes, np.random.default_rng(0))
