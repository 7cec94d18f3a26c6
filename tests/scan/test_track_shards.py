"""Tracks: their values and the shards they wait in."""

import numpy as np
import pytest
from support.track import random_logits, rounded, shard_of

from tcnfast.scan import track_shards
from tcnfast.scan.track_bigwig import NOTHING, VALUES, TrackReader
from tcnfast.scan.track_shards import (
    BEGINS,
    CELLS,
    CELLS_PER_LOGIT,
    TrackShard,
    _level,
)

NAN = np.nan


def sigmoid(logit):
    return 1 / (1 + np.exp(-np.asarray(logit, np.float64)))


def dense(path, labels, label, steps):
    """Values of a track step by step; checks that its runs are sorted, apart and longest."""
    paths = path if isinstance(path, list) else [path]
    out, end, value = np.full(steps, NAN, np.float32), 0, NAN
    for columns in TrackReader(paths, labels).runs(label):
        for first, last, x in zip(*(column.tolist() for column in columns), strict=True):
            assert end <= first < last <= steps and (end < first or x != value)
            out[first:last] = x
            end, value = last, x
    return out


def joined(runs):
    """Blocks of runs as one."""
    return [np.concatenate(columns) for columns in zip(*runs, strict=True)]


# levels


def test_values_are_rounded_to_what_the_eye_sees():
    logits = np.float32(np.random.default_rng(0).normal(scale=5, size=50_000))
    value = np.array([VALUES[_level(x)] for x in logits])
    p = sigmoid(logits)
    want = np.where(p >= 0.0995, np.round(p, 2), np.round(p, 3))
    np.testing.assert_allclose(value, want, atol=1e-6)
    assert np.abs(value - p)[p < 0.0995].max() <= 0.0005 + 1e-6


def test_levels_begin_exactly_at_their_edges():
    edges = BEGINS[:-1]
    assert (np.diff(edges) > 0).all() and len(edges) == len(VALUES) - 1
    for near in (np.nextafter(edges, np.float32(-99)), edges, np.nextafter(edges, np.float32(99))):
        got = [_level(x) for x in near]
        assert got == np.searchsorted(edges, near, side="right").tolist()
    ends = np.float32([-np.inf, -1e30, 1e30, np.inf])
    assert [VALUES[_level(x)] for x in ends] == [0, 0, 1, 1]


def test_at_most_one_level_begins_in_a_cell():
    """What lets a level be found without a search."""
    cells = ((BEGINS[:-1] - BEGINS[0]) * CELLS_PER_LOGIT).astype(int)
    assert (np.diff(cells) > 0).all() and cells[-1] == CELLS - 1


# shards


@pytest.mark.parametrize("labels", [1, 3, 8, 9, 112])
@pytest.mark.parametrize("room", [2**20, 1])
def test_a_shard_gives_back_the_rounded_values_above_the_floors(
    tmp_path, monkeypatch, labels, room
):
    monkeypatch.setattr(track_shards, "CHANGES_AT_ONCE", room)
    logits = random_logits(150, labels, labels)
    floors = np.float32(np.random.default_rng(1).normal(size=labels))
    floors[labels // 2] = -np.inf
    path = shard_of(tmp_path / "s", logits, floors, cuts=(1, 57, 120))
    with np.errstate(invalid="ignore"):
        want = np.where(logits >= floors, rounded(logits), NAN)
    for label in range(labels):
        np.testing.assert_array_equal(dense(path, labels, label, 150), want[:, label])


def test_the_floor_itself_is_kept_and_no_score_is_not(tmp_path):
    below = np.nextafter(np.float32(1), np.float32(0))
    path = shard_of(tmp_path / "s", np.array([[1, below, NAN, np.inf, -np.inf, 1]]).T, [1])
    assert (~np.isnan(dense(path, 1, 0, 6))).tolist() == [True, False, False, True, False, True]
    path = shard_of(tmp_path / "s", np.array([[-np.inf, NAN, -99]]).T, [-np.inf])
    np.testing.assert_array_equal(dense(path, 1, 0, 3), [0, NAN, 0])


def test_cuts_do_not_change_the_bytes(tmp_path):
    logits = random_logits(300, 5)
    whole = shard_of(tmp_path / "a", logits, [0] * 5).read_bytes()
    for cuts in (range(1, 300), (150,), (0, 0, 7, 7, 300)):
        assert shard_of(tmp_path / "b", logits, [0] * 5, cuts).read_bytes() == whole


def test_a_run_may_span_many_segments(tmp_path):
    path = shard_of(tmp_path / "s", np.zeros((1000, 2)), [-1, 1], cuts=range(1, 1000))
    first, end, value = joined(TrackReader([path], 2).runs(0))
    assert (first.tolist(), end.tolist(), value.tolist()) == ([0], [1000], [0.5])
    assert all(len(first) == 0 for first, _, _ in TrackReader([path], 2).runs(1))
    assert path.stat().st_size == 2 * 8 + 2 * 8  # two counts, two changes


def test_a_floor_of_nan_is_no_track(tmp_path):
    path = shard_of(tmp_path / "s", [[np.inf, 0]] * 9, [NAN, -np.inf])
    assert np.isnan(dense(path, 2, 0, 9)).all() and (dense(path, 2, 1, 9) == 0.5).all()


def test_segments_left_out_have_no_score(tmp_path):
    shard = TrackShard(tmp_path / "s", np.array([-np.inf]))
    for first, n in ((3, 4), (7, 2), (15, 1), (16, 1)):
        shard.add(first, np.zeros((n, 1), np.float32))
    shard.finish()
    scored = ~np.isnan(dense(tmp_path / "s", 1, 0, 20))
    assert np.flatnonzero(scored).tolist() == [3, 4, 5, 6, 7, 8, 15, 16]


def test_a_contig_without_steps_has_no_runs(tmp_path):
    path = shard_of(tmp_path / "s", np.empty((0, 2)), [0, 0])
    assert np.isnan(dense(path, 2, 1, 3)).all()


def test_a_new_shard_replaces_what_was_left_of_an_old_one(tmp_path):
    shard_of(tmp_path / "s", random_logits(100, 2), [0, 0])
    path = shard_of(tmp_path / "s", np.zeros((10, 2)), [0, 0])
    assert (dense(path, 2, 1, 10) == 0.5).all()


def test_steps_beyond_32_bits(tmp_path):
    shard, first = TrackShard(tmp_path / "s", np.array([0.0])), 2**33
    shard.add(first, np.ones((2, 1), np.float32))
    shard.finish()
    start, end, _ = joined(TrackReader([tmp_path / "s"], 1).runs(0))
    assert (start[0], end[0]) == (first, first + 2)


# stretches


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("room", [2**20, 1])
def test_stretches_are_read_as_one_track(tmp_path, monkeypatch, seed, room):
    """Runs go on over seams, however short the stretches are and whatever was skipped in them."""
    monkeypatch.setattr(track_shards, "CHANGES_AT_ONCE", room)
    rng, steps, labels = np.random.default_rng(seed), 200, 3
    logits = random_logits(steps, labels, seed)
    if seed % 2:
        logits = np.round(logits / 4) * 4  # long runs
    floors = [-1, -np.inf, 0.5]
    whole = shard_of(tmp_path / "whole", logits, floors)
    edges = [0, *np.unique(rng.integers(1, steps, int(rng.integers(1, 60)))).tolist(), steps]
    paths = []
    for first, last in zip(edges, edges[1:], strict=False):
        path = tmp_path / str(first)
        paths.append(shard_of(path, logits[first:last], floors, first_step=first))
    for label in range(labels):
        want = joined(TrackReader([whole], labels).runs(label))
        got = joined(TrackReader(paths, labels).runs(label))
        for one, other in zip(got, want, strict=True):
            np.testing.assert_array_equal(one, other)
        dense(paths, labels, label, steps)


def test_levels_of_a_device_make_the_same_shard(tmp_path):
    """Whatever is fed at once; steps left out have no score."""
    logits, floors, columns = random_logits(150, 5), np.array([0, NAN, -1, NAN, -2]), [0, 2, 4]
    with np.errstate(invalid="ignore"):
        levels = np.searchsorted(BEGINS[:-1], logits, side="right").astype(np.uint8)
        levels = np.where(logits >= floors, levels, NOTHING)[:, columns]
    want, got = (TrackShard(tmp_path / name, floors, 7) for name in "ab")
    for first, last in ((0, 1), (1, 60), (70, 71), (71, 150)):
        want.add(7 + first, logits[first:last])
        got.add_levels(7 + first, levels[first:last], np.array(columns))
    want.finish()
    got.finish()
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
