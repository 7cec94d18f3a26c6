"""Intervals over blocks of the genome: what is drawn, and whether the intervals hold."""

import numpy as np
import pytest

from tcnfast.evaluate.bootstrap import block_ids, draw_blocks, interval, p_value


def test_blocks_are_megabases_of_one_contig():
    centres = [np.array([999_999, 1_000_000, 2_500_000]), np.array([1_200_000]), np.array([5])]
    got = block_ids(["chr1", "chr2", "chr1"], centres)
    # the third region goes back to chr1, whose first megabase is the block of its first window
    assert got.tolist() == [0, 1, 2, 3, 0] and got.dtype == np.int32
    assert block_ids([], []).size == 0


def test_each_replicate_draws_as_many_blocks_as_there_are():
    drawn = draw_blocks(14, 4000, seed=1)
    assert drawn.shape == (14, 4000) and (drawn.sum(0) == 14).all()
    np.testing.assert_allclose(drawn.mean(1), 1, atol=0.1)
    np.testing.assert_array_equal(drawn, draw_blocks(14, 4000, seed=1))
    assert (drawn != draw_blocks(14, 4000, seed=2)).any()


def test_intervals_leave_out_replicates_without_a_score():
    replicates = np.array([np.arange(101.0), np.full(101, np.nan)])
    replicates[0, 50] = np.nan
    low, high = interval(replicates)
    want = np.quantile(np.delete(replicates[0], 50), [0.025, 0.975])
    np.testing.assert_allclose([low[0], high[0]], want)
    assert np.isnan([low[1], high[1]]).all()
    assert np.isnan(interval(np.empty((3, 0)))).all()
    np.testing.assert_allclose(interval(np.arange(101.0)), [2.5, 97.5])


def test_p_values_by_hand():
    assert p_value(np.full(999, 0.1)) == pytest.approx(2 / 1000)
    assert p_value(np.zeros(999)) == 1
    assert p_value(np.append(np.full(989, -1.0), np.full(10, 1.0))) == pytest.approx(22 / 1000)
    assert p_value(np.append(np.full(99, 1.0), np.full(900, np.nan))) == pytest.approx(2 / 100)
    assert np.isnan(p_value(np.full(9, np.nan)))


def test_intervals_of_correlated_windows_cover_as_promised():
    """Blocks whose means scatter: over whole blocks the interval of the mean holds nearly as often
    as it says, and over single windows, as if they were independent, it hardly ever would."""
    rng = np.random.default_rng(0)
    covered, naive = 0, 0
    for seed in range(200):
        values = rng.normal(size=(30, 1)) + 0.3 * rng.normal(size=(30, 50))
        drawn = draw_blocks(30, 400, seed)
        low, high = interval((values.mean(1) @ drawn) / 30)
        covered += low <= 0 <= high
        error = values.std() / np.sqrt(values.size)
        naive += abs(values.mean()) <= 1.96 * error
    assert covered >= 0.88 * 200 and naive < 0.5 * 200
