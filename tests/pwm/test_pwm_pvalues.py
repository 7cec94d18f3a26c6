"""P-values of motif scores against every site there is, and against memelite's."""

from itertools import product

import numpy as np
import pytest

from tcnfast.base.errors import TcnfastError
from tcnfast.pwm.log_odds import UNIFORM, UNITS_PER_BIT, both_strands, whole_units
from tcnfast.pwm.meme import DATABASE, Motif, read_meme
from tcnfast.pwm.pvalues import score_tail

SKEWED = (0.35, 0.15, 0.15, 0.35)


def enumerated(units, background):
    """Score and chance of every site."""
    sites = np.array(list(product(range(4), repeat=len(units))))
    scores = sum(units[i][sites[:, i]] for i in range(len(units)))
    return scores, np.prod(np.asarray(background)[sites], 1)


def p_values(tail, scores):
    return tail.chances[tail.highest - scores]


def random_units(rng, width, background, alpha=0.4):
    return whole_units(Motif("m", "m", rng.dirichlet(np.full(4, alpha), width)), background)


@pytest.mark.parametrize("width", [1, 2, 5, 8])
@pytest.mark.parametrize("background", [UNIFORM, SKEWED])
def test_every_score_of_a_short_motif(width, background):
    units = random_units(np.random.default_rng(width), width, background)
    scores, chances = enumerated(units, background)
    tail = score_tail(units, background)
    assert tail.highest == scores.max() and tail.chances.size == np.ptp(scores) + 1
    order = np.argsort(-scores, kind="stable")
    reached = np.cumsum(chances[order])
    last = np.searchsorted(-scores[order], -scores, side="right") - 1  # of those that score alike
    np.testing.assert_allclose(p_values(tail, scores), reached[last], rtol=1e-10)


@pytest.mark.parametrize("p", [0.3, 0.01, 1e-4])
def test_the_cutoff_is_the_lowest_score_that_is_rare_enough(p):
    rng = np.random.default_rng(1)
    for width in (3, 6, 8):
        units = random_units(rng, width, SKEWED)
        scores, chances = enumerated(units, SKEWED)
        tail = score_tail(units, SKEWED, p)
        cutoff = tail.cutoff(p)
        assert chances[scores >= cutoff].sum() <= p
        assert chances[scores >= cutoff - 1].sum() > p
        if cutoff <= tail.highest:
            hits = scores >= cutoff
            full = score_tail(units, SKEWED)
            want = p_values(full, scores[hits])
            np.testing.assert_array_equal(p_values(tail, scores[hits]), want)


def test_a_motif_too_short_to_be_rare():
    units = whole_units(Motif("m", "m", np.eye(4)[[0, 1, 2]] * 0.97 + 0.0075), UNIFORM)
    tail = score_tail(units, UNIFORM, 1e-4)
    assert tail.cutoff(1e-4) == tail.highest + 1  # p of the best site is 1/64
    assert tail.cutoff(1 / 64) == tail.highest


def test_columns_without_information_change_nothing():
    units = random_units(np.random.default_rng(3), 6, SKEWED)
    wide = np.concatenate([units, np.zeros((3, 4), np.int64)])
    np.testing.assert_allclose(
        score_tail(wide, SKEWED).chances, score_tail(units, SKEWED).chances, rtol=1e-12
    )


def test_real_motifs_as_memelite_has_them():
    fimo = pytest.importorskip("memelite.fimo")
    bin_size = 0.1
    for motif in read_meme(DATABASE)[:60:4]:
        logs = np.log2(motif.probabilities.T + 1e-4) - np.log2(0.25 + 1e-4)
        smallest, log_p = fimo._pwm_to_mapping(logs, bin_size)
        bins = np.rint(logs.T / bin_size).astype(np.int64)
        tail = score_tail(bins, UNIFORM)
        scores = np.arange(bins.min(1).sum(), tail.highest + 1)
        # where memelite's table is down to rounding, its sums begin at the other end
        expected = 2.0 ** log_p[scores - smallest]
        np.testing.assert_allclose(p_values(tail, scores), np.minimum(expected, 1), rtol=1e-9)


def test_backgrounds():
    np.testing.assert_allclose(both_strands((0.4, 0.1, 0.2, 0.3)), (0.35, 0.15, 0.15, 0.35))
    for wrong in ((0.5, 0.5), (0.4, 0.4, 0.4, 0.4), (0.5, 0.5, 0.0, 0.0)):
        with pytest.raises(TcnfastError, match="needs four shares"):
            both_strands(wrong)
    # one p-value for a site and the same site on the other strand
    background = both_strands((0.4, 0.1, 0.2, 0.3))
    units = random_units(np.random.default_rng(4), 7, background)
    np.testing.assert_allclose(
        score_tail(units, background).chances,
        score_tail(units[::-1, ::-1], background).chances,
        rtol=1e-12,
    )


def test_matrices_out_of_bounds():
    sharp = Motif("m", "m", np.tile([1 - 3e-9, 1e-9, 1e-9, 1e-9], (100, 1)))
    assert whole_units(sharp, UNIFORM).min() < -6 * UNITS_PER_BIT  # a pseudocount bounds it
    with pytest.raises(TcnfastError, match="beyond 2,048 bits"):
        whole_units(Motif("m", "m", np.tile(sharp.probabilities, (4, 1))), UNIFORM)
