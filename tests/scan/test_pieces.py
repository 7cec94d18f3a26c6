"""The list of stretches: every step once, the same wherever it is made."""

import numpy as np
import pytest

from tcnfast.genome.intervals import Intervals
from tcnfast.scan.job import whole_names
from tcnfast.scan.pieces import (
    LEAST_STEPS,
    STRETCH_BASES,
    n_steps,
    segment_spans,
    stretch_steps,
    stretches,
    touches,
)

SIZES = {"a": 40_000_000, "b": 0, "c": 1, "d": STRETCH_BASES, "e": STRETCH_BASES + 1}


@pytest.mark.parametrize("stride", [1, 32, 512, 4096])
def test_every_step_is_in_one_stretch(stride):
    every = stretches(SIZES, stride)
    assert [x.chrom for x in every] == sorted(x.chrom for x in every)
    for contig, (chrom, size) in enumerate(SIZES.items()):
        mine = [x for x in every if x.chrom == chrom]
        assert {x.contig for x in mine} == {contig} and mine[0].first == 0
        assert [x.last for x in mine[:-1]] == [x.first for x in mine[1:]]
        assert {x.total for x in mine} == {mine[-1].last} == {n_steps(size, stride)}
        assert sum(x.bases(stride, size) for x in mine) == size
        assert all(x.last - x.first == stretch_steps(stride) for x in mine[:-1])


@pytest.mark.parametrize("stride", [2**power for power in range(15)])
def test_stretches_are_of_whole_chunks(stride):
    """A power of two, and so of any chunk that is one, short of LEAST_STEPS."""
    steps = stretch_steps(stride)
    assert steps & (steps - 1) == 0 and steps >= LEAST_STEPS
    assert steps * stride >= STRETCH_BASES


def test_a_stretch_is_finished_when_its_calls_are_there(tmp_path):
    first, second = stretches({"a": 2 * STRETCH_BASES}, 32)
    assert first.calls_file(tmp_path) != second.calls_file(tmp_path)
    first.track_file(tmp_path).touch()
    assert not first.finished(tmp_path)
    first.calls_file(tmp_path).touch()
    assert first.finished(tmp_path) and not second.finished(tmp_path)


@pytest.mark.parametrize("seed", range(10))
def test_segments_that_hold_no_wanted_base_are_left_out(seed):
    rng = np.random.default_rng(seed)
    start = np.sort(rng.integers(0, 3000, 6))
    end = start + rng.integers(1, 200, 6)
    within = Intervals(np.array(["a"] * 6, object), start, end, start)
    wanted = touches(within, 8)
    every = segment_spans(100, 333, 10)
    kept = [
        (first, last)
        for first, last in every
        if any(a < 8 * last and b > 8 * first for a, b in zip(start, end, strict=True))
    ]
    assert segment_spans(100, 333, 10, wanted) == kept and 0 < len(kept) < len(every)


def test_no_interval_touches_nothing():
    nothing = np.empty(0, np.int64)
    assert not touches(Intervals(np.empty(0, object), nothing, nothing, nothing), 8)(0, 100)


def test_names_with_commas_are_put_together_again():
    sizes = dict.fromkeys(["a", "b", "HLA,1", "a,b,c"], 1)
    assert whole_names(["a", "HLA", "1", "b"], sizes) == ["a", "HLA,1", "b"]
    assert whole_names(["a", "b", "c"], sizes) == ["a,b,c"]
    assert whole_names(["a", "b"], sizes) == ["a", "b"]
    assert whole_names(["HLA", "2"], sizes) == ["HLA", "2"]
    assert whole_names(["x"], {"y": 1}) == ["x"]
